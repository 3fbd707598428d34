// The comfort of the desk: every page works without this script.
"use strict";

(() => {
  const content = () => document.getElementById("content");

  // reveal brings the current entry of a bar that scrolls sideways into view.
  function reveal() {
    for (const entry of document.querySelectorAll(".nav [aria-current], .tabs [aria-current]")) {
      const bar = entry.parentElement, [at, of] = [entry.getBoundingClientRect(), bar.getBoundingClientRect()];
      bar.scrollLeft += at.left - of.left - (of.width - at.width) / 2;
    }
  }
  reveal();

  // load replaces the page's content with that of another page of ours.
  async function load(url, push) {
    try {
      const answer = await fetch(url, { headers: { "Teiten-Partial": "1" }, credentials: "same-origin" });
      if (!answer.ok || answer.redirected) {
        location.href = url;
        return;
      }
      content().innerHTML = await answer.text();
    } catch {
      location.href = url;
      return;
    }
    reveal();
    if (push) history.pushState({ partial: true }, "", url);
    const heading = content().querySelector("h1");
    if (heading) document.title = heading.textContent.trim() + " – teiten";
    const main = document.getElementById("main");
    if (!content().contains(document.activeElement)) main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-partial]");
    if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    load(link.href, true);
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method === "get" && form.matches("[data-partial]")) {
      event.preventDefault();
      const query = new URLSearchParams();
      for (const [key, value] of new FormData(form)) if (value !== "") query.append(key, value);
      load(form.action + "?" + query, true);
      return;
    }
    // A second press of a button must not ask for the same thing again.
    if (form.method === "post") {
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = "1";
    }
  });

  document.addEventListener("change", (event) => {
    const form = event.target.closest("form.filter[data-partial]");
    if (form && event.target.matches("select")) form.requestSubmit();
  });

  addEventListener("popstate", () => load(location.href, false));
  addEventListener("pageshow", (event) => {
    if (event.persisted) for (const form of document.forms) delete form.dataset.sent;
  });

  // Keys in lists: j and k move, Enter opens (the focused link does), / searches.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    if (event.key === "/") {
      const search = document.querySelector("input[type=search]");
      if (!search) return;
      event.preventDefault();
      search.focus();
      search.select();
      return;
    }
    if (event.key !== "j" && event.key !== "k") return;
    const links = [...document.querySelectorAll("table[data-keys] tbody tr a[href]")].filter((a, i, all) =>
      i === 0 || a.closest("tr") !== all[i - 1].closest("tr"));
    if (links.length === 0) return;
    const row = document.activeElement && document.activeElement.closest("tr");
    let at = links.findIndex((a) => a.closest("tr") === row);
    at = event.key === "j" ? Math.min(at + 1, links.length - 1) : Math.max(at - 1, 0);
    links[at].focus();
  });
})();
