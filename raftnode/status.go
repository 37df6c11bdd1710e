package raftnode

import (
	"time"

	"go.etcd.io/raft/v3"

	"github.com/quorumkv/quorumkv/storage/apply"
)

// Stats counts since boot.
type Stats struct {
	LeaderChanges   uint64
	ProposalsFailed uint64
	SlowReadIndexes uint64
	LeasesGranted   uint64 // by the log, whoever asked
	LeasesRevoked   uint64 // expired ones included
	LeasesExpired   uint64 // by this node as the leader
	DiskStalls      uint64 // of the log's disk
	Repairs         uint64 // of files, after damage
	Scrub           ScrubStats

	SnapshotsInstalled     uint64 // a state was replaced by a peer's
	HistoryChecks          uint64 // comparisons of the members' histories that came to a verdict
	HistoryChecksUndecided uint64 // and that came to none
	HistoriesDiverged      uint64 // times that this node's own was found to differ

	leaderSince time.Duration
}

// Status is a snapshot of a node, safe to hand around.
type Status struct {
	ClusterID, MemberID uint64
	Leader              uint64 // 0: none known
	Role                raft.StateType
	Term                uint64
	Commit              uint64 // highest index known to be committed
	Applied             uint64 // highest index applied
	First, Last         uint64 // the log's durable extent; First > Last when it is empty
	HistoryHash         uint64 // of the applied history, at Applied
	Learner             bool
	Restoring           bool  // the log or the state is being fetched from a peer
	Ready               bool  // what was known committed at boot is applied: reads may be served
	Pending             int   // client writes waiting
	Watchers            int   // open on this node
	FileBytes           int64 // size of the state file at the last flush
	FileBytesInUse      int64 // of these, the bytes that hold data
	// DiskStall is how long a write to the log has been under way, when that is too long; else 0.
	DiskStall time.Duration
	// Damage says what the disk lost, and what is done about it; "" if nothing.
	Damage string
	// DivergedAt is the index of the check that found this node's history to differ, until its state is replaced; else 0.
	DivergedAt uint64
	// Dispute says how the members' histories differ while no majority tells which of them is right; "" if they do not.
	Dispute string
	Stats
}

// Status describes the node now.
func (n *Node) Status() Status {
	s := Status{
		ClusterID: n.cfg.ClusterID,
		MemberID:  n.self.Member,
		Leader:    n.leader,
		Role:      n.role,
		Term:      n.term,
		Applied:   n.applied,
		First:     n.mem.first(),
		Last:      n.mem.last(),
		Restoring: n.raw == nil,
		Pending:   n.pending.len(),
		Watchers:  n.watches.Watchers(),
		DiskStall: n.stall.length,
		Damage:    n.damage(),
		Dispute:   n.histories.dispute,
		Stats:     n.stats,

		DivergedAt:     n.lost.check,
		FileBytes:      n.flush.size,
		FileBytesInUse: n.flush.inUse,
	}
	if n.raw != nil {
		// All from one place: a role of one term with the number of the next would show two leaders where there is one.
		b := n.raw.BasicStatus()
		s.Role, s.Leader, s.Term, s.Commit = b.RaftState, b.Lead, b.GetTerm(), b.GetCommit()
		s.Ready = n.applied >= n.caughtUp && n.lost.reason == ""
	}
	if n.view != nil {
		s.HistoryHash = n.view.HistoryHash
	}
	for _, id := range n.mem.conf.GetLearners() {
		s.Learner = s.Learner || id == n.self.Member
	}
	return s
}

// publish hands out the state when it changed since the last time. Before the node is ready nobody gets a view: not
// even a serializable read may go behind what this node once knew.
func (n *Node) publish() {
	s := n.Status()
	if s == n.published {
		return
	}
	n.published = s
	var v *apply.View
	if s.Ready {
		v = n.view
	}
	if n.cfg.Publish != nil {
		n.cfg.Publish(s, v)
	}
	if v != nil {
		n.watches.Advance(v.KV) // after Publish: who hears of an event finds it in every view
	}
}
