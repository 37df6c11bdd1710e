package drills

import (
	"path/filepath"
	"testing"

	"github.com/quorumkv/quorumkv/internal/drill"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// quick are short forms of all scenarios, as people would type them. make drills runs them at full length.
var quick = map[string][]string{
	"failover":        {"--rounds", "2", "--duration", "10s"},
	"handover":        {"--rounds", "3", "--duration", "8s"},
	"split-brain":     {"--rounds", "4", "--duration", "18s"},
	"rolling-restart": {"--duration", "6s"},
	"disk-stall":      {"--duration", "14s"},
	"disk-full":       {"--duration", "9s"},
	"pause":           {"--duration", "16s"},
	"minority-down":   {"--rounds", "1", "--duration", "6s"},
	"majority-down":   {"--duration", "6s"},
	"slow-network":    {"--duration", "7s"},
	"flapping-link":   {"--duration", "7s"},
}

// attempts is how often a drill is repeated that misses a mark: others' load on the machine is no fault of the cluster's. A
// broken promise is never excused.
const attempts = 3

// TestScenarios runs every scenario on a cluster of its own.
func TestScenarios(t *testing.T) {
	for _, s := range drill.Scenarios() {
		t.Run(s.Name, func(t *testing.T) {
			args, ok := quick[s.Name]
			if !ok {
				t.Fatal("this scenario has no short form here")
			}
			passes(t, append([]string{"drill", s.Name, "--local", "3"}, args...)...)
		})
	}
	if len(quick) != len(drill.Scenarios()) {
		t.Errorf("%d short forms for %d scenarios", len(quick), len(drill.Scenarios()))
	}
}

// TestFiveMembers runs the scenarios on five that differ there: the minority has two.
func TestFiveMembers(t *testing.T) {
	for _, args := range [][]string{
		{"failover", "--rounds", "2", "--duration", "10s"},
		{"split-brain", "--rounds", "1", "--duration", "7s"},
	} {
		t.Run(args[0], func(t *testing.T) { passes(t, append([]string{"drill", args[0], "--local", "5"}, args[1:]...)...) })
	}
}

func passes(t *testing.T, args ...string) {
	t.Helper()
	for n := 1; ; n++ {
		dir := filepath.Join(t.TempDir(), "report")
		got := quorumctl(t, append(args, "--report", dir)...)
		if got.code == 0 {
			if r := readReport(t, dir); r.Verdict != report.Passed || len(r.Violations) > 0 || r.Counts.OK == 0 {
				t.Errorf("exit code 0, and the report says %s", r.Verdict)
			}
			return
		}
		t.Logf("quorumctl %v: exit code %d\n%s\n%s", args, got.code, got.stderr, got.stdout)
		if got.code != 1 || n == attempts || readReport(t, dir).Verdict != report.Missed {
			t.FailNow()
		}
	}
}
