package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestRefusalNamesTheWayOut takes the log from a member that is alone in its cluster: nobody else has what was in it. The
// member refuses to start and changes nothing, and the command that it prints says what is kept and what is lost; what that
// prints in turn starts a cluster with the data.
func TestRefusalNamesTheWayOut(t *testing.T) {
	onlyQuorumKV(t)
	c := cluster.Start(t, cluster.Config{Nodes: 1})
	node := c.Nodes[0]
	putMany(t, c, 50)
	awaitInState(t, node, recoverKey(49))
	node.Kill()
	if err := remove("wal/*")(node.Dir); err != nil {
		t.Fatal(err)
	}
	state := stateFile(t, node)
	before, err := os.ReadFile(filepath.Join(node.Dir, state))
	if err != nil {
		t.Fatal(err)
	}
	r := cluster.Run(t, c.Program.Path, node.Args(), time.Minute)
	command := regexp.MustCompile(`quorumctl (recover \S+ --plan)`).FindStringSubmatch(r.Stderr)
	if r.TimedOut || r.Code <= 0 || command == nil {
		t.Fatalf("exit code %d, still running: %v, no command to go on with in:\n%s", r.Code, r.TimedOut, r.Stderr)
	}
	if after, err := os.ReadFile(filepath.Join(node.Dir, state)); err != nil || string(after) != string(before) {
		t.Errorf("the refused start has changed %s (%v)", state, err)
	}
	plan := offlineTool(t, 0, strings.Fields(command[1])...)
	next := regexp.MustCompile(`quorumctl (recover \S+ --accept-loss \S+)`).FindStringSubmatch(plan.Stdout)
	if next == nil {
		t.Fatalf("no command to go on with in the plan:\n%s", plan.Stdout)
	}
	offlineTool(t, 0, append(strings.Fields(next[1]), "--to", filepath.Join(t.TempDir(), "recovered"))...)
}
