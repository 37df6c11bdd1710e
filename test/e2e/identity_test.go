package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// exitPatience is how long a member may take to find out that it is refused, on a busy machine.
const exitPatience = 30 * time.Second

// mustBeRefused starts a member and waits until it ends because its peers refuse it. What it prints must end with one line
// that says why and what to do.
func mustBeRefused(t *testing.T, n *cluster.Node, says ...string) {
	t.Helper()
	begin := time.Now()
	n.Start()
	refusedIs(t, n, begin, says...)
}

func refusedIs(t *testing.T, n *cluster.Node, begin time.Time, says ...string) {
	t.Helper()
	exit := n.AwaitExit(begin, exitPatience)
	last := ""
	if len(exit.Output) > 0 {
		last = exit.Output[len(exit.Output)-1]
	}
	if exit.Code != 1 {
		t.Errorf("%s ended with exit code %d, want 1", n.Name, exit.Code)
	}
	for _, text := range append(says, "quorumkv: ", "refused by a peer") {
		if !strings.Contains(last, text) {
			t.Errorf("%s ended without saying %q:\n%s", n.Name, text, last)
		}
	}
}

// othersServe writes and reads through the members that run.
func othersServe(t *testing.T, c *cluster.Cluster, key string) {
	t.Helper()
	var up []int
	for i, n := range c.Nodes {
		if n.Running() {
			n.AwaitReady()
			up = append(up, i)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), exitPatience)
	defer cancel()
	if _, err := c.Client(up...).Put(ctx, key, "value"); err != nil {
		t.Fatalf("put through %v: %v", up, err)
	}
	r, err := c.Client(up...).Get(ctx, key)
	if err != nil || len(r.Kvs) != 1 {
		t.Fatalf("get through %v: %v, %v", up, r, err)
	}
}

// exchangeDir puts a directory in the place of a member's own, which it returns.
func exchangeDir(t *testing.T, n *cluster.Node, other string) (own string) {
	t.Helper()
	own = filepath.Join(t.TempDir(), "own")
	if err := os.Rename(n.Dir, own); err != nil {
		t.Fatal(err)
	}
	if other != "" {
		if err := os.Rename(other, n.Dir); err != nil {
			t.Fatal(err)
		}
	}
	return own
}

// A member whose directory was emptied while nobody ran comes back as somebody else, however often it tries. With its own
// directory it is itself again.
func TestWipedMemberIsRefused(t *testing.T) {
	onlyQuorumKV(t)
	c := cluster.Start(t, cluster.Config{})
	c.AwaitEqual()
	c.KillAll()
	n := c.Nodes[2]
	own := exchangeDir(t, n, "")
	c.Nodes[0].Start()
	c.Nodes[1].Start()
	mustBeRefused(t, n, "it was wiped or replaced", "keep it down")
	othersServe(t, c, "wiped")
	mustBeRefused(t, n, "it was wiped or replaced")
	exchangeDir(t, n, own)
	n.Restart()
	c.AwaitEqual()
}

// A directory from before the last start is refused, also once it was started more often than the one it is a copy of.
func TestOldDirectoryIsRefused(t *testing.T) {
	onlyQuorumKV(t)
	c := cluster.Start(t, cluster.Config{})
	c.AwaitEqual()
	n := c.Nodes[1]
	n.Kill()
	old := copyDir(t, n.Dir)
	n.Restart()
	c.AwaitEqual()
	c.KillAll()
	own := exchangeDir(t, n, old)
	c.Nodes[0].Start()
	c.Nodes[2].Start()
	mustBeRefused(t, n, "two copies of the directory", "keep the one that ran last")
	mustBeRefused(t, n, "two copies of the directory")
	othersServe(t, c, "old")
	exchangeDir(t, n, own)
	n.Restart()
	c.AwaitEqual()
}

// Of two processes on copies of one directory the one that was started first ends.
func TestSecondProcessEndsTheFirst(t *testing.T) {
	onlyQuorumKV(t)
	c := cluster.Start(t, cluster.Config{})
	c.AwaitEqual()
	n := c.Nodes[c.Followers()[0]]
	n.Pause()
	dir := copyDir(t, n.Dir)
	n.Continue()
	begin := time.Now()
	second := cluster.Background(t, c.Program.Path, append(n.Args(), "--data-dir="+dir,
		"--listen-client-urls=http://127.0.0.1:0", "--listen-peer-urls=http://127.0.0.1:0"))
	refusedIs(t, n, begin, "two copies of the directory", "keep the one that ran last")
	othersServe(t, c, "second")
	second.Signal(9)
	second.AwaitExit(exitPatience)
	exchangeDir(t, n, dir)
	n.Restart()
	c.AwaitEqual()
}
