package raftnode_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/raftnode"
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
