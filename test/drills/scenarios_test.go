package drills

import (
	"fmt"
	"os"
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

// fullEnv names a folder that gets the reports; scenarios then run at full length.
const fullEnv = "QUORUMKV_DRILLS"

// attempts is how often a drill is repeated that misses a mark: others' load on the machine is no fault of the cluster's. A
// broken promise is never excused.
const attempts = 3

// TestScenarios runs every scenario on a cluster of its own.
func TestScenarios(t *testing.T) {
	for _, s := range drill.Scenarios() {
		short, ok := quick[s.Name]
		if !ok {
			t.Errorf("%s has no short form here", s.Name)
		}
		t.Run(s.Name, func(t *testing.T) { passes(t, s.Name, "3", short) })
	}
}

// TestFiveMembers runs the scenarios on five that differ there: the minority has two.
func TestFiveMembers(t *testing.T) {
	t.Run("failover", func(t *testing.T) { passes(t, "failover", "5", quick["failover"]) })
	t.Run("split-brain", func(t *testing.T) { passes(t, "split-brain", "5", []string{"--rounds", "1", "--duration", "7s"}) })
}

func passes(t *testing.T, scenario, members string, short []string) {
	t.Helper()
	reports := os.Getenv(fullEnv)
	if reports == "" {
		reports = t.TempDir()
	} else {
		short = nil
	}
	for n := 1; ; n++ {
		dir := filepath.Join(reports, fmt.Sprintf("%s-%s-%d", scenario, members, n))
		args := append([]string{"drill", scenario, "--local", members, "--report", dir}, short...)
		got := quorumctl(t, args...)
		if got.code == 0 {
			r := readReport(t, dir)
			if r.Verdict != report.Passed || len(r.Violations) > 0 || r.Counts.OK == 0 {
				t.Errorf("exit code 0, and the report says %s", r.Verdict)
			}
			for _, m := range r.Marks {
				t.Logf("%s: %s (%s)", m.Name, m.Value, m.Bound)
			}
			return
		}
		t.Logf("quorumctl %v: exit code %d\n%s\n%s", args, got.code, got.stderr, got.stdout)
		if got.code != 1 || n == attempts || readReport(t, dir).Verdict != report.Missed {
			t.FailNow()
		}
	}
}
