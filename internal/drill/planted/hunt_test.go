package planted

import (
	"strings"
	"testing"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// TestJudge makes sure that a bug counts as found only when the drill said all that it has to say.
func TestJudge(t *testing.T) {
	named := []history.Op{{ID: 1}}
	lost := history.Violation{Promise: "no lost write", Ops: named}
	for _, c := range []struct {
		name  string
		lacks string // "": nothing
		Finding
		nameless bool
	}{
		{"found", "", finding(1, report.Violated, lost), false},
		{"found among others", "", finding(1, report.Violated, history.Violation{Promise: "watch"}, lost), false},
		{"a later one names operations", "", finding(1, report.Violated, history.Violation{Promise: "no lost write"}, lost), false},
		{"nothing found", `"passed"`, finding(0, report.Passed), false},
		{"a mark missed", `"missed"`, finding(1, report.Missed), false},
		{"another promise", `["watch"]`, finding(1, report.Violated, history.Violation{Promise: "watch", Ops: named}), false},
		{"no operation", "no operation", finding(1, report.Violated, history.Violation{Promise: "no lost write"}), false},
		{"no operation wanted", "", finding(1, report.Violated, history.Violation{Promise: "no lost write"}), true},
		{"exit code", "exit code is 0", finding(0, report.Violated, lost), false},
	} {
		b := Bug{Promises: []string{"no lost write"}, Nameless: c.nameless}
		err := b.Judge(c.Finding)
		if (err == nil) != (c.lacks == "") || err != nil && !strings.Contains(err.Error(), c.lacks) {
			t.Errorf("%s: lacks %v, want %q", c.name, err, c.lacks)
		}
	}
}

func finding(code int, verdict report.Verdict, violations ...history.Violation) Finding {
	return Finding{ExitCode: code, Report: &report.Report{Verdict: verdict, Violations: violations}}
}
