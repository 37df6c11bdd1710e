package raftnode

import (
	"math"
	"time"

	"github.com/tidwall/btree"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/lease"
)

// Which leases exist the log decides; when one ends it does not know, because renewals are too many to log. Every node
// keeps a table of deadlines, in memory only, and these rules make the tables as good as a log:
//
//   - A renewal is confirmed to a client only after a quorum has it in its tables, under the leader's term (leaseround.go).
//   - A node takes part in that only in its own durable term. So a leader that was deposed confirms nothing any more.
//   - A new leader asks a quorum what remains of each lease before it lets one expire (leasesurvey.go): one of those asked
//     took part in every confirmed renewal.
//   - A node that may have forgotten renewals, because it was restarted, says so. Its deadlines, counted from the
//     restart, are too late rather than too early, and it corrects them by the leader's.
//   - Only the leader lets leases expire, by a command that counts in no term but its own (leaseexpiry.go).
//
// docs/decisions/0005-lease-deadlines.md argues why this loses no confirmed renewal.

// leases is the loop's knowledge of leases.
type leases struct {
	clock leaseClock
	table btree.Map[int64, *leased]
	// assumed are the ids of those whose deadline may be too late; see leased.
	assumed btree.Set[int64]
	// late is an index: entries up to it were committed before this node had them, or were in its log at boot. What they
	// grant may have been renewed since.
	late uint64
	// heard is the newest round that this node took part in.
	heard struct{ term, number uint64 }

	surveys uint64 // number of the last survey sent
	asking  *survey
	early   *earlySurvey // the last one that waits, if any
	calls   leaseCalls
	lead    *leaseLead // nil unless this node leads
}

// leased is a lease as the table knows it.
type leased struct {
	id       int64
	ttl      time.Duration
	deadline time.Duration // on the lease clock
	// assumed is 0 when deadline is not before any that this node ever agreed to. Otherwise the node may have forgotten
	// renewals, counts from a later moment to be on the safe side, and lets the leader correct it: by the answer to a
	// survey of this number or a later one.
	assumed uint64

	// On the leader:
	expiring bool        // its revocation is in the log
	queued   bool        // in the queue of deadlines
	held     []leaseItem // renewals that wait for the outcome of the revocation
}

// leaseLead is what a node needs while it leads.
type leaseLead struct {
	term    uint64
	page    *survey // of the tables of the others; nil when none is on its way
	after   int64   // the last lease surveyed, if begun
	begun   bool
	settled bool // all leases are surveyed: deadlines may be acted on

	waiting []leaseItem // for the next round
	round   *leaseRound
	number  uint64 // of the last round
	items   int    // questions in any place, for the bound

	expiry   expiryQueue
	proposed map[uint64]*leased // counter of the revoking command -> its lease
	window   int                // how many may be proposed at once
}

// leaseClock counts the time that leases live by. It follows the node's clock, but makes only small steps: a process that
// stood still finds its leases as it left them, and their owners have time to say that they are still there.
type leaseClock struct {
	now   time.Duration // when it was last set
	set   time.Duration // the node's clock then
	limit time.Duration // of one step
}

func (c *leaseClock) read(clock time.Duration) time.Duration {
	return c.now + min(clock-c.set, c.limit)
}
func (c *leaseClock) step(clock time.Duration) { c.now, c.set = c.read(clock), clock }

func (n *Node) leaseNow() time.Duration { return n.leases.clock.read(n.env.Clock.Now()) }

// later is t + d, without overflow.
func later(t, d time.Duration) time.Duration {
	if d > math.MaxInt64-t {
		return math.MaxInt64
	}
	return t + d
}

// renew begins to count the time of a lease anew.
func (l *leases) renew(e *leased, now time.Duration) {
	e.deadline = later(now, e.ttl)
	l.certain(e)
}

func (l *leases) certain(e *leased) {
	if e.assumed != 0 {
		e.assumed = 0
		l.assumed.Delete(e.id)
	}
}

