package raftnode_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/datadir"
	"github.com/quorumkv/quorumkv/storage/snap"
)

// crashAtEach runs story twice for each file operation that it makes on a node, with a crash there: a process crash and a
// power loss. story arms the crash by setting crashAt and returns the node and whether the crash came.
func crashAtEach(t *testing.T, story func(t *testing.T, op int, power bool) (crashed bool)) {
	t.Helper()
	op := 1
	for ; story(t, op, false) && story(t, op, true); op++ {
		if t.Failed() {
			t.Fatalf("crash at operation %d", op)
		}
	}
	if op < 10 {
		t.Fatalf("only %d crashes: the story does not do what it is for", op)
	}
	t.Logf("%d crashes", op-1)
}

// TestCreationInterrupted cuts the making of a data directory at every file operation. The next start finishes it, and
// the marker that allowed to start over is gone for good: a node that loses its identity later is refused.
func TestCreationInterrupted(t *testing.T) {
	crashAtEach(t, func(t *testing.T, op int, power bool) bool {
		c := newDisks(t, 1, raftnode.Config{SegmentBytes: 8 << 10})
		n := c.nodes[0]
		n.crashAt = op
		n.open()
		c.settle()
		crashed := n.raft == nil
		if crashed {
			n.crash(power)
			n.expectSound()
			n.open()
			c.settle()
		}
		n.crashAt = 0
		n.propose("put a", putRequest("a", "1"))
		c.settle()
		if out := c.take(); !strings.Contains(out, "put a: done at revision 2") {
			t.Errorf("after a crash at operation %d: %s", op, out)
		}
		// What the start that was cut off had named, and had not lived to sync the name of, counts by now.
		for image := range uint64(16) {
			left := n.fs.CrashClone(rand.New(rand.NewPCG(uint64(op), image)), n.mapRoot())
			for _, name := range []string{"identity", "hardstate", "peers"} {
				if len(left.Peek(name)) == 0 {
					t.Errorf("after a crash at operation %d, a start and a power cut: %s is gone", op, name)
				}
			}
		}
		n.crash(false)
		if err := n.fs.Remove("identity"); err != nil {
			t.Fatal(err)
		}
		n.open()
		if out := c.take(); !strings.Contains(out, "identity file is missing") {
			t.Errorf("after a crash at operation %d and the loss of the identity: %s", op, out)
		}
		return crashed
	})
}

func TestForeignData(t *testing.T) {
	c := newCluster(t, 1, raftnode.Config{})
	n := c.nodes[0]
	n.crash(false)
	n.id = 2
	n.open()
	if out := c.take(); !strings.Contains(out, "data directory belongs to another member") {
		t.Error(out)
	}
	n.id = 1
	n.open()
	c.settle()
	if n.raft == nil {
		t.Error("the node does not open its own data any more: ", c.take())
	}
}

// TestEtcdData: an etcd's directory is no empty one, and stays as it is.
func TestEtcdData(t *testing.T) {
	c := newDisks(t, 1, raftnode.Config{Dir: "/var/lib/etcd"})
	n := c.nodes[0]
	if err := n.fs.MkdirAll("member/snap"); err != nil {
		t.Fatal(err)
	}
	n.open()
	out := c.take()
	for _, says := range []string{"data directory has etcd's data", "/var/lib/etcd/member", "make-mirror"} {
		if !strings.Contains(out, says) {
			t.Errorf("%q is not in %s", says, out)
		}
	}
	if names, err := n.fs.List(""); err != nil || !slices.Equal(names, []string{"member"}) {
		t.Errorf("the directory has %v now: %v", names, err)
	}

	if err := errors.Join(n.fs.Remove("member/snap"), n.fs.Remove("member")); err != nil {
		t.Fatal(err)
	}
	n.open()
	c.settle()
	if n.raft == nil {
		t.Error("without it, the node is not created: ", c.take())
	}
}

// behind is a cluster of three whose node 3 has missed more than the log of the others holds.
func behind(t *testing.T, cfg raftnode.Config) *cluster {
	t.Helper()
	cfg.SnapshotEntries, cfg.CatchUpEntries, cfg.SegmentBytes = 20, 5, 8<<10
	c := newCluster(t, 3, cfg)
	c.tick(10, c.nodes...)
	c.node(3).crash(false)
	c.tick(10, c.up()...)
	c.node(1).fill(40, 10)
	c.tick(2, c.up()...)
	if s := c.node(1).raft.Status(); s.First != 38 {
		t.Fatalf("the leader's log begins at index %d", s.First)
	}
	return c
}

// converge lets a minute pass at most, until all nodes have applied the same.
func converge(t *testing.T, c *cluster) {
	t.Helper()
	for range 600 {
		c.tick(1, c.up()...)
		s := c.node(1).stat
		same := s.Ready && s.Leader != 0
		for _, n := range c.nodes {
			same = same && n.raft != nil && n.stat.Ready && n.stat.Applied == s.Applied && n.stat.Commit == s.Commit
		}
		if same {
			return
		}
	}
	t.Errorf("the nodes do not come together:\n%s", c.take())
}

