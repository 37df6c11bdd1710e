package raftnode

import (
	"time"

	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/lease"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// survey asks others what remains of some leases. A new leader surveys the voters, page by page, before it lets anything
// expire; a node that may have forgotten renewals surveys the leader.
type survey struct {
	number uint64
	to     uint64        // 0: the voters
	begun  time.Duration // first sent
	sent   time.Duration
	leases []int64
	// answers are those of the voters, at most one each.
	answers []surveyed
}

// surveyed is what one voter knows, as deadlines on this node's lease clock.
type surveyed struct {
	from      uint64
	deadlines []time.Duration // by place; below 0: no such lease
	assumed   []bool
}

// surveyNext surveys the next page of leases. A leader does so from when it has applied all that leaders before it
// committed; leases that are granted after that are its own business.
func (n *Node) surveyNext() {
	l, d := &n.leases, n.leases.lead
	for d.page == nil && !d.settled {
		p := &survey{begun: n.env.Clock.Now()}
		l.table.Ascend(d.after, func(id int64, _ *leased) bool {
			if !d.begun || id != d.after {
				p.leases = append(p.leases, id)
			}
			return len(p.leases) < maxLeasesAsked
		})
		if len(p.leases) == 0 {
			n.settleLeases()
			return
		}
		d.page, d.after, d.begun = p, p.leases[len(p.leases)-1], true
		n.surveyVoters()
		n.endPage()
	}
}

func (n *Node) surveyVoters() {
	p := n.leases.lead.page
	n.numberSurvey(p)
	for _, id := range n.mem.conf.GetVoters() {
		if id != n.self.Member && !p.answeredBy(id) {
			n.sendSurvey(id, p)
		}
	}
}

func (s *survey) answeredBy(id uint64) bool {
	for i := range s.answers {
		if s.answers[i].from == id {
			return true
		}
	}
	return false
}

// numberSurvey gives a survey the number of a new attempt.
func (n *Node) numberSurvey(s *survey) {
	n.leases.surveys++
	s.number, s.sent = n.leases.surveys, n.env.Clock.Now()
}

func (n *Node) sendSurvey(to uint64, s *survey) {
	n.send(to, &peerpb.Message{Body: &peerpb.Message_LeaseSurvey{LeaseSurvey: &peerpb.LeaseSurvey{
		Id:      wireID(apply.RequestID{Member: n.self.Member, Epoch: n.self.Epoch, Counter: s.number}),
		Term:    n.term,
		Applied: n.applied,
		Leases:  s.leases,
	}}})
}

// earlySurvey came when this node had applied less than its sender.
type earlySurvey struct {
	from uint64
	*peerpb.LeaseSurvey
}

// answerEarlySurvey answers once this node has applied as much as the sender had. Followers learn of the commit that
// makes a leader survey them about when the survey comes.
func (n *Node) answerEarlySurvey() {
	if s := n.leases.early; s != nil && n.applied >= s.GetApplied() {
		n.leases.early = nil
		n.leaseSurvey(s.from, s.LeaseSurvey)
	}
}

// leaseSurvey answers the leader's survey, or as the leader that of another node. From the answer on this node takes no
// part in rounds of lower terms, not even after a restart: its term is durable. Whoever gets no answer asks again.
func (n *Node) leaseSurvey(from uint64, m *peerpb.LeaseSurvey) {
	l := &n.leases
	leads := l.lead != nil
	if n.raw == nil || m.GetTerm() != n.term || m.GetTerm() != n.mem.hard.GetTerm() ||
		leads && !l.lead.settled || !leads && from != n.leader || len(m.GetLeases()) > maxLeasesAsked {
		return
	}
	if n.applied < m.GetApplied() {
		l.early = &earlySurvey{from: from, LeaseSurvey: m}
		return
	}
	t := &peerpb.LeaseTable{Id: m.GetId(), Term: m.GetTerm(), Remaining: make([]int64, len(m.GetLeases()))}
	now := n.leaseNow()
	for i, id := range m.GetLeases() {
		e, ok := l.table.Get(id)
		if !ok {
			t.Remaining[i] = NoLease
			continue
		}
		t.Remaining[i] = e.remaining(now)
		if e.assumed != 0 {
			t.Assumed = append(t.Assumed, uint32(i))
		}
	}
	n.send(from, &peerpb.Message{Body: &peerpb.Message_LeaseTable{LeaseTable: t}})
}

// leaseTable takes the answer to a survey. What was on its way meanwhile only makes deadlines later.
func (n *Node) leaseTable(from uint64, m *peerpb.LeaseTable) {
	l := &n.leases
	id := requestID(m.GetId())
	if id.Member != n.self.Member || id.Epoch != n.self.Epoch || m.GetTerm() != n.term {
		return
	}
	switch {
	case l.lead != nil && l.lead.page != nil && l.lead.page.number == id.Counter:
		p := l.lead.page
		if a, ok := n.readTable(from, m, p); ok && !p.answeredBy(from) {
			p.answers = append(p.answers, a)
			n.endPage()
			n.schedule()
		}
	case l.asking != nil && l.asking.number == id.Counter && l.asking.to == from:
		if a, ok := n.readTable(from, m, l.asking); ok {
			n.correctAssumed(a)
		}
	}
}

// readTable turns what remains into deadlines.
func (n *Node) readTable(from uint64, m *peerpb.LeaseTable, s *survey) (surveyed, bool) {
	a := surveyed{from: from, deadlines: make([]time.Duration, len(s.leases)), assumed: make([]bool, len(s.leases))}
	if len(m.GetRemaining()) != len(s.leases) {
		return a, false
	}
	now := n.leaseNow()
	for i, ms := range m.GetRemaining() {
		a.deadlines[i] = NoLease
		if ms >= 0 {
			a.deadlines[i] = later(now, time.Duration(min(ms, lease.MaxTTL*1000))*time.Millisecond)
		}
	}
	for _, place := range m.GetAssumed() {
		if int(place) < len(a.assumed) {
			a.assumed[place] = true
		}
	}
	return a, true
}

// endPage fixes the deadlines of a page once a quorum, this node included, has said what it knows.
//
// A confirmed renewal is in the tables of a quorum. Of those it is in, one is among any voters-quorum+1: if so many are
// certain of a lease, the latest of their deadlines will do. Otherwise the latest of all that were heard does, for a
// quorum was, and whoever may have forgotten something names too late a deadline. That makes a lease live longer than it
// has to, so the voters that are still silent get some time to know better.
func (n *Node) endPage() {
	l, d := &n.leases, n.leases.lead
	quorum, voters := n.quorum()
	if 1+len(d.page.answers) < quorum {
		return
	}
	patient := 1+len(d.page.answers) < voters && n.env.Clock.Now()-d.page.begun < leasePageTicks*n.cfg.Tick
	deadlines := make([]time.Duration, len(d.page.leases))
	for i, id := range d.page.leases {
		e, ok := l.table.Get(id)
		if !ok {
			continue
		}
		certain, sure, latest := d.page.heard(i, e)
		switch {
		case certain > voters-quorum:
			deadlines[i] = sure
		case patient:
			return
		default:
			deadlines[i] = latest
		}
	}
	for i, id := range d.page.leases {
		if e, ok := l.table.Get(id); ok {
			e.deadline = deadlines[i]
			l.certain(e)
		}
	}
	d.page = nil
}

// heard is what this node and those who answered know of the lease in place i: how many are certain of it, the latest
// deadline of these, and the latest of all.
func (s *survey) heard(i int, own *leased) (certain int, sure, latest time.Duration) {
	latest = own.deadline
	if own.assumed == 0 {
		certain, sure = 1, own.deadline
	}
	for _, a := range s.answers {
		if a.deadlines[i] < 0 {
			continue // revoked there already
		}
		latest = max(latest, a.deadlines[i])
		if !a.assumed[i] {
			certain, sure = certain+1, max(sure, a.deadlines[i])
		}
	}
	return certain, sure, latest
}

// settleLeases lets expiry begin.
func (n *Node) settleLeases() {
	l, d := &n.leases, n.leases.lead
	d.settled = true
	l.table.Scan(func(_ int64, e *leased) bool {
		d.expiry = append(d.expiry, due{at: e.deadline, lease: e})
		e.queued = true
		return true
	})
	d.expiry.init()
	n.logger.Debug("lease deadlines taken over", "term", d.term, "leases", l.table.Len())
}

func (n *Node) retrySurvey(now time.Duration) {
	p := n.leases.lead.page
	if p == nil || now-p.sent < leaseRoundTicks*n.cfg.Tick {
		return
	}
	n.surveyVoters()
	n.endPage() // patience has an end
}

// askAssumed asks the leader about leases of which this node may have forgotten renewals.
func (n *Node) askAssumed(now time.Duration) {
	l := &n.leases
	if n.raw == nil || n.leader == 0 || n.leader == n.self.Member || l.assumed.Len() == 0 ||
		n.term != n.mem.hard.GetTerm() || l.asking != nil && now-l.asking.sent < leaseRoundTicks*n.cfg.Tick {
		return
	}
	s := &survey{to: n.leader}
	l.assumed.Scan(func(id int64) bool {
		s.leases = append(s.leases, id)
		return len(s.leases) < maxLeasesAsked
	})
	n.numberSurvey(s)
	l.asking = s
	n.sendSurvey(s.to, s)
}

// correctAssumed believes the leader: its deadlines are not before any that a leader before it confirmed, and renewals of
// its own this node has seen or will see. Leases that came into the table after the question are not those it was about.
func (n *Node) correctAssumed(a surveyed) {
	l := &n.leases
	s := l.asking
	l.asking = nil
	corrected := false
	for i, id := range s.leases {
		e, ok := l.table.Get(id)
		if ok && e.assumed != 0 && e.assumed <= s.number && a.deadlines[i] >= 0 {
			e.deadline = a.deadlines[i]
			l.certain(e)
			corrected = true
		}
	}
	if corrected {
		n.askAssumed(n.env.Clock.Now()) // the next ones
	}
}
