package raftnode

import (
	"time"

	"github.com/quorumkv/quorumkv/storage/apply"
)

// Proposal is a client's write on its way through this node. Done runs exactly once, on the loop.
type Proposal struct {
	// Request is an encoded etcdserverpb.InternalRaftRequest. It must not change any more; the node lets go of it at the end.
	Request []byte
	Done    func(apply.Response, error)

	id       apply.RequestID
	started  time.Duration
	deadline time.Duration
	sent     bool // proposed here or forwarded: from now on only the log knows the outcome
	again    bool // it was sent before, and may be in a log
	finished bool
}

// pendingTable maps request ids of this boot to the clients that wait for them. All have the same timeout, so the order
// of arrival is the order of deadlines.
type pendingTable struct {
	byCounter map[uint64]*Proposal
	order     []*Proposal // oldest first; finished ones are dropped from the front
	bytes     int         // of the requests that wait
}

func (t *pendingTable) add(p *Proposal) {
	if t.byCounter == nil {
		t.byCounter = map[uint64]*Proposal{}
	}
	t.byCounter[p.id.Counter] = p
	t.order = append(t.order, p)
	t.bytes += len(p.Request)
}

func (t *pendingTable) len() int { return len(t.byCounter) }

// finish answers the request with that counter, if it still waits.
func (t *pendingTable) finish(counter uint64, r apply.Response, err error) {
	p := t.byCounter[counter]
	if p == nil {
		return
	}
	delete(t.byCounter, counter)
	p.finished = true
	t.bytes -= len(p.Request)
	p.Request = nil // p may stay in order for as long as an older one waits: without its weight
	p.Done(r, err)
	t.trim()
}

// expire answers everything whose deadline has passed.
func (t *pendingTable) expire(now time.Duration, why func(started time.Duration) error) {
	for t.trim(); len(t.order) > 0 && t.order[0].deadline <= now; {
		t.finish(t.order[0].id.Counter, apply.Response{}, why(t.order[0].started))
	}
}

func (t *pendingTable) failAll(err error) {
	for t.trim(); len(t.order) > 0; {
		t.finish(t.order[0].id.Counter, apply.Response{}, err)
	}
}

// trim forgets finished requests at the front.
func (t *pendingTable) trim() {
	i := 0
	for i < len(t.order) && t.order[i].finished {
		t.order[i] = nil
		i++
	}
	t.order = t.order[i:]
}
