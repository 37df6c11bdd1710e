package raftnode_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/raftnode"
)

// TestCompactionFlushesWhileIdle: what a physical compaction deletes is committed as it goes, although nothing is applied
// any more that would cause a commit. Else it would gather in memory.
func TestCompactionFlushesWhileIdle(t *testing.T) {
	commits := 0
	cfg := raftnode.Config{Observe: raftnode.Observer{BackendCommit: func(time.Duration) { commits++ }}}
	c := newCluster(t, 1, cfg)
	n := c.nodes[0]
	const batch, batches = 1_000, 25
	for range batches {
		for k := range batch {
			n.propose("", putRequest(fmt.Sprint(k), "v"))
		}
		c.settle()
	}
	c.tick(2, n)
	c.take()
	n.propose("compact", compactRequest(batch*batches+1))
	c.settle()
	if out := c.take(); !strings.Contains(out, "compact: done") {
		t.Fatal(out)
	}
	c.tick(2, n) // commits the compaction itself
	before := commits
	c.tick(100, n) // to put the revisions in order, and to delete them
	if commits == before {
		t.Errorf("%d revisions deleted, and no commit", batch*(batches-1))
	}
	n.raft.AwaitCompaction(func() { n.say("compacted") })
	c.tick(2, n)
	if out := c.take(); !strings.Contains(out, "compacted") {
		t.Error("the end of the compaction was not told: ", out)
	}
}

// TestMuchIsCompactedFaster: at one pace for all, clients could overwrite more than is ever deleted.
func TestMuchIsCompactedFaster(t *testing.T) {
	const few, many, more = 1_000, 300_000, 600_000
	got, want := raftnode.Paces(few, many, few, more, many, 0, few), []int{5, 100, 100, 200, 200, 5, 5}
	if !slices.Equal(got, want) {
		t.Errorf("slices a tick %v, want %v", got, want)
	}
}
