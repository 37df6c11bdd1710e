package raftnode

import "fmt"

// compactLog drops the entries that the state file holds durably, but for those kept for slow followers. It runs after
// a flush: nothing above flush.durable may go, whatever the bounds say.
func (n *Node) compactLog() {
	keep := n.cfg.CatchUpEntries
	held := n.flush.durable - min(n.flush.durable, n.mem.baseIndex)
	switch {
	case n.mem.bytes > n.cfg.LogBytes:
		keep = min(keep, held/2) // large entries: memory decides, not their number
	case held < n.cfg.SnapshotEntries+n.cfg.CatchUpEntries:
		return
	}
	if held <= keep {
		return
	}
	index := n.flush.durable - keep
	n.mem.compact(index)
	n.logger.Debug("log compacted", "index", index, "durable", n.flush.durable)
	n.walLane.Do(func() error { return n.disk.log.Compact(index) }, func(err error) {
		if err != nil && !n.stopped {
			n.fail(fmt.Errorf("remove log segments up to index %d: %w", index, err))
		}
	})
}

// compaction follows the deletion of revisions that a client's Compact gave up: logical at once, physical in slices.
type compaction struct {
	stepping bool     // a slice is on the apply lane
	done     bool     // nothing is left to delete
	waiters  []func() // clients that asked for a physical compaction
}

// compactPhysically deletes compacted revisions, one slice a tick at the most, so that applies never wait for long.
func (n *Node) compactPhysically() {
	c := &n.compaction
	if n.raw == nil || c.stepping || (c.done && len(c.waiters) == 0) {
		return
	}
	c.stepping = true
	waiters := c.waiters
	c.waiters = nil
	var finished bool
	n.applyLane.Do(func() error {
		finished = n.state.machine.CompactStep()
		return nil
	}, func(error) {
		c.stepping, c.done = false, finished
		switch {
		case n.stopped:
		case !c.done:
			c.waiters = append(waiters, c.waiters...)
		case len(waiters) > 0:
			n.flushNow(func() {
				for _, w := range waiters {
					w()
				}
			})
		}
	})
}

// AwaitCompaction calls done, on the loop, once everything compacted before the call is gone from this node's file. It
// is not called when the node stops first.
func (n *Node) AwaitCompaction(done func()) {
	n.compaction.waiters = append(n.compaction.waiters, done)
}
