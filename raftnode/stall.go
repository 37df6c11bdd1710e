package raftnode

import (
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// stall is the watchdog of the wal lane.
//
// A leader does not need its own disk to commit: the followers' do. So one whose disk hangs goes on sending heartbeats,
// nobody stands for election, and its clients wait for ever. It must notice by itself and hand leadership over; if nobody
// takes it, it keeps silent like a dead one: the others elect, and it steps down for want of answers. All that only while
// the others are enough to elect without it: else its vote is needed, which it cannot write down, and a leader that serves
// reads is better than none.
//
// A follower whose disk hangs costs nobody anything as long as it does not stand for election: then it would lead the
// moment it can write down that it does.
//
// Time is the lease clock's, which makes small steps only: a process that was paused has no stalled disk.
type stall struct {
	jobs   int           // given to the wal lane and not finished
	since  time.Duration // when the oldest of them became the oldest
	length time.Duration // how long that is, once it is too long; 0: the disk keeps up
	handed bool          // leadership was offered to others since the stall began
	silent bool          // nobody took it: no messages of a leader until the disk is back or it leads no more
}

// onWAL runs work on the wal lane, and then done on the loop. Everything for that lane passes here, but for its end.
func (n *Node) onWAL(work func() error, done func(error)) {
	s := &n.stall
	if s.jobs == 0 && n.appends.blocked == nil {
		s.since = n.leaseNow()
	}
	s.jobs++
	n.walLane.Do(work, func(err error) {
		s.jobs--
		done(err)
		if n.appends.blocked == nil { // an append that waits for space is as good as one that hangs
			s.since = n.leaseNow()
			n.endStall()
		}
	})
}

// tickStall looks at the oldest job.
func (n *Node) tickStall() {
	s := &n.stall
	took := n.leaseNow() - s.since
	if s.jobs == 0 && n.appends.blocked == nil || took <= n.cfg.StallTimeout {
		return
	}
	if s.length == 0 {
		n.stats.DiskStalls++
		n.logger.Warn("disk stalled: a write to the log does not come to its end", "elapsed", took, "leads", n.leads())
	}
	s.length = took
	if n.leads() && n.othersElect() && n.transfer == nil && !s.handed {
		s.handed = true
		n.TransferLeadership(0, n.stalledHandover)
	}
}

// stalledHandover is the end of the attempt to hand leadership over, well or not.
func (n *Node) stalledHandover(err error) {
	s := &n.stall
	switch {
	case err == nil || n.stopped || s.length == 0 || !n.leads():
	case n.appends.blocked != nil || !n.othersElect():
		s.handed = false // nobody leads any better, who has no space either no more than who is not elected
	default:
		s.silent = true
		n.logger.Warn("nobody takes over from a stalled leader: it keeps silent until others elect", "error", err)
	}
}

// endStall goes back to normal.
func (n *Node) endStall() {
	s := &n.stall
	if s.length == 0 {
		return
	}
	n.logger.Warn("disk stall is over", "elapsed", s.length)
	observe(n.cfg.Observe.DiskStall, s.length)
	s.length, s.handed, s.silent = 0, false, false
	n.schedule()
}

// standsStill tells whether no time shall pass for raft: the node would stand for election with a disk that it cannot
// write to.
func (n *Node) standsStill() bool { return n.stall.length > 0 && !n.leads() }

// withheld tells whether a message must not leave, because it would keep the others from electing a leader.
func (n *Node) withheld(m *raftpb.Message) bool {
	if !n.stall.silent {
		return false
	}
	switch m.GetType() {
	case raftpb.MsgApp, raftpb.MsgHeartbeat, raftpb.MsgSnap, raftpb.MsgTimeoutNow:
		return true
	}
	return false
}

// othersElect tells whether the voters that were heard lately are a quorum without this node.
func (n *Node) othersElect() bool {
	now := n.env.Clock.Now()
	return n.quorumOf(func(id uint64) bool { return id != n.self.Member && n.hears(id, now) })
}

func (n *Node) leads() bool { return n.raw != nil && n.role == raft.StateLeader }
