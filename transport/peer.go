package transport

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/quorumkv/quorumkv/transport/peerpb"
)

var errMoved = errors.New("the peer's addresses changed")

// peer is one other member as a destination.
type peer struct {
	id      uint64
	t       *Transport
	ctx     context.Context // ends with stop and with the transport
	stop    context.CancelFunc
	log     hclog.Logger
	metrics outgoing
	senders [classes]*sender

	active   atomic.Pointer[time.Time] // since when the control stream is up; nil when it is not
	reported atomic.Int64              // when Unreachable was last called, in nanoseconds since Transport.born

	mu        sync.Mutex
	urls      []string
	addresses []address                        // the urls that make sense
	sessions  [classes]context.CancelCauseFunc // of the streams that are up or on their way
}

// startPeer makes a peer and starts its senders. The caller holds t.mu.
func (t *Transport) startPeer(p Peer) *peer {
	q := &peer{
		id: p.ID, t: t,
		log:     t.log.With("peer-id", label(p.ID)),
		metrics: t.metrics.outgoing(p.ID),
	}
	q.ctx, q.stop = context.WithCancel(t.ctx)
	q.metrics.known.Set(1)
	t.metrics.incoming(p.ID)
	q.move(p.URLs)
	for c := range classes {
		s := &sender{t: t, peer: q, class: c, queue: newQueue(c), wake: make(chan struct{}, 1)}
		q.senders[c] = s
		t.running.Go(s.run)
	}
	return q
}

// move takes over new addresses; streams to the old ones are cut.
func (p *peer) move(urls []string) {
	p.mu.Lock()
	if slices.Equal(p.urls, urls) {
		p.mu.Unlock()
		return
	}
	p.urls, p.addresses = slices.Clone(urls), nil
	for _, u := range urls {
		a, err := parseAddress(u)
		if err != nil {
			p.log.Error("peer url ignored", "error", err)
			continue
		}
		p.addresses = append(p.addresses, a)
	}
	p.mu.Unlock()
	p.cut(errMoved)
}

// attach makes a session known to cut and returns the address it shall try, the n-th counting round, and how many there
// are. One step, so that no session to an old address slips past a move.
func (p *peer) attach(c class, end context.CancelCauseFunc, n int) (a address, count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sessions[c] = end
	if count = len(p.addresses); count > 0 {
		a = p.addresses[n%count]
	}
	return a, count
}

// cut ends the streams of all classes; their senders start anew.
func (p *peer) cut(reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, end := range p.sessions {
		if end != nil {
			end(reason)
		}
	}
}

// wake lets the sender of a class try at once.
func (p *peer) wake(c class) {
	select {
	case p.senders[c].wake <- struct{}{}:
	default:
	}
}

func (p *peer) send(m *peerpb.Message) {
	c := classOf(m)
	if p.senders[c].queue.push(m) {
		return
	}
	p.lost(c, 1)
}

// lost counts messages that were dropped and lets raft know, which then stops sending optimistically. Snapshot chunks
// are the business of whoever fetches them.
func (p *peer) lost(c class, messages int) {
	p.metrics.sentFailures.Add(float64(messages))
	if c == snapshot || p.t.cfg.Unreachable == nil {
		return
	}
	now, last := int64(time.Since(p.t.born)), p.reported.Load()
	if last != 0 && now-last < int64(p.t.timing.reportEvery) {
		return
	}
	if p.reported.CompareAndSwap(last, now) {
		p.t.cfg.Unreachable(p.id)
	}
}
