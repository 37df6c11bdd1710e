package raftnode

import (
	"slices"
	"time"

	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// leaseQuestion is a message of a node, maybe of this one, about leases.
type leaseQuestion struct {
	from uint64
	id   *peerpb.RequestID
	look bool
	came time.Duration
	// applied is the asker's applied index: what it had seen happen to a lease must have happened here.
	applied uint64
	// commit is this node's commit index when the question came: an older state cannot tell that there is no such lease.
	commit uint64
}

// leaseItem is one lease that a question is about.
type leaseItem struct {
	*leaseQuestion
	place uint32
	lease int64
}

// leaseRound confirms renewals: the voters begin to count the time of its leases anew, in this term, and so does this
// node. One round is on its way at a time and serves every question that came before it started.
type leaseRound struct {
	started time.Duration
	leases  []int64
	items   []leaseItem
	acks    []uint64
}

// leasesAsked takes a question, if this node leads and has room. Whoever gets no answer asks again.
func (n *Node) leasesAsked(from uint64, m *peerpb.LeaseRenew) {
	d := n.leases.lead
	if d == nil {
		return
	}
	if d.items+len(m.GetLeases()) > maxLeaseItemsPerCall*n.cfg.MaxLeaseCalls {
		n.answerLeases(from, &peerpb.LeaseRenewed{Id: m.GetId(), Overloaded: true})
		return
	}
	q := &leaseQuestion{
		from: from, id: m.GetId(), look: m.GetLook(), came: n.env.Clock.Now(), applied: m.GetApplied(),
		commit: n.raw.BasicStatus().GetCommit(),
	}
	for place, id := range m.GetLeases() {
		d.waiting = append(d.waiting, leaseItem{leaseQuestion: q, place: uint32(place), lease: id})
	}
	d.items += len(m.GetLeases())
	n.schedule()
}

func (n *Node) answerLeases(to uint64, m *peerpb.LeaseRenewed) {
	if to == n.self.Member {
		n.leasesAnswered(to, m)
		return
	}
	n.send(to, &peerpb.Message{Body: &peerpb.Message_LeaseRenewed{LeaseRenewed: m}})
}

// startRound starts the next round, if there is something to confirm and none is on its way.
func (n *Node) startRound() {
	l, d := &n.leases, n.leases.lead
	if d.round != nil || len(d.waiting) == 0 {
		return
	}
	r := &leaseRound{started: n.env.Clock.Now()}
	now := n.leaseNow()
	rest := d.waiting[:0]
	for _, it := range d.waiting {
		e, found := l.table.Get(it.lease)
		switch {
		case n.applied < it.applied, !found && n.applied < it.commit, len(r.items) == maxLeasesAsked,
			it.look && !d.settled: // this table alone may know too little
			rest = append(rest, it)
			continue
		case found && !it.look && e.expiring:
			e.held = append(e.held, it)
			continue
		case found && !it.look:
			l.renew(e, now)
			r.leases = append(r.leases, it.lease)
		}
		r.items = append(r.items, it)
	}
	clear(d.waiting[len(rest):])
	d.waiting = rest
	if len(r.items) == 0 {
		return
	}
	d.number++
	d.round = r
	for _, id := range n.mem.conf.GetVoters() {
		if id != n.self.Member {
			n.send(id, &peerpb.Message{Body: &peerpb.Message_LeaseRound{
				LeaseRound: &peerpb.LeaseRound{Term: d.term, Number: d.number, Leases: r.leases},
			}})
		}
	}
	n.endRound(n.self.Member)
}

// leaseRound takes part in the leader's round: in this node's own, durable term only, which is what makes a deposed leader
// unable to confirm anything. Leases that are not here yet will be granted here later, so they lose nothing.
func (n *Node) leaseRound(from uint64, m *peerpb.LeaseRound) {
	l := &n.leases
	if n.raw == nil || m.GetTerm() != n.mem.hard.GetTerm() ||
		m.GetTerm() == l.heard.term && m.GetNumber() <= l.heard.number {
		return
	}
	l.heard.term, l.heard.number = m.GetTerm(), m.GetNumber()
	now := n.leaseNow()
	for _, id := range m.GetLeases() {
		if e, ok := l.table.Get(id); ok {
			l.renew(e, now)
		}
	}
	n.send(from, &peerpb.Message{Body: &peerpb.Message_LeaseRoundAck{
		LeaseRoundAck: &peerpb.LeaseRoundAck{Term: m.GetTerm(), Number: m.GetNumber()},
	}})
}

func (n *Node) leaseRoundAck(from uint64, m *peerpb.LeaseRoundAck) {
	d := n.leases.lead
	if d != nil && d.round != nil && m.GetTerm() == d.term && m.GetNumber() == d.number {
		n.endRound(from)
	}
}

// endRound counts one voter's part in the round. A majority's confirms it, and everybody is answered.
func (n *Node) endRound(voter uint64) {
	d := n.leases.lead
	r := d.round
	if slices.Contains(r.acks, voter) || !slices.Contains(n.mem.conf.GetVoters(), voter) {
		return
	}
	r.acks = append(r.acks, voter)
	if quorum, _ := n.quorum(); len(r.acks) < quorum {
		return
	}
	d.round = nil
	n.answerItems(r.items)
	n.schedule() // the next round may start
}

// answerItems answers what a round has confirmed.
func (n *Node) answerItems(items []leaseItem) {
	for len(items) > 0 {
		q := items[0].leaseQuestion
		m := &peerpb.LeaseRenewed{Id: q.id}
		for len(items) > 0 && items[0].leaseQuestion == q {
			if value, ok := n.leaseValue(items[0]); ok {
				m.Places = append(m.Places, items[0].place)
				m.Values = append(m.Values, value)
			}
			items = items[1:]
		}
		n.answered(q, m)
	}
}

func (n *Node) answered(q *leaseQuestion, m *peerpb.LeaseRenewed) {
	if len(m.Places) > 0 {
		n.leases.lead.items -= len(m.Places)
		n.answerLeases(q.from, m)
	}
}

// leaseValue is the answer to one confirmed item, unless it has to wait: for the revocation of a lease that expired while
// the round took its time.
func (n *Node) leaseValue(it leaseItem) (value int64, ok bool) {
	e, found := n.leases.table.Get(it.lease)
	switch {
	case !found:
		return NoLease, true
	case it.look:
		return e.remaining(n.leaseNow()), true
	case e.expiring:
		e.held = append(e.held, it)
		return 0, false
	}
	return int64(e.ttl / time.Second), true
}

// remaining is in milliseconds, rounded up so that it never shortens, and never negative.
func (e *leased) remaining(now time.Duration) int64 {
	left := max(0, e.deadline-now)
	ms := left / time.Millisecond
	if left%time.Millisecond > 0 {
		ms++
	}
	return int64(ms)
}

// answerHeld answers those who wanted to renew a lease that is gone now.
func (n *Node) answerHeld(e *leased) {
	if n.leases.lead == nil {
		return
	}
	for _, it := range e.held {
		n.answered(it.leaseQuestion, &peerpb.LeaseRenewed{Id: it.id, Places: []uint32{it.place}, Values: []int64{NoLease}})
	}
	e.held = nil
}

// retryRound gives up a round that takes too long and lets its questions wait for the next, but for those whose asker
// waits no more.
func (n *Node) retryRound(now time.Duration) {
	d := n.leases.lead
	if r := d.round; r != nil && now-r.started >= leaseRoundTicks*n.cfg.Tick {
		d.waiting = append(r.items, d.waiting...)
		d.round = nil
	}
	before := len(d.waiting)
	d.waiting = slices.DeleteFunc(d.waiting, func(it leaseItem) bool { return now-it.came > n.leasePatience() })
	d.items -= before - len(d.waiting)
}