func (l *leases) assume(e *leased) {
	e.assumed = l.surveys + 1
	l.assumed.Insert(e.id)
}

// add puts a lease into the table that is granted, or found, now.
func (l *leases) add(g lease.Lease, now time.Duration, assumed bool) {
	e := &leased{id: g.ID, ttl: time.Duration(g.TTL) * time.Second}
	e.deadline = later(now, e.ttl)
	if assumed {
		l.assume(e)
	}
	l.table.Set(g.ID, e)
	if l.lead != nil && l.lead.settled {
		l.lead.expiry.add(e)
	}
}

// adoptLeases takes over the leases of a state that was opened. Renewals of before are forgotten. So are those of leases
// that were in the table under the same ids: they may have been others.
func (n *Node) adoptLeases(list []lease.Lease) {
	l := &n.leases
	l.table.Clear()
	l.assumed.Clear()
	now := n.leaseNow()
	for _, g := range list {
		l.add(g, now, true)
	}
}

// leasesApplied follows what the log did to leases.
func (n *Node) leasesApplied(changes []apply.LeaseChange) {
	l := &n.leases
	now := n.leaseNow()
	for _, c := range changes {
		if !c.Revoked {
			l.add(c.Lease, now, c.Index <= l.late)
			n.stats.LeasesGranted++
			continue
		}
		n.stats.LeasesRevoked++
		l.assumed.Delete(c.ID)
		if e, ok := l.table.Delete(c.ID); ok {
			n.answerHeld(e)
		}
	}
}

// sawEntries notices entries that were committed before they came here: they may be of any age.
func (l *leases) sawEntries(m *raftpb.Message) {
	if es := m.GetEntries(); m.GetType() == raftpb.MsgApp && len(es) > 0 {
		l.late = max(l.late, min(m.GetCommit(), es[len(es)-1].GetIndex()))
	}
}

// leaderOfLeases follows who leads. Whatever a former leader had under way counts no more.
func (n *Node) leaderOfLeases() {
	l := &n.leases
	leads := n.role == raft.StateLeader
	if l.lead != nil && (!leads || l.lead.term != n.term) {
		l.lead.end()
		l.lead = nil
	}
	if leads && l.lead == nil {
		l.lead = &leaseLead{
			term: n.term, after: math.MinInt64, proposed: map[uint64]*leased{}, window: 4 * minExpiring,
		}
	}
	l.asking = nil
	n.askAssumed(n.env.Clock.Now()) // before this leader is lost as well
	l.calls.again()
}

// end lets go of the leases. Those who asked ask the next leader.
func (d *leaseLead) end() {
	for _, due := range d.expiry {
		due.lease.queued = false
	}
	for _, counter := range sortedKeys(d.proposed) {
		e := d.proposed[counter]
		e.expiring, e.held = false, nil
	}
}

// turnLeases is the part of a turn that is about leases.
func (n *Node) turnLeases() {
	n.askLeader()
	n.answerEarlySurvey()
	if n.leases.lead != nil && !n.newLeader() {
		n.surveyNext()
		n.startRound()
	}
}

// tickLeases looks at whatever is bound in time.
func (n *Node) tickLeases(now time.Duration) {
	l := &n.leases
	l.clock.step(now)
	l.calls.expire(now, n.leaseTimeout)
	n.retryCalls(now)
	if l.lead != nil {
		n.retryRound(now)
		n.retrySurvey(now)
		return
	}
	n.askAssumed(now)
}

// leasePatience is how long a client's call waits on this node. A client that is told so in time has another node
// renew its lease.
func (n *Node) leasePatience() time.Duration { return n.cfg.electionTimeout() }

// leaseTimeout says why a call that started at that time got no answer.
func (n *Node) leaseTimeout(started time.Duration) error {
	if n.leader == 0 {
		return ErrNoLeader
	}
	return n.timeoutError(started)
}

// quorum is how many voters are a majority, out of how many.
func (n *Node) quorum() (quorum, voters int) {
	voters = len(n.mem.conf.GetVoters())
	return voters/2 + 1, voters
}
