package web_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"teiten/internal/casedb"
	"teiten/internal/locale"
	"teiten/internal/observation"
	"teiten/internal/reason"
	"teiten/notify"
)

// families are the keys that are put together from a prefix and a value: with
// what values they must be there.
func families() map[string][]string {
	return map[string][]string{
		"state":     values(casedb.CaseStates),
		"waiting":   values(casedb.WaitingReasons),
		"kind":      values(casedb.Kinds),
		"aggregate": values(casedb.AggregateKinds),
		"event":     values(casedb.EventKinds),
		"followup":  values(casedb.FollowupStates),
		"windows":   {"group.worm_like", "group.window", "group.undetermined", "group.other"},
		"arm":       {string(casedb.ArmNotified), string(casedb.ArmControl)},
		"effect":    prefixed("by.", values(casedb.EffectGroups)),
		"owner":     append(prefixed("said.", values(casedb.OwnerActs)), "act.language.ja", "act.language.en"),
		"letters":   letterKeys(),
		"directory": append(append(prefixed("scope.", values(casedb.DirectoryScopes())), prefixed("done.", []string{"saved", "ended"})...),
			prefixed("bad.", []string{"target", "prefix", "hostbits", "large", "as", "country", "email", "language", "format", "key", "days"})...),
		"finding":      findingKeys(),
		"role":         values(casedb.Roles),
		"message":      {"held", "queued", "sent", "bounced", "canceled", "failed"},
		"purpose":      {"notification", "answer", "confirmation", "decision", "digest"},
		"outcome":      {"delivering", "sent", "temporary", "permanent", "unknown"},
		"provenance":   {"abuse-role", "remark", "jpnic-whois", "local-part", "override", "none"},
		"gate":         {"auto", "approve", "human"},
		"class":        {"bounce", "delay", "autoreply", "feedback", "challenge", "human"},
		"packet":       packetKeys(),
		"mark":         markKeys(),
		"action":       {"send", "hold", "cancel", "fail", "delay"},
		"why":          whyKeys(),
		"mode":         append(values(casedb.RuleModes), casedb.SendingStopped, casedb.SendingOn, casedb.SuppressionLifted),
		"language":     locale.Languages(),
		"registration": {"unconfirmed", "pending", "accepted", "rejected"},
		"relation":     values([]casedb.Relation{casedb.RelationShares, casedb.RelationUnclear}),
		"standing":     values([]casedb.BatchStanding{casedb.BatchCounted, casedb.BatchCovered, casedb.BatchAside, casedb.BatchLeftOut}),
		"name":         {"ms17-010", "mirai", "slammer", "zmap", "masscan", "nmap", "unicornscan", "hping3", "angryip"},
		"done":         {"approve", "hold", "edit", "cancel", "mailbox-reply", "mailbox-bounce"},
		"reason": {casedb.ReasonFirst, casedb.ReasonNewSources, casedb.ReasonContactChanged, casedb.ReasonAgain, casedb.ReasonStillActive, casedb.ReasonRecovered, casedb.ReasonSoftRetry, casedb.ReasonNextContact,
			"answer", "hard", "soft", casedb.ReasonUnverified, casedb.ReasonEscalated, casedb.ReasonProvider, casedb.ReasonCSIRT, "notified", "control", "over", "hand", "contaminated", "severe", "digest"},
	}
}

func findingKeys() []string {
	keys := []string{"choose", "result", "device", "product", "support", "malware", "entry", "action"}
	for field, list := range map[string][]string{"result": casedb.FindingResults, "device": casedb.FindingDevices, "support": casedb.FindingSupport,
		"entry": casedb.FindingEntries, "action": casedb.FindingActions} {
		keys = append(keys, prefixed(field+".", slices.Clone(list))...)
	}
	return keys
}

// whyKeys are every code of a reason, and the words that arguments have.
func whyKeys() []string {
	keys := values(reason.Codes())
	for kind, words := range reason.Words() {
		keys = append(keys, prefixed(string(kind)+".", words)...)
	}
	return keys
}

func letterKeys() []string {
	keys := prefixed("bad.", []string{"action", "contact", "fails", "field", "function", "large", "number", "parse", "table", "tag"})
	keys = append(keys, "part.body", "part.subject")
	for _, n := range notify.LetterNames() {
		keys = append(keys, "on."+n.About)
	}
	return keys
}

// packetKeys are the classes of packets.
func packetKeys() (keys []string) {
	for c := observation.ClassSYN; c <= observation.ClassUDPAnswer; c++ {
		keys = append(keys, c.String())
	}
	return keys
}

func markKeys() (keys []string) {
	for m := range observation.Marks {
		keys = append(keys, m.String())
	}
	return keys
}

func prefixed(prefix string, list []string) []string {
	for i := range list {
		list[i] = prefix + list[i]
	}
	return list
}

func values[T ~string](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, string(v))
	}
	return out
}

var (
	templateKey = regexp.MustCompile(`[{(\s](?:t|n) "([^"]+)"`)
	quoted      = regexp.MustCompile(`"([a-z]+\.[a-z0-9-]*[a-z0-9])"`)
)

// TestKeysAreThereAndUsed checks both directions: what the pages ask for is in
// the catalogues, and what is in the catalogues is asked for.
func TestKeysAreThereAndUsed(t *testing.T) {
	t.Parallel()
	p := printer(t, "en")
	used := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") || !strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, ".html") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range templateKey.FindAllStringSubmatch(string(b), -1) {
			if strings.HasSuffix(path, ".html") && !p.Has(m[1]) {
				t.Errorf("%s asks for %s, which is not there", path, m[1])
			}
			used[m[1]] = true
		}
		for _, m := range quoted.FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for family, list := range families() {
		for _, value := range list {
			if !p.Has(family + "." + value) {
				t.Errorf("%s.%s is not there", family, value)
			}
			used[family+"."+value] = true
		}
	}
	for _, key := range p.Keys() {
		if !used[key] {
			t.Errorf("%s is not used", key)
		}
	}
}

func TestGoCodeAsksForKeysThatAreThere(t *testing.T) {
	t.Parallel()
	p := printer(t, "en")
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	families := map[string]bool{}
	for _, key := range p.Keys() {
		first, _, _ := strings.Cut(key, ".")
		families[first] = true
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range quoted.FindAllStringSubmatch(string(b), -1) {
			first, rest, _ := strings.Cut(m[1], ".")
			if families[first] && !p.Has(m[1]) && rest != "html" {
				t.Errorf("%s asks for %s, which is not there", name, m[1])
			}
		}
	}
}
