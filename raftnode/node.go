package raftnode

import (
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/invariant"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/wal"
	"github.com/quorumkv/quorumkv/storage/watch"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// Node is one member of the cluster. Every method runs on the loop.
type Node struct {
	env    env.Env
	cfg    Config
	logger hclog.Logger

	identity wal.Identity
	hello    peerpb.Hello
	founders []apply.Member // as in the identity file
	// self is this boot's identity: member and epoch. Its counter is the last request id given out.
	self apply.RequestID

	raw *raft.RawNode // nil while the log or the state is being restored from a peer
	mem *memoryLog

	peers                                              acquaintances
	walLane, applyLane, flushLane, snapLane, scrubLane env.Lane
	disk                                               disk  // owned by the wal lane
	state                                              state // owned by the apply lane

	role     raft.StateType
	leader   uint64
	term     uint64
	applied  uint64
	view     *apply.View // nil until the state is there
	caughtUp uint64      // commit index known at boot: nothing is served before it is applied

	queue   []queued        // commands waiting for the next entry or for a leader, oldest first
	batch   []apply.Command // memory for nextBatch
	encoded []byte          // memory for proposeBatches
	qbytes  int
	pending pendingTable
	// lostToLeader says that messages to the leader got lost since the last tick.
	lostToLeader bool
	reads        readQueue
	watches      *watch.Hub
	appends      appendQueue
	notices      notices
	committed    []*raftpb.Message // entries that are to be applied and have to wait, oldest first
	flush        flushState
	snaps        snapshots
	compaction   compaction
	fetch        *fetch // a snapshot on its way here, nil if none
	staged       *staged
	lost         stateLoss
	repair       *logRepair // of a log that lost entries, nil if it is whole
	transfer     *transfer
	leases       leases
	stall        stall
	space        space
	histories    histories
	scrub        scrubber
	heard        map[uint64]time.Duration   // when a peer was last heard
	taken        map[uint64]apply.RequestID // the newest command taken from a peer that forwarded it

	stats     Stats
	published Status
	turning   bool // a turn is queued
	started   bool
	stopped   bool
	stopTick  func()
}

// Start lets time pass for the node. Call it once, on the loop, when messages can be sent.
func (n *Node) Start() {
	n.started = true
	n.stopTick = n.env.Clock.After(n.cfg.Tick, n.tick)
	if n.raw != nil && n.cfg.HastenElection {
		for range n.cfg.ElectionTicks - firstElectionTicks {
			n.raw.Tick()
		}
	}
	if n.raw != nil && n.alone() {
		// Alone in the cluster there is nobody whose heartbeat is worth waiting for. An error means that raft has entries
		// to apply first: then the election timeout comes around soon enough.
		_ = n.raw.Campaign()
	}
	n.planFirstScrub()
	n.schedule()
}

// Stop ends the node: nothing is acknowledged any more. Work on the lanes finishes; done runs on the loop after it and
// after the files are closed.
func (n *Node) Stop(done func(error)) {
	n.halt()
	n.walLane.Do(n.disk.close, func(diskErr error) {
		n.closeState(func(stateErr error) {
			// Through the snap lane and back: a copy that was being made is in place now.
			n.snapLane.Do(func() error { return nil }, func(error) {
				n.snapLane.Do(n.snaps.close, func(snapErr error) {
					n.peers.lane.Do(n.peers.file.Close, func(peersErr error) {
						done(firstError(diskErr, stateErr, snapErr, peersErr))
					})
				})
			})
		})
	})
}

// fail is the end of a node that can no longer vouch for its files. What is not acknowledged by now never will be: a
// second fsync that succeeds would prove nothing, so there is no second try.
func (n *Node) fail(err error) {
	if n.stopped {
		return
	}
	n.logger.Error("node failed, nothing is acknowledged any more", "error", err)
	n.halt()
	n.cfg.Failed(err)
}

func (n *Node) halt() {
	if n.stopped {
		return
	}
	n.stopped = true
	if n.stopTick != nil {
		n.stopTick()
	}
	n.notices.clear()
	n.queue, n.qbytes = nil, 0
	n.pending.failAll(ErrStopped)
	n.reads.failAll(ErrStopped)
	n.leases.calls.failAll(ErrStopped)
	if n.transfer != nil {
		n.transfer.done(ErrStopped)
		n.transfer = nil
	}
}

// schedule queues a turn behind everything that is already posted. That is the whole batching rule: what waits when
// the loop turns is handled together.
func (n *Node) schedule() {
	if n.turning || n.stopped || !n.started {
		return
	}
	n.turning = true
	n.env.Post(n.turn)
}

func (n *Node) turn() {
	n.turning = false
	if n.stopped {
		return
	}
	if n.raw != nil {
		n.proposeWaiting()
		n.askReadIndex()
		n.turnLeases()
		for n.raw.HasReady() && !n.stopped {
			n.process(n.raw.Ready())
		}
		n.discardUnclaimed()
	}
	n.publish()
}

// process carries out one Ready. Messages that depend on this node's disk are not in it: they are the Responses of
// MsgStorageAppend and leave from appendDone.
func (n *Node) process(rd raft.Ready) {
	if rd.SoftState != nil || rd.HardState.GetTerm() > n.term {
		n.observe()
	}
	for _, r := range rd.ReadStates {
		n.readConfirmed(r)
	}
	for _, m := range rd.Messages {
		n.route(m)
	}
}

// route hands a message of raft's to the lane, the peer or the state machine it is for.
func (n *Node) route(m *raftpb.Message) {
	switch m.GetTo() {
	case raft.LocalAppendThread:
		n.appends.push(m)
		n.notices.appended(n.appends.last)
		n.startAppend()
	case raft.LocalApplyThread:
		n.startApply(m)
	case n.self.Member:
		n.stepSelf(m)
	default:
		if m.GetFrom() != n.self.Member {
			// raft passes a read index on that reached it after it lost leadership, under the name of who sent it. The
			// receiver would have to refuse that name; the reader asks again by itself.
			return
		}
		if m.GetType() == raftpb.MsgApp && n.holdsBack(m) {
			return
		}
		n.sendRaft(m)
	}
}

func (n *Node) sendRaft(m *raftpb.Message) {
	if n.withheld(m) {
		return
	}
	if m.GetType() == raftpb.MsgSnap {
		n.snapshotOffered(m)
	}
	n.send(m.GetTo(), &peerpb.Message{Body: &peerpb.Message_Raft{Raft: m}})
}

func (n *Node) send(to uint64, m *peerpb.Message) {
	m.From, m.To = n.self.Member, to
	n.env.Net.Send(to, m)
}

// stepSelf delivers a response of one of this node's own lanes.
func (n *Node) stepSelf(m *raftpb.Message) {
	if err := n.raw.Step(m); err != nil {
		invariant.Check(false, "raft refuses %s from its own lane: %v", m.GetType(), err)
	}
	n.schedule()
}

// Receive takes a message from a run of a peer. The transport has checked sender and receiver. It is dropped unless that run
// is the one that was admitted last.
func (n *Node) Receive(from peerpb.Boot, m *peerpb.Message) {
	if n.stopped || m.GetTo() != n.self.Member || !n.peers.admitted(m.GetFrom(), from) {
		return
	}
	n.heard[m.GetFrom()] = n.env.Clock.Now()
	switch b := m.GetBody().(type) {
	case *peerpb.Message_Raft:
		n.peers.takeNote(m.GetFrom(), b.Raft)
		n.receiveRaft(b.Raft)
	case *peerpb.Message_Forward:
		n.forwarded(m.GetFrom(), b.Forward)
	case *peerpb.Message_ForwardRefused:
		n.forwardRefused(b.ForwardRefused)
	case *peerpb.Message_SnapshotFetch:
		n.serveSnapshot(m.GetFrom(), b.SnapshotFetch)
	case *peerpb.Message_SnapshotChunk:
		n.snapshotChunk(m.GetFrom(), b.SnapshotChunk)
	case *peerpb.Message_SnapshotFailed:
		n.snapshotFailed(m.GetFrom(), b.SnapshotFailed)
	case *peerpb.Message_LogFetch:
		n.serveLog(m.GetFrom(), b.LogFetch)
	case *peerpb.Message_LogPiece:
		n.logPiece(m.GetFrom(), b.LogPiece)
	case *peerpb.Message_LeaseRenew:
		n.leasesAsked(m.GetFrom(), b.LeaseRenew)
	case *peerpb.Message_LeaseRenewed:
		n.leasesAnswered(m.GetFrom(), b.LeaseRenewed)
	case *peerpb.Message_LeaseRound:
		n.leaseRound(m.GetFrom(), b.LeaseRound)
	case *peerpb.Message_LeaseRoundAck:
		n.leaseRoundAck(m.GetFrom(), b.LeaseRoundAck)
	case *peerpb.Message_LeaseSurvey:
		n.leaseSurvey(m.GetFrom(), b.LeaseSurvey)
	case *peerpb.Message_LeaseTable:
		n.leaseTable(m.GetFrom(), b.LeaseTable)
	}
}

func (n *Node) receiveRaft(m *raftpb.Message) {
	if n.raw == nil {
		return // no state yet, so no part in the protocol
	}
	if m.GetType() == raftpb.MsgSnap && m.GetTerm() >= n.term {
		// raft is told only once the content is here and staged.
		n.fetchSnapshot(m.GetFrom(), m)
		return
	}
	if m.GetType() == raftpb.MsgTimeoutNow && (n.stall.length > 0 || n.lost.reason != "") {
		return // it cannot lead; who asked will ask another
	}
	if m.GetType() == raftpb.MsgApp && n.appends.blocked != nil && !n.leads() {
		return // the disk has no room for more; see ahead.go
	}
	if m.GetType() == raftpb.MsgReadIndex && n.answersReader(m) {
		return
	}
	n.leases.sawEntries(m)
	// An error means a message from a node that is not (or no longer) a peer: raft ignores it and so do we.
	_ = n.raw.Step(m)
	if m.GetType() == raftpb.MsgAppResp && !m.GetReject() {
		n.snapshotTaken(m.GetFrom(), m.GetIndex())
	}
	n.schedule()
}

// observe follows who leads. The same node in a later term is another leader: it has forgotten what it was sent, even if
// this node never noticed that it was gone.
func (n *Node) observe() {
	wasLeader, oldLeader, oldTerm := n.role == raft.StateLeader, n.leader, n.term
	status := n.raw.BasicStatus()
	n.role, n.leader, n.term = status.RaftState, status.Lead, status.GetTerm()
	if n.leader == oldLeader && wasLeader == (n.role == raft.StateLeader) && (n.leader == 0 || n.term == oldTerm) {
		return
	}
	now := n.env.Clock.Now()
	if n.leader != 0 {
		n.stats.LeaderChanges++
		n.stats.leaderSince = now
		n.logger.Info("leader", "leader-id", hex(n.leader), "term", n.term)
	} else {
		n.logger.Info("leader lost", "leader-id", hex(oldLeader), "term", n.term)
	}
	if wasLeader && n.role != raft.StateLeader {
		n.stall.silent, n.stall.handed = false, false
		n.notices.clear()
		n.refuseForeign()
	}
	if n.leader != 0 {
		n.requeueSent()
	}
	n.reads.restart()
	n.leaderOfLeases()
	n.transferObserved()
	n.schedule()
}

// tick is raft's clock and the node's: whatever is bound in time is looked at here. A process that was paused gets one
// tick, not all it missed.
func (n *Node) tick() {
	if n.stopped {
		return
	}
	n.stopTick = n.env.Clock.After(n.cfg.Tick, n.tick)
	now := n.env.Clock.Now()
	n.tickStall()
	switch {
	case n.raw == nil:
	case n.standsStill():
		n.forgetSilentLeader(now)
	default:
		n.raw.Tick()
	}
	n.pending.expire(now, n.timeoutError)
	n.forgetDead()
	n.forwardLost()
	n.reads.expire(now, n.timeoutError)
	n.retryRead(now)
	n.sealIdle(now)
	n.flushIdle(now)
	n.compactPhysically(n.compaction.pace)
	n.tickSpace(now)
	n.forgetAlarms(now)
	n.snapshotTick(now)
	n.fetchTick(now)
	n.repairTick(now)
	n.rebuildTick(now)
	n.tickHistories(now)
	n.transferTick()
	n.watches.Tick(now)
	n.tickLeases(now)
	n.startAppend() // if the log is to be renewed and found no space so far
	n.schedule()
}

// timeoutError says, as far as this node can tell, why a request that started at that time got no answer.
func (n *Node) timeoutError(started time.Duration) error {
	now := n.env.Clock.Now()
	elected := n.stats.leaderSince
	lost := elected - 2*n.cfg.electionTimeout()
	switch {
	case n.leader != 0 && started > lost && started < elected:
		return ErrTimeoutLeaderLost
	case n.leader == n.self.Member && !n.quorumOf(func(id uint64) bool { return id == n.self.Member || n.hears(id, now) }):
		return ErrTimeoutConnectionLost
	case n.leader != 0 && n.leader != n.self.Member && !n.hears(n.leader, now):
		return ErrTimeoutConnectionLost
	}
	return ErrTimeout
}

func (n *Node) hears(peer uint64, now time.Duration) bool {
	at, ok := n.heard[peer]
	return ok && now-at < n.cfg.electionTimeout()
}

// quorumOf tells whether those voters that are counted are enough to elect and to commit.
func (n *Node) quorumOf(counted func(voter uint64) bool) bool {
	voters := n.mem.conf.GetVoters()
	count := 0
	for _, id := range voters {
		if counted(id) {
			count++
		}
	}
	return count > len(voters)/2
}

func hex(id uint64) string { return fmt.Sprintf("%x", id) }

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Abandon releases what the operating system holds for this node (bbolt's file and its lock) without writing anything:
// what the death of the process would do. For simulations of that death.
func (n *Node) Abandon() {
	n.stopped = true
	n.state.abandon()
}

// Incarnation names this data directory: a member that comes back with another one has forgotten what it promised.
func (n *Node) Incarnation() [16]byte { return n.identity.Incarnation }

// Members is the membership as this node knows it; before its state is there, the one the cluster was founded with.
func (n *Node) Members() []apply.Member {
	if n.view != nil {
		return n.view.Members
	}
	return n.founders
}

// PeerUnreachable says that messages to a peer get lost: raft then probes instead of streaming, and commands that were on
// their way to the leader go there again with the next tick.
func (n *Node) PeerUnreachable(id uint64) {
	if n.raw != nil && !n.stopped {
		n.raw.ReportUnreachable(id)
		n.lostToLeader = n.lostToLeader || id == n.leader
	}
}
