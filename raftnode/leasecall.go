package raftnode

import (
	"cmp"
	"slices"
	"time"

	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// LeaseCall is a client's renewal of a lease, or a look at it, on its way to the leader and back. Done runs exactly once,
// on the loop. A call is used once.
type LeaseCall struct {
	ID int64
	// Look leaves the lease as it is.
	Look bool
	// Done gets the time to live in seconds, or what remains of it in milliseconds for a look; NoLease when there is no
	// such lease. With an error the lease may have been renewed or not.
	Done func(value int64, err error)

	started  time.Duration
	deadline time.Duration
	batch    *leaseBatch // the newest message that carries it
	finished bool
}

// NoLease is the value of a call for a lease that does not exist.
const NoLease = -1

// leaseCalls are the calls of this node's clients. What waits when the loop turns goes to the leader in one message.
type leaseCalls struct {
	waiting []*LeaseCall
	batches []*leaseBatch // sent, oldest first
	order   []*LeaseCall  // in order of arrival, which is that of their deadlines; done ones are dropped from the front
	open    int
	number  uint64 // of the last message
}

// leaseBatch is a message to the leader. An answer counts however late it comes, and whatever was sent after it: no call
// in it is younger than the message.
type leaseBatch struct {
	number uint64
	to     uint64
	sent   time.Duration
	calls  []*LeaseCall // by place
}

// CallLease takes a client's renewal of a lease, or look at it. It is refused at once, with ErrTooManyRequests, when the
// node already holds as many as it may.
func (n *Node) CallLease(c *LeaseCall) {
	switch {
	case n.stopped:
		c.Done(0, ErrStopped)
		return
	case n.leases.calls.open >= n.cfg.MaxLeaseCalls:
		c.Done(0, ErrTooManyRequests)
		return
	}
	c.started = n.env.Clock.Now()
	c.deadline = c.started + n.leasePatience()
	q := &n.leases.calls
	q.open++
	q.waiting = append(q.waiting, c)
	q.order = append(q.order, c)
	n.schedule()
}

// askLeader sends what waits to the leader, which may be this node.
func (n *Node) askLeader() {
	q := &n.leases.calls
	if n.leader == 0 || len(q.waiting) == 0 {
		return
	}
	waiting := q.waiting
	q.waiting = nil
	for _, look := range [...]bool{false, true} {
		var calls []*LeaseCall
		for _, c := range waiting {
			if c.Look == look && !c.finished {
				calls = append(calls, c)
			}
		}
		for part := range slices.Chunk(calls, maxLeasesAsked) {
			n.sendCalls(part, look)
		}
	}
}

func (n *Node) sendCalls(calls []*LeaseCall, look bool) {
	q := &n.leases.calls
	q.number++
	b := &leaseBatch{number: q.number, to: n.leader, sent: n.env.Clock.Now(), calls: calls}
	q.batches = append(q.batches, b)
	m := &peerpb.LeaseRenew{
		Id:      wireID(apply.RequestID{Member: n.self.Member, Epoch: n.self.Epoch, Counter: b.number}),
		Applied: n.applied,
		Leases:  make([]int64, len(calls)),
		Look:    look,
	}
	for i, c := range calls {
		c.batch = b
		m.Leases[i] = c.ID
	}
	if b.to == n.self.Member {
		n.leasesAsked(b.to, m)
		return
	}
	n.send(b.to, &peerpb.Message{Body: &peerpb.Message_LeaseRenew{LeaseRenew: m}})
}

// leasesAnswered takes the leader's answers.
func (n *Node) leasesAnswered(from uint64, m *peerpb.LeaseRenewed) {
	q := &n.leases.calls
	id := requestID(m.GetId())
	if id.Member != n.self.Member || id.Epoch != n.self.Epoch {
		return
	}
	i, ok := slices.BinarySearchFunc(q.batches, id.Counter, func(b *leaseBatch, number uint64) int {
		return cmp.Compare(b.number, number)
	})
	if !ok || q.batches[i].to != from {
		return
	}
	b := q.batches[i]
	if m.GetOverloaded() {
		for _, c := range b.calls {
			if c.batch == b {
				q.finish(c, 0, ErrTooManyRequests)
			}
		}
		return
	}
	for i, place := range m.GetPlaces() {
		if int(place) < len(b.calls) {
			q.finish(b.calls[place], m.GetValues()[i], nil)
		}
	}
}

func (q *leaseCalls) finish(c *LeaseCall, value int64, err error) {
	if c.finished {
		return
	}
	c.finished = true
	q.open--
	c.Done(value, err)
	q.trim()
}

// again lets every call that was sent wait for the next leader.
func (q *leaseCalls) again() { q.resend(func(*leaseBatch) bool { return true }) }

// retryCalls sends again what has no answer, and forgets messages whose answers nobody waits for any more.
func (n *Node) retryCalls(now time.Duration) {
	q := &n.leases.calls
	q.batches = slices.DeleteFunc(q.batches, func(b *leaseBatch) bool { return now-b.sent > n.leasePatience() })
	q.resend(func(b *leaseBatch) bool {
		return b.to != n.self.Member && now-b.sent >= leaseAskTicks*n.cfg.Tick
	})
}

func (q *leaseCalls) resend(which func(*leaseBatch) bool) {
	for _, b := range q.batches {
		if !which(b) {
			continue
		}
		for _, c := range b.calls {
			if c.batch == b && !c.finished {
				c.batch = nil
				q.waiting = append(q.waiting, c)
			}
		}
	}
}

func (q *leaseCalls) expire(now time.Duration, why func(started time.Duration) error) {
	for q.trim(); len(q.order) > 0 && q.order[0].deadline <= now; {
		q.finish(q.order[0], 0, why(q.order[0].started))
	}
}

func (q *leaseCalls) failAll(err error) {
	for q.trim(); len(q.order) > 0; {
		q.finish(q.order[0], 0, err)
	}
	q.waiting, q.batches = nil, nil
}

// trim forgets finished calls at the front.
func (q *leaseCalls) trim() {
	i := 0
	for i < len(q.order) && q.order[i].finished {
		q.order[i] = nil
		i++
	}
	q.order = q.order[i:]
}
