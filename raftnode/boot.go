package raftnode

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"go.etcd.io/raft/v3"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/invariant"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/snap"
	"github.com/quorumkv/quorumkv/storage/wal"
	"github.com/quorumkv/quorumkv/storage/watch"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// Open reads a node's files, or makes them when the data directory is empty, and returns the node ready to Start. It
// blocks, and runs before the loop does.
//
// Order matters: the identity says whose files these are; the hard state's boot epoch is raised and durable before any
// request id is given out; the state's applied index is evidence that the log may not end before it.
func Open(e env.Env, cfg Config) (*Node, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	id, err := loadOrCreate(e, cfg)
	if err != nil {
		return nil, err
	}
	founders, err := apply.DecodeMembers(id.Bootstrap)
	if err != nil {
		return nil, fmt.Errorf("first membership in the identity file: %w", err)
	}
	n := &Node{
		env:      e,
		cfg:      cfg,
		logger:   cfg.Logger,
		identity: id,
		founders: founders,
		mem:      &memoryLog{},
		heard:    map[uint64]time.Duration{},
		taken:    map[uint64]apply.RequestID{},

		walLane:   e.Lane("wal"),
		applyLane: e.Lane("apply"),
		flushLane: e.Lane("flush"),
		snapLane:  e.Lane("snap"),
		scrubLane: e.Lane("scrub"),
	}
	n.mem.snapshot = n.raftSnapshot
	n.watches = watch.NewHub(n.noticeInterval, e.Clock.After)
	n.snaps.offered = map[uint64]offer{}
	n.histories = histories{seen: &apply.Check{}, verdict: &apply.Check{}, at: e.Clock.Now()}
	n.leases.clock = leaseClock{set: e.Clock.Now(), limit: leaseClockTicks * cfg.Tick}
	opened := false
	defer func() {
		if !opened { // an error, or a simulated crash
			n.state.abandon()
		}
	}()
	if err := n.openFiles(); err != nil {
		return nil, errors.Join(err, n.disk.close())
	}
	n.hello = peerpb.Hello{
		Boot: peerpb.Boot{Incarnation: id.Incarnation, Epoch: n.self.Epoch, Nonce: e.Rand.Uint64()},
		Term: n.disk.hard.Term, Last: n.mem.last(), Repairing: n.repair != nil,
	}
	if err := n.openPeers(); err != nil {
		return nil, errors.Join(err, n.disk.close())
	}
	opened = true
	return n, nil
}

func (n *Node) openFiles() error {
	hard, err := n.openHardState()
	if err != nil {
		return err
	}
	n.self = apply.RequestID{Member: n.identity.MemberID, Epoch: hard.BootEpoch}
	if err := n.openSpace(); err != nil {
		return err
	}
	var stateErr, logErr error
	var log *wal.Reading
	n.env.Together(
		func() { stateErr = retrying(n.env.FS, n.openState) },
		func() { log, logErr = wal.Read(n.env.FS, walDir, walConfig(n.cfg, n.identity)) },
	)
	if stateErr != nil {
		return stateErr
	}
	applied := uint64(0)
	if n.state.machine != nil {
		applied, _ = n.state.machine.Applied()
	}
	rec, damaged, err := n.openLog(log, logErr, applied)
	if err != nil {
		return fmt.Errorf("open write-ahead log: %w", err)
	}
	if damaged != nil {
		return n.prepareRepair(damaged)
	}
	if rec.Torn != "" {
		n.logger.Warn("write-ahead log ends in a torn write, which was never acknowledged", "what", rec.Torn)
	}
	if rec.Ignored != "" {
		n.logger.Warn("write-ahead log is damaged where it does not matter; look at the disk", "what", rec.Ignored)
	}
	n.mem.reset(rec.Base.Index, rec.Base.Term, rec.Base.ConfState)
	n.mem.append(rec.Entries)

	if err := n.contradiction(hard); err != nil {
		return err
	}
	if err := n.reconcile(applied); err != nil {
		return err
	}
	n.mem.setHard(hard.Term, hard.Vote, rec.CommitHint)
	if n.state.machine == nil {
		return n.prepareRestore()
	}
	n.adoptState()
	return removeAll(n.env.FS, snapDir)
}