// TestInstallInterrupted crashes a follower at every file operation between its start and the end of the installation of
// a snapshot. It comes back with the old state or with the new one, and catches up.
func TestInstallInterrupted(t *testing.T) {
	crashAtEach(t, func(t *testing.T, op int, power bool) bool {
		c := behind(t, raftnode.Config{ChunkBytes: 12 << 10})
		n := c.node(3)
		n.crashAt = op
		n.open()
		for range 10 {
			c.tick(1, c.up()...)
		}
		crashed := n.raft == nil
		if crashed {
			n.crash(power)
			n.expectSound()
			n.open()
		}
		n.crashAt = 0
		c.settle()
		converge(t, c)
		if left := n.files("snap"); len(left) > 0 {
			t.Errorf("node 3 keeps %v", left)
		}
		c.take()
		acked := n.fill(1, 10)
		if acked == 0 {
			// The leader has not heard of the installation and waits for it, but not for ever.
			c.tick(101, c.nodes...)
			acked = n.fill(1, 10)
		}
		if n.stat.Applied < 42 || acked == 0 {
			t.Errorf("node 3 at index %d takes no write: %s", n.stat.Applied, c.take())
		}
		return crashed
	})
}

// TestInterruptedInstallOfRottenState finds a snapshot to finish an installation from whose checksum is right, because what
// it was copied from was rotten. The node fetches another one.
func TestInterruptedInstallOfRottenState(t *testing.T) {
	c := behind(t, raftnode.Config{})
	n := c.node(3)
	n.fault = func(op memfs.Op) error {
		if op.Kind == memfs.OpRename && op.Name == "state/CURRENT.tmp" {
			panic(memfs.Crash{Op: op})
		}
		return nil
	}
	n.open()
	for range 10 {
		c.tick(1, c.up()...)
	}
	files := n.files("snap")
	if n.raft != nil || len(files) != 1 {
		t.Fatalf("node 3 did not die while it installed a snapshot: up %v, files %v\n%s", n.raft != nil, files, c.take())
	}
	n.fault = nil
	n.crash(false)
	found, err := snap.List(n.fs, datadir.Snap)
	if err != nil {
		t.Fatal(err)
	}
	rotten, err := snap.Create(n.fs, datadir.Snap, found[0], 64<<10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rotten.Write(make([]byte, 64<<10)); err != nil {
		t.Fatal(err)
	}
	if err := rotten.Finish(); err != nil {
		t.Fatal(err)
	}
	c.take()
	n.open()
	c.settle()
	if n.raft == nil {
		t.Fatal(c.take())
	}
	converge(t, c)
}

// TestRepairInterrupted crashes a node with a hole in its log at every file operation between its start and the end of the
// repair. It never takes what is left for all there was, and comes back whole.
func TestRepairInterrupted(t *testing.T) {
	crashAtEach(t, func(t *testing.T, op int, power bool) bool {
		c := newCluster(t, 3, raftnode.Config{SegmentBytes: 8 << 10})
		c.tick(10, c.nodes...)
		c.node(1).fill(20, 200)
		n := c.node(3)
		n.crash(false)
		n.fs.Rot("wal/0000000000000002.log", 2500, 20, func(p []byte) { clear(p) })
		n.crashAt = op
		n.open()
		c.tick(1, c.up()...)
		crashed := n.raft == nil
		if crashed {
			n.crash(power)
			n.open()
			c.settle()
			if s := n.stat; !s.Restoring && s.Last < 22 {
				t.Errorf("the log ends at index %d, after damage below its end at 22", s.Last)
			}
		}
		n.crashAt = 0
		converge(t, c)
		c.take()
		if n.fill(1, 10) == 0 || n.stat.Damage != "" {
			t.Errorf("node 3 takes no write: %s, %s", n.stat.Damage, c.take())
		}
		return crashed
	})
}

// TestLifeInterrupted crashes a follower at every file operation of an ordinary stretch of its life: entries over several
// segments, commits of the state, a seal, a compaction of the log. What it acknowledged it still has.
func TestLifeInterrupted(t *testing.T) {
	crashAtEach(t, func(t *testing.T, op int, power bool) bool {
		c := newCluster(t, 3, raftnode.Config{SegmentBytes: 2 << 10, SnapshotEntries: 10, CatchUpEntries: 3})
		c.tick(10, c.nodes...)
		n := c.node(3)
		n.crashAt = op
		acked := 0
		for range 3 {
			acked += c.node(1).fill(8, 150)
			c.tick(2, c.up()...)
		}
		crashed := n.raft == nil
		held := n.stat.Last
		if crashed {
			n.crash(power)
			n.expectSound()
			n.open()
			c.settle()
			if n.stat.Last < held {
				t.Errorf("the log ends at index %d, it was durable up to %d", n.stat.Last, held)
			}
		}
		n.crashAt = 0
		converge(t, c)
		c.take()
		if acked != 24 || n.fill(1, 10) == 0 {
			t.Errorf("%d of 24 writes were acknowledged by the others, and node 3 takes one or not: %s", acked, c.take())
		}
		return crashed
	})
}
