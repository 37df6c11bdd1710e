package raftnode_test

import (
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/raftnode"
)

// TestScrubKeepsItsPace lets a node scrub by itself: the first pass begins within the interval, each later one an interval
// after the last, and no more is read than the rate allows.
func TestScrubKeepsItsPace(t *testing.T) {
	const rate, interval = 20 << 10, 10 * time.Second
	c := newCluster(t, 1, raftnode.Config{SegmentBytes: 64 << 10, BallastBytes: -1, ScrubRate: rate, ScrubInterval: interval})
	n := c.node(1)
	n.fill(100, 500)
	c.tick(5, n)
	start, began := n.now, []time.Duration{}
	var last raftnode.ScrubStats
	var next time.Duration // when the next read is due
	for n.now < 70*time.Second {
		before := n.now
		c.tick(1, n)
		s := n.raft.Status().Scrub
		if s.PassBytes > 0 && (last.PassBytes == 0 || s.Passes > last.Passes) {
			began = append(began, n.now)
		}
		if s.Bytes > last.Bytes {
			if n.now < next {
				t.Fatalf("%d bytes more at %v, they were due at %v", s.Bytes-last.Bytes, n.now, next)
			}
			// What was read is waited for, from some time between the two ticks on.
			next = before + time.Duration(float64(s.Bytes-last.Bytes)/rate*float64(time.Second))
		}
		last = s
	}
	if len(began) == 0 || began[0]-start > interval+time.Second {
		t.Fatalf("passes began at %v", began)
	}
	if last.Passes < 3 || last.Bytes < last.Passes*100*500 {
		t.Errorf("%d passes, %d bytes", last.Passes, last.Bytes)
	}
	if last.LastPass == 0 || last.Log+last.State+last.HardState+last.Identity+last.Leftovers > 0 {
		t.Errorf("%+v", last)
	}
	for i := range began[1:] {
		if between := began[i+1] - began[i]; between < interval-interval/20 {
			t.Errorf("passes began at %v", began)
		}
	}
}

// TestScrubIsOff reads nothing by itself, and all when it is asked to.
func TestScrubIsOff(t *testing.T) {
	c := newCluster(t, 1, raftnode.Config{BallastBytes: -1, ScrubRate: -1, ScrubInterval: time.Second})
	n := c.node(1)
	n.fill(10, 100)
	c.tick(50, n)
	if s := n.raft.Status().Scrub; s != (raftnode.ScrubStats{}) {
		t.Errorf("%+v", s)
	}
	n.guard(func() { n.raft.Scrub(func() {}) })
	c.settle()
	if s := n.raft.Status().Scrub; s.Passes != 1 || s.Bytes == 0 {
		t.Errorf("asked to: %+v", s)
	}
}

// TestRenewalInterrupted damages the log of a node and ends it at each file operation of a scrub that finds it, by a kill or
// a power cut: it starts again, with all that was acknowledged.
func TestRenewalInterrupted(t *testing.T) {
	crashAtEach(t, func(t *testing.T, op int, power bool) (crashed bool) {
		c := newCluster(t, 1, raftnode.Config{SegmentBytes: 8 << 10, BallastBytes: -1})
		n := c.node(1)
		acked := n.fill(40, 300)
		c.tick(1, n) // all is in the state: of it nothing is missed
		segment := n.files("wal")[0]
		n.fs.Rot(segment, 1000, 1, func(p []byte) { p[0] ^= 1 })
		n.crashAt = op
		n.guard(func() { n.raft.Scrub(func() {}) })
		c.settle()
		crashed = n.raft == nil
		if crashed {
			n.crash(power)
			n.open()
			c.settle()
		}
		n.crashAt = 0
		if n.raft == nil {
			t.Fatalf("operation %d: %s", op, c.take())
		}
		c.tick(20, n)
		n.read("fill9")
		c.settle()
		if n.raft.Status().Applied < uint64(acked) {
			t.Fatalf("operation %d: %s", op, c.take())
		}
		n.guard(func() { n.raft.Scrub(func() {}) })
		c.settle()
		if got := n.fs.Peek(segment); got != nil {
			t.Errorf("operation %d: the damaged segment is still there", op)
		}
		return crashed
	})
}