// contradiction refuses files that are sound and do not belong together, as after a restore of some of them from a backup.
// A node never writes an entry of a term before the term, nor a state before the entry that it applied last.
func (n *Node) contradiction(hard wal.HardState) error {
	last := n.mem.last()
	if term, _ := n.mem.Term(last); hard.Term < term {
		return fmt.Errorf("hard state is at term %d, and the log has entries of term %d, up to index %d: it is an older one; %s",
			hard.Term, term, last, n.refusal())
	}
	if n.state.machine == nil {
		return nil
	}
	applied, term := n.state.machine.Applied()
	if inLog, err := n.mem.Term(applied); err == nil && inLog != term {
		return fmt.Errorf("the state has applied index %d of term %d, and the log has term %d there: they are not of one member, "+
			"or not of one time; put back the files that belong together, or keep the member down", applied, term, inLog)
	}
	return nil
}

// refusal ends the refusal of a directory whose member has forgotten what it promised.
func (n *Node) refusal() string {
	if len(n.founders) == 1 {
		return "there is no other member; all that its files hold can go into a new cluster: quorumctl recover DATA-DIR --plan"
	}
	return notThisMember
}

// openHardState raises the boot epoch, durably, so that no request id of an earlier life is given out again.
func (n *Node) openHardState() (wal.HardState, error) {
	f, hard, err := wal.OpenHardState(n.env.FS)
	if errors.Is(err, wal.ErrHardStateLost) || errors.Is(err, fs.ErrNotExist) {
		return hard, fmt.Errorf("open hard state: %w; %s", err, n.refusal())
	}
	if err != nil {
		return hard, fmt.Errorf("open hard state: %w", err)
	}
	n.disk.hardFile = f
	hard.BootEpoch++
	if err := f.Save(hard); err != nil {
		return hard, fmt.Errorf("raise boot epoch to %d: %w", hard.BootEpoch, err)
	}
	n.disk.hard = hard
	return hard, nil
}

// openState opens the state file. A missing one is no error here: the log or a peer has what it held.
func (n *Node) openState() error {
	ok, err := backend.Exists(n.env.FS, stateDir)
	if err != nil {
		return fmt.Errorf("look for state: %w", err)
	}
	if !ok {
		n.lost.reason = "the state file is missing"
		n.logger.Warn("state file is missing, it will be rebuilt")
		return nil
	}
	o := n.cfg.Backend
	o.Insist = len(n.founders) == 1
	err = n.loadState(o)
	if errors.Is(err, backend.ErrDamaged) {
		return n.stateLost(err)
	}
	if err != nil {
		return fmt.Errorf("open state: %w", err)
	}
	return nil
}

// loadState opens the state file and reads what is in it.
func (n *Node) loadState(o backend.Options) error {
	db, err := backend.Open(n.env.FS, stateDir, o)
	if err != nil {
		return err
	}
	m, err := n.openMachine(db)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	n.state.db, n.state.machine = db, m
	return nil
}

// stateLost notes that the state file cannot be used. What is certainly damaged is never tried again.
func (n *Node) stateLost(why error) error {
	n.lost = stateLoss{reason: why.Error(), suspect: errors.Is(why, backend.ErrSuspect)}
	n.logger.Warn("state file is damaged, it will be rebuilt", "error", why)
	if n.lost.suspect {
		return nil
	}
	return backend.Condemn(n.env.FS, stateDir, n.lost.reason)
}

func (n *Node) openMachine(db *backend.DB) (*apply.Machine, error) {
	return apply.Open(db, n.identity.ClusterID, n.cfg.Recent)
}

