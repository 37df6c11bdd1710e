package raftnode_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/datadir"
	"github.com/quorumkv/quorumkv/storage/wal"
)

// TestOpenFailureClosesFiles: a node whose log does not open leaves the hard state closed.
func TestOpenFailureClosesFiles(t *testing.T) {
	c := newCluster(t, 1, raftnode.Config{})
	n := c.nodes[0]
	n.crash(false)
	open := 0
	n.fault = func(op memfs.Op) error {
		switch {
		case strings.HasPrefix(op.Name, "wal"):
			return errors.New("input/output error")
		case op.Name == "hardstate" && op.Kind == memfs.OpOpen:
			open++
		case op.Name == "hardstate" && op.Kind == memfs.OpClose:
			open--
		}
		return nil
	}
	n.open()
	if out := c.take(); !strings.Contains(out, "does not open: open write-ahead log") {
		t.Fatal(out)
	}
	if open != 0 {
		t.Errorf("hard state is left open %d times", open)
	}
}

// TestContradictions refuses files that are sound and do not belong together, as after a restore of some of them: the node
// would break promises that it has forgotten, or serve what the log does not lead to.
func TestContradictions(t *testing.T) {
	for _, c := range []struct {
		name    string
		replace func(n *node) error
		says    string
	}{
		{"hard state older than the log", func(n *node) error {
			f, err := wal.CreateHardState(n.fs, wal.HardState{Term: 1, BootEpoch: 1})
			return errors.Join(err, f.Close())
		}, "hard state is at term 1, and the log has entries of term 2"},
		{"log of another history than the state", func(n *node) error {
			id, err := wal.LoadIdentity(n.fs)
			if err != nil {
				return err
			}
			base := wal.Snapshot{Index: n.stat.Applied, Term: 1}
			return wal.Rebuild(n.fs, datadir.WAL, wal.Config{SegmentBytes: 8 << 10, Seed: id.Incarnation}, base, nil, base.Index)
		}, "state has applied index 3 of term 2, and the log has term 1 there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cluster := newCluster(t, 3, raftnode.Config{SegmentBytes: 8 << 10})
			cluster.tick(10, cluster.nodes...)
			cluster.node(1).fill(1, 10)
			cluster.tick(2, cluster.nodes...)
			n := cluster.node(3)
			n.raft.Stop(func(error) {})
			cluster.settle()
			n.crash(false)
			if err := c.replace(n); err != nil {
				t.Fatal(err)
			}
			cluster.take()
			n.open()
			if out := cluster.take(); n.raft != nil || !strings.Contains(out, c.says) {
				t.Errorf("opened: %v\n%s", n.raft != nil, out)
			}
		})
	}
}
