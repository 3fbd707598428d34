package web_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"teiten/internal/casedb"
	"teiten/internal/observation"
)

// capturesOverlap imports two files whose windows share one packet, n hours of
// them, and returns the batches that wait.
func (b *bundle) capturesOverlap(hours int) (waiting []int64) {
	b.t.Helper()
	ctx := b.t.Context()
	for k, name := range []string{`first.pcap`, `second <b>.pcap`} {
		i, _, err := b.db.BeginImport(ctx, casedb.NewImport{Sensor: "overlap-1", Digest: []byte(fmt.Sprintf("%032d", k)), Name: name, Window: time.Hour, KeyLimit: 1000}, b.now)
		if err != nil {
			b.t.Fatal(err)
		}
		run := &casedb.Arrivals{ImportID: &i.ID, Overlap: casedb.OverlapAsk}
		for h := range hours {
			window := b.now.UTC().Truncate(time.Hour).Add(time.Duration(h-hours) * time.Hour)
			row := func(host byte, at time.Duration) observation.Observation {
				return observation.Observation{Window: window, Source: netip.AddrFrom4([4]byte{192, 0, 2, host}), Proto: 6, Port: 445,
					Class: observation.ClassSYN, Packets: 1, Bytes: 40, Destination: netip.MustParseAddr("198.51.100.1"), First: window.Add(at), Last: window.Add(at)}
			}
			// Both have the packet of 192.0.2.7 and one of their own before or after it.
			list := []observation.Observation{row(5, time.Minute+time.Millisecond), row(7, 20*time.Minute+time.Millisecond)}
			if k == 1 {
				list = []observation.Observation{row(7, 20*time.Minute+time.Millisecond), row(9, 30*time.Minute+time.Millisecond)}
			}
			batch := &observation.Batch{Sensor: "overlap-1", Window: window, Length: time.Hour, Packets: 2, Keys: 2, Observations: func(yield func(*observation.Observation) bool) {
				for n := range list {
					if !yield(&list[n]) {
						return
					}
				}
			}}
			if _, err := b.db.PutBatch(ctx, batch, run, b.now); err != nil {
				b.t.Fatal(err)
			}
		}
		if err := b.db.FinishImport(ctx, i.ID, uint64(2*hours), nil, k == 1, b.now); err != nil {
			b.t.Fatal(err)
		}
		if err := b.db.NoteLive(ctx, "overlap-1", &i.ID, run.From, run.To); err != nil {
			b.t.Fatal(err)
		}
	}
	list, err := b.db.BatchOverlaps(ctx, true, 0, 1000)
	if err != nil || len(list) != hours {
		b.t.Fatalf("%+v, %v", list, err)
	}
	for _, o := range list {
		waiting = append(waiting, o.BatchID)
	}
	return waiting
}

// countedPackets are the packets that count.
func (b *bundle) countedPackets() (n int) {
	b.t.Helper()
	if err := b.db.SQL().QueryRow(`select coalesce(sum(packets), 0) from observation`).Scan(&n); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// TestOverlapsAreDecidedOnTheDesk: the page names captures that overlap, and a
// coordinator says whether both count.
func TestOverlapsAreDecidedOnTheDesk(t *testing.T) {
	t.Parallel()
	b := setup(t)
	waiting := b.capturesOverlap(3)
	b.user("hanako", casedb.RoleViewer, "en")
	b.login("hanako")
	if status, _, _ := b.post(fmt.Sprint("/captures/", waiting[0]), "choice", "keep"); status != http.StatusForbidden {
		t.Errorf("a viewer decides: %d", status)
	}
	b.user("taro", casedb.RoleCoordinator, "en")
	b.login("taro")
	page := b.page("/captures")
	for _, want := range []string{"second &lt;b&gt;.pcap", "first.pcap", "Some packets are in both.", "Count both", "3 windows wait for a decision.", "The file ends before"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if got := b.countedPackets(); got != 6 {
		t.Fatalf("%d packets count before a decision", got)
	}
	decide := func(id int64, status, packets int, pairs ...string) {
		t.Helper()
		if got, body, _ := b.post(fmt.Sprint("/captures/", id), pairs...); got != status {
			t.Errorf("%v: got %d: %s", pairs, got, body)
		}
		if got := b.countedPackets(); got != packets {
			t.Errorf("%v: %d packets count, want %d", pairs, got, packets)
		}
	}
	decide(waiting[0], http.StatusUnprocessableEntity, 6, "choice", "both")
	decide(waiting[0], http.StatusSeeOther, 8, "choice", "keep")
	decide(waiting[0], http.StatusConflict, 8, "choice", "keep")
	decide(waiting[1], http.StatusSeeOther, 8, "choice", "leave", "file", "all")
	decide(999999, http.StatusNotFound, 8, "choice", "keep")
	page = b.page("/captures")
	if n, err := b.db.OverlapsWaiting(t.Context()); err != nil || n != 0 || strings.Contains(page, "Does not count yet") {
		t.Errorf("%d wait, %v", n, err)
	}
	if strings.Count(page, "Left out.") != 2 || strings.Count(page, "Both count.") != 1 || !strings.Contains(page, "taro") {
		t.Error("the page does not list the decisions")
	}
	decide(waiting[0], http.StatusSeeOther, 6, "choice", "leave") // a change of mind
}

// TestManyOverlapsHavePages: decisions are listed in pages, none twice.
func TestManyOverlapsHavePages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	waiting := b.capturesOverlap(23)
	b.user("taro", casedb.RoleCoordinator, "ja")
	b.login("taro")
	if err := b.db.DecideOverlaps(t.Context(), waiting[0], false, "taro", b.now); err != nil {
		t.Fatal(err)
	}
	seen := 0
	next := regexp.MustCompile(`href="(/captures\?decided=\d+)#decided"`)
	for path := "/captures"; path != ""; {
		page := b.page(path)
		checkPage(t, path, "ja", page)
		seen += strings.Count(page, "除外しました。")
		path = ""
		if m := next.FindStringSubmatch(page); m != nil {
			path = m[1]
		}
	}
	if seen != 23 {
		t.Errorf("%d of 23 decisions are listed", seen)
	}
}