// reconcile brings log and state together. The state may be behind the log's start when a snapshot's installation was
// interrupted (its file is still there), or missing (then the first state is made again if the log begins with it).
func (n *Node) reconcile(applied uint64) error {
	base := n.mem.baseIndex
	invariant.Check(applied <= n.mem.last(), "state at index %d is ahead of the log's end %d", applied, n.mem.last())
	if n.state.machine != nil && applied >= base {
		return nil
	}
	if n.state.machine == nil && base == initialIndex {
		return n.rebuildFirst()
	}
	var s *staged
	err := retrying(n.env.FS, func() (err error) {
		s, err = n.stageFile(snap.Meta{Index: base, Term: n.mem.baseTerm})
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, snap.ErrDamaged) {
		if n.lost.reason == "" {
			n.lost.reason = fmt.Sprintf("the snapshot at index %d is lost, with which the log begins", base)
		}
		n.logger.Warn("no snapshot to begin the log with, one will be fetched", "index", base, "error", err)
		return n.dropState()
	}
	if err != nil {
		return fmt.Errorf("stage the snapshot at index %d: %w", base, err)
	}
	_, err = n.state.replace(s)
	return err
}

func (n *Node) rebuildFirst() error {
	db, err := backend.Create(n.env.FS, stateDir, n.cfg.Backend, apply.InitialBatch(n.identity.ClusterID, n.founders))
	if err != nil {
		return fmt.Errorf("rebuild state: %w", err)
	}
	n.state.db = db
	n.state.machine, err = n.openMachine(db)
	return err
}

// dropState forgets a state that cannot be joined with the log.
func (n *Node) dropState() error {
	n.state.machine = nil
	if n.state.db == nil {
		return nil
	}
	db := n.state.db
	n.state.db = nil
	return db.Close()
}

// adoptState makes the opened state the node's and starts raft on it.
func (n *Node) adoptState() {
	index, _ := n.state.machine.Applied()
	f := n.state.measure(index)
	n.applied, n.flush.durable = index, index
	n.flush.size, n.flush.inUse = f.size, f.inUse
	n.view = n.state.machine.View()
	n.mem.conf = n.state.machine.ConfState()
	n.adoptLeases(n.state.machine.Leases())
	if n.lost.reason != "" {
		n.stats.Repairs++
	}
	n.lost = stateLoss{}
	n.startRaft()
}

// prepareRestore readies a node without state to fetch one. It takes no part in the protocol until it has.
func (n *Node) prepareRestore() error {
	if n.mem.conf == nil {
		n.mem.conf = initialConf(n.founders)
	}
	peer := n.nextPeer(n.self.Member)
	if peer == 0 {
		return fmt.Errorf("the state file is lost, the log starts only at index %d, and there is no other member to "+
			"fetch a snapshot from: restore this node from a backup", n.mem.first())
	}
	n.env.Post(func() { n.restoreState(peer) })
	return nil
}

// startRaft makes the state machine of raft over log and state, which are complete now.
func (n *Node) startRaft() {
	hint := n.mem.hard.GetCommit()
	commit := hardCommit(hint, n.applied, n.mem.last())
	n.mem.setHard(n.mem.hard.GetTerm(), n.mem.hard.GetVote(), commit)
	n.caughtUp = commit
	if n.alone() {
		n.caughtUp = n.mem.last() // all that is durable here was acknowledged, whatever the hint says
	}
	raw, err := raft.NewRawNode(&raft.Config{
		ID:                        n.self.Member,
		ElectionTick:              n.cfg.ElectionTicks,
		HeartbeatTick:             1,
		Storage:                   n.mem,
		Applied:                   n.applied,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             maxSizePerMsg,
		MaxCommittedSizePerReady:  maxCommittedSizePerReady,
		MaxUncommittedEntriesSize: maxUncommittedBytes,
		MaxInflightMsgs:           maxInflightMsgs,
		MaxInflightBytes:          maxInflightBytes,
		CheckQuorum:               true,
		PreVote:                   true,
		ReadOnlyOption:            raft.ReadOnlySafe,
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
		Logger:                    raftLogger{n.logger.Named("raft")},
	})
	invariant.Check(err == nil, "raft refuses its configuration: %v", err)
	n.raw = raw
	n.term = n.mem.hard.GetTerm()
	n.leases.late = n.mem.last()
	n.schedule()
}

// alone tells whether this node is the only voter: then its own disk is the quorum.
func (n *Node) alone() bool { return slices.Equal(n.mem.conf.GetVoters(), []uint64{n.self.Member}) }
