package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestVerdictsAreTrue damages a stopped follower's files in one place at a time, asks the offline check what a start will do
// about it, and starts the member: it must do that.
func TestVerdictsAreTrue(t *testing.T) {
	onlyQuorumKV(t)
	c := cluster.Start(t, cluster.Config{})
	putMany(t, c, 200)
	victim := c.Followers()[0]
	node := c.Nodes[victim]
	for _, d := range []struct {
		name    string
		verdict string
		injure  func(dir string) error
	}{
		{"identity, a bit", "REFUSES", flipIn("identity", 9)},
		{"identity removed", "REFUSES", remove("identity")},
		{"hard state, first copy", "REPAIRS", flipIn("hardstate", 20)},
		{"hard state, second copy", "REPAIRS", flipIn("hardstate", 4096+20)},
		{"hard state, both copies", "REFUSES", func(dir string) error {
			if err := flipIn("hardstate", 20)(dir); err != nil {
				return err
			}
			return flipIn("hardstate", 4096+20)(dir)
		}},
		{"log, a bit in the middle", "REPAIRS", flipFrame(t, node, 1, 2)},
		{"log, a bit near the end", "REPAIRS", flipFrame(t, node, 9, 10)},
		{"log removed", "REPAIRS", remove("wal/*")},
		{"state, a row", "REPAIRS", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, stateFile(t, node)), spoilKey(readState(t, node), recoverKey(20)), 0o600)
		}},
		{"state removed", "REPAIRS", remove("state/0*/db")},
		{"CURRENT, a bit", "REPAIRS", flipIn("state/CURRENT", 2)},
	} {
		putMany(t, c, 40) // frames of their own, and not just the copy of the last one that a start makes
		awaitInState(t, node, recoverKey(20))
		node.Kill()
		saved := copyDir(t, node.Dir)
		if err := d.injure(node.Dir); err != nil {
			t.Fatalf("%s: %v", d.name, err)
		}
		r := cluster.Run(t, quorumctlPath(t), []string{"check", node.Dir}, time.Minute)
		if r.Code != 1 || !strings.Contains(r.Stdout, "\n"+d.verdict+": ") {
			t.Errorf("%s: exit code %d, want 1 and %s in\n%s%s", d.name, r.Code, d.verdict, r.Stdout, r.Stderr)
		}
		if d.verdict == "REPAIRS" {
			node.Restart()
			c.AwaitEqual()
			continue
		}
		if r := cluster.Run(t, c.Program.Path, node.Args(), 20*time.Second); r.TimedOut || r.Code <= 0 {
			t.Errorf("%s: exit code %d, still running: %v\n%s", d.name, r.Code, r.TimedOut, r.Stderr)
		}
		node.Wipe()
		if err := os.Rename(saved, node.Dir); err != nil {
			t.Fatal(err)
		}
		node.Restart()
		c.AwaitEqual()
	}
}

func copyDir(t *testing.T, dir string) string {
	t.Helper()
	saved := filepath.Join(t.TempDir(), "saved")
	if err := os.CopyFS(saved, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return saved
}

func remove(pattern string) func(dir string) error {
	return func(dir string) error {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err == nil && len(names) == 0 {
			err = fmt.Errorf("nothing matches %s", pattern)
		}
		for _, name := range names {
			if err == nil {
				err = os.Remove(name)
			}
		}
		return err
	}
}

func flipIn(name string, offset int64) func(dir string) error {
	return func(dir string) error { return flipByte(filepath.Join(dir, name), offset) }
}

func flipByte(path string, offset int64) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	content[offset] ^= 4
	return os.WriteFile(path, content, 0o600)
}

// flipFrame damages a frame with entries, at a part of the way through the segment that has the most of them.
func flipFrame(t *testing.T, n *cluster.Node, part, of int) func(string) error {
	return func(string) error {
		var path string
		var frames []walFrame
		for _, f := range readWAL(t, n) {
			with := slices.DeleteFunc(f.frames, func(f walFrame) bool { return f.kind != 'e' || f.last < f.first })
			if len(with) > len(frames) {
				path, frames = f.path, with
			}
		}
		return flipByte(path, frames[len(frames)*part/of].offset+walFrameHeader+20)
	}
}
