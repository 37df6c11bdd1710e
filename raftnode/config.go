package raftnode

import (
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// Config describes one node. The zero value of a numeric field means its default.
type Config struct {
	// ClusterID and MemberID name this node for ever; a data directory of another identity is refused.
	ClusterID, MemberID uint64
	// Members is the membership to start a new cluster with, the same on every node. Ignored when data exists.
	Members []apply.Member

	// Tick is raft's unit of time, and the heartbeat interval. Default 100 ms. Shorter means faster failover and more
	// elections for nothing on a slow network.
	Tick time.Duration
	// ElectionTicks without word from a leader start an election. Default 10, at least 3.
	ElectionTicks int
	// HastenElection lets all but firstElectionTicks of the first election timeout after a start count as over, so that a
	// cluster which starts as a whole is soon there. A leader that lives is not disturbed: followers that hear it refuse
	// the pre-vote.
	HastenElection bool
	// RequestTimeout bounds proposals and linearizable reads. Default 5 s + 2 election timeouts, as in etcd.
	RequestTimeout time.Duration

	// StallTimeout is how long a write to the log may take before the disk counts as stalled: the node hands leadership
	// over and does not stand for election. Default 1 s, at least a tick. Too short: leaders change at each hiccup of the
	// disk. Too long: writes wait as long behind a leader whose disk hangs.
	StallTimeout time.Duration

	// FlushOps and FlushBytes are how much is applied before a flush brings it to the state file: changes, or entries, and
	// their bytes. Less does when little is written. Default 10,000 and 1 MiB. More: fewer, larger transactions, and a longer
	// replay after a crash. Sixteen times as much may pend while one flush is under way; then applying waits.
	FlushOps, FlushBytes int
	// SnapshotEntries is how many entries are applied between two compactions of the log. Default 10,000.
	SnapshotEntries uint64
	// CatchUpEntries stay in the log for slow followers; one that is further behind gets a snapshot. Default 5,000.
	CatchUpEntries uint64
	// LogBytes is the memory that the log's entries may take, whatever their number, while all members that are there have
	// them. Default 16 MiB. Higher: a member that was away longer catches up without a snapshot.
	LogBytes uint64
	// MaxLogBytes bounds that memory also while a member is behind, or away for less than 5 min. Default 256 MiB, at least
	// LogBytes.
	MaxLogBytes uint64
	// CheckInterval and CheckEntries are when the members' histories are compared: that long after the last time, or after
	// so many applied entries, whichever comes first, if anything else was applied since. Default 30 s and 10,000. Too
	// long: a member that has diverged serves for as long. Too short: entries and reports for nothing.
	CheckInterval time.Duration
	CheckEntries  uint64
	// BallastBytes is the size of the file that is given up when the disk is full, and the measure of when it nearly is;
	// see space.go. Default: 2 % of the volume, from 64 MiB to 1 GiB, at most a sixteenth of the volume. Negative: no
	// ballast, and nobody looks at the space that is left until a write finds none. Too small: there is no room to delete
	// and compact in. Too large: writes are refused while there is space.
	BallastBytes int64
	// SegmentBytes is the size of a log file. Default 64 MiB.
	SegmentBytes int64
	// ScrubRate is how many bytes a second the scrubber reads, in search of damage that nobody has come across. Default
	// 8 MiB; negative: it does not. Higher: damage is found sooner, and others on the disk wait longer.
	ScrubRate int64
	// ScrubInterval is the time from the end of one pass over all files to the beginning of the next, a twentieth more or
	// less at random. Default 24 h. The first pass begins within 10 min of the start.
	ScrubInterval time.Duration
	// ChunkBytes is the size of one piece of a snapshot on the wire. Default 512 KiB.
	ChunkBytes int

	// BatchBytes and BatchCommands bound one raft entry; a single larger command still travels alone. Default 512 KiB
	// and 4,096.
	BatchBytes, BatchCommands int
	// MaxPending is how many client writes may wait on this node at once, and how many forwarded ones the leader
	// holds; more are refused with ErrTooManyRequests. Default 8,192, at most half of apply's duplicate window.
	MaxPending int
	// MaxReads is how many linearizable reads may wait on this node at once; more are refused. Default 65,536.
	MaxReads int
	// MaxLeaseCalls is how many renewals of leases and looks at them may wait on this node at once, and half of how many
	// the leader holds for all; more are refused. Default 65,536.
	MaxLeaseCalls int
	// MaxPendingBytes bounds the same queues in bytes. Default 64 MiB.
	MaxPendingBytes int

	// Dir is what operators call the data directory, for the commands in messages. Default "DIR".
	Dir     string
	Backend backend.Options
	// ProgressInterval is the time between two progress notices to a watcher that wants them and has nothing else to hear;
	// up to a tenth is added at random. Default 10 min.
	ProgressInterval time.Duration
	// Recent bounds the history that stays in memory for watchers.
	Recent mvcc.Recent
	Logger hclog.Logger
	// BeforeApply stands between the log and the state: what it returns is applied in place of committed entries. It is for
	// simulations of a member whose memory lies; nil otherwise. It is called on the apply lane.
	BeforeApply func([]*raftpb.Entry) []*raftpb.Entry
	// Observe receives durations and transitions for metrics. Its functions are called on the loop and may be nil.
	Observe Observer
	// Publish hands out the newest state after it changed: on the loop, once per turn at most. May be nil.
	Publish func(Status, *apply.View)
	// Failed is called once, on the loop, when the node can no longer go on (a disk that failed, a broken invariant of
	// the files). The node answers everything with ErrStopped from then on. Required.
	Failed func(error)
}

// Observer is how a node reports what a histogram wants to know.
type Observer struct {
	WALSync       func(time.Duration)
	BackendCommit func(time.Duration)
	// DiskStall hears how long a stall of the log's disk took, once it is over.
	DiskStall func(time.Duration)
	// Apply hears of every batch of entries that was applied, in order, before anybody is answered for it.
	Apply    func(d time.Duration, entries []*raftpb.Entry)
	Snapshot func(time.Duration)
}

const (
	defaultTick            = 100 * time.Millisecond
	defaultStallTimeout    = time.Second
	defaultElectionTicks   = 10
	defaultFlushOps        = 10_000
	defaultFlushBytes      = 1 << 20
	defaultSnapshotEntries = 10_000
	defaultCatchUpEntries  = 5_000
	defaultCheckInterval   = 30 * time.Second
	defaultCheckEntries    = 10_000
	defaultLogBytes        = 16 << 20
	defaultMaxLogBytes     = 256 << 20
	defaultSegmentBytes    = 64 << 20
	defaultScrubRate       = 8 << 20
	defaultScrubInterval   = 24 * time.Hour
	defaultChunkBytes      = 512 << 10
	defaultBatchBytes      = 512 << 10
	defaultBatchCommands   = 4_096
	defaultMaxPending      = 8_192
	defaultMaxPendingBytes = 64 << 20
	defaultMaxReads        = 1 << 16
	defaultProgress        = 10 * time.Minute
	defaultMaxLeaseCalls   = 1 << 16

	// Raft settings that nobody should have to turn; reliability notes in docs/architecture.md.
	maxSizePerMsg             = 512 << 10
	maxInflightMsgs           = 256
	maxInflightBytes          = 16 << 20
	maxUncommittedBytes       = 64 << 20
	maxCommittedSizePerReady  = 4 << 20
	flushInterval             = 100 * time.Millisecond
	maxFlushesBehind          = 16   // that pend while one is under way
	compactSlices             = 5    // a tick, at least
	compactTicks              = 3000 // in which all is to be deleted, if that takes more
	sealAfter                 = 50 * time.Millisecond
	readRetry                 = 500 * time.Millisecond
	snapshotRetry             = time.Second
	snapshotGiveUp            = 10 * time.Second
	restorePatience           = 3500 * time.Millisecond // three questions
	suspectRounds             = 2                       // of all peers, before a suspect state is tried again
	snapshotKeep              = 30 * time.Second
	restartPatience           = 5 * time.Minute // with a silent member, before the log is cut
	transferAttempts          = 2
	requestTimeoutBase        = 5 * time.Second
	requestTimeoutElections   = 2
	minElectionTicks          = 3
	progressJitter            = 10 // a tenth
	firstElectionTicks        = 3
	maxPendingFractionOfDedup = 2

	leaseClockTicks      = 2    // the longest step of the lease clock
	leaseAskTicks        = 5    // until the leader is asked again for a client
	leaseRoundTicks      = 3    // until a round, or a survey, is sent again
	leasePageTicks       = 6    // for voters without which too few are certain
	maxLeasesAsked       = 4096 // leases in one message or round
	maxLeaseItemsPerCall = 2
	// Revocations in the log at once. With a node's clients' they stay below the duplicate window.
	minExpiring, maxExpiring = 64, 2048
	expiryPace               = 100 * time.Millisecond // the longest that they should take to apply
)

func (c *Config) validate() error {
	def(&c.Dir, "DIR")
	def(&c.Tick, defaultTick)
	def(&c.ElectionTicks, defaultElectionTicks)
	def(&c.RequestTimeout, requestTimeoutBase+requestTimeoutElections*c.electionTimeout())
	def(&c.StallTimeout, max(defaultStallTimeout, c.Tick))
	def(&c.FlushOps, defaultFlushOps)
	def(&c.FlushBytes, defaultFlushBytes)
	def(&c.SnapshotEntries, defaultSnapshotEntries)
	def(&c.CatchUpEntries, defaultCatchUpEntries)
	def(&c.CheckInterval, defaultCheckInterval)
	def(&c.CheckEntries, defaultCheckEntries)
	def(&c.LogBytes, defaultLogBytes)
	def(&c.MaxLogBytes, max(defaultMaxLogBytes, c.LogBytes))
	def(&c.SegmentBytes, defaultSegmentBytes)
	def(&c.ScrubRate, defaultScrubRate)
	def(&c.ScrubInterval, defaultScrubInterval)
	def(&c.ChunkBytes, defaultChunkBytes)
	def(&c.BatchBytes, defaultBatchBytes)
	def(&c.BatchCommands, defaultBatchCommands)
	def(&c.MaxPending, defaultMaxPending)
	def(&c.MaxReads, defaultMaxReads)
	def(&c.ProgressInterval, defaultProgress)
	def(&c.MaxLeaseCalls, defaultMaxLeaseCalls)
	def(&c.MaxPendingBytes, defaultMaxPendingBytes)
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	switch {
	case c.ClusterID == 0 || c.MemberID == 0:
		return fmt.Errorf("cluster id %x and member id %x must both be set", c.ClusterID, c.MemberID)
	case c.Failed == nil:
		return fmt.Errorf("config without Failed: nobody would hear of a broken disk")
	case c.Tick <= 0:
		return fmt.Errorf("tick of %s: must be positive", c.Tick)
	case c.StallTimeout < c.Tick:
		return fmt.Errorf("stall timeout of %s: must be at least a tick, %s", c.StallTimeout, c.Tick)
	case c.MaxLogBytes < c.LogBytes:
		return fmt.Errorf("log of at most %d bytes: must be at least the %d that it may always have", c.MaxLogBytes, c.LogBytes)
	case c.ScrubInterval < 0:
		return fmt.Errorf("scrub interval of %s: must be positive", c.ScrubInterval)
	case c.ElectionTicks < minElectionTicks:
		return fmt.Errorf("election after %d ticks: must be at least %d", c.ElectionTicks, minElectionTicks)
	case c.MaxPending > apply.DedupeWindow/maxPendingFractionOfDedup:
		return fmt.Errorf("%d pending requests: at most %d, half of the duplicate window", c.MaxPending,
			apply.DedupeWindow/maxPendingFractionOfDedup)
	}
	return nil
}

func (c *Config) electionTimeout() time.Duration { return time.Duration(c.ElectionTicks) * c.Tick }

// def sets *v to d when it is zero.
func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
