package fault

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// What all lines together may hold back: seconds of a busy cluster's traffic. Messages beyond it are lost.
const (
	maxHeld      = 16 << 10
	maxHeldBytes = 64 << 20
)

// Pass takes a message over and calls deliver when it shall go on: never, once or more often, before Pass returns or
// later, from another goroutine. deliver must not block, nor call the Injector. Messages of one peer, direction and
// stream keep their order, unless the rules say otherwise; bytes is about what the message takes in memory.
func (i *Injector) Pass(peer uint64, d Direction, stream string, bytes int, deliver func()) {
	l := i.lines.get(lineKey{peer: peer, direction: d, stream: stream})
	l.mu.Lock()
	defer l.mu.Unlock()
	// Under the line's lock: whoever replaced the rules has released, or is about to release, what the line holds.
	rule := i.link(peer, d)
	if happens(rule.Drop) {
		return
	}
	l.forward(rule, bytes, deliver)
	if happens(rule.Duplicate) {
		l.forward(rule, bytes, deliver)
	}
}

// Await waits as long as a call to or from a peer is late, and while the link is cut, in the call's direction. The error
// is ctx's.
func (i *Injector) Await(ctx context.Context, peer uint64, d Direction) error {
	if !i.Active() {
		return nil
	}
	for a := i.active.Load(); a != nil; a = i.active.Load() {
		passed, err := a.await(ctx, a.rules.link(peer, d))
		if passed || err != nil {
			return err
		}
	}
	return nil
}

// await waits as a rule asks for. It reports false when the rules ended first: others may hold now.
func (a *active) await(ctx context.Context, rule Link) (passed bool, err error) {
	var passes <-chan time.Time // never, when the link is cut
	if !rule.cut() {
		late := rule.lateness()
		if late <= 0 {
			return true, nil
		}
		timer := time.NewTimer(late)
		defer timer.Stop()
		passes = timer.C
	}
	select {
	case <-passes:
		return true, nil
	case <-a.over:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (i *Injector) link(peer uint64, d Direction) Link {
	if a := i.active.Load(); a != nil {
		return a.rules.link(peer, d)
	}
	return Link{}
}

func happens(probability float64) bool { return probability > 0 && rand.Float64() < probability }

// lateness draws how late one message is.
func (l Link) lateness() time.Duration {
	late := l.Delay
	if l.Jitter > 0 {
		late += rand.N(l.Jitter + 1)
	}
	return late
}

// lines are all that messages can be held back on.
type lines struct {
	count, bytes atomic.Int64 // held on all of them

	mu  sync.Mutex
	all map[lineKey]*line
}

// lineKey names what keeps its order: one stream to or from one peer.
type lineKey struct {
	peer      uint64
	direction Direction
	stream    string
}

func (ls *lines) get(k lineKey) *line {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l, ok := ls.all[k]
	if !ok {
		l = &line{lines: ls, lineKey: k}
		ls.all[k] = l
	}
	return l
}

// release lets go on what the lines hold, or forgets it where the rules cut.
func (ls *lines) release(r Rules) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for k, l := range ls.all {
		l.release(!r.link(k.peer, k.direction).cut())
	}
}

// line holds messages back. They are delivered under its lock: that keeps their order.
type line struct {
	lineKey
	lines *lines

	mu    sync.Mutex
	held  heldHeap
	seq   uint64    // of the last message held
	last  time.Time // the latest due time of those held
	timer *time.Timer
}

// forward delivers a message at once or holds it back. The caller holds mu.
func (l *line) forward(rule Link, bytes int, deliver func()) {
	late := rule.lateness()
	if late <= 0 && (len(l.held) == 0 || rule.Jitter > 0) {
		deliver()
		return
	}
	if !l.lines.admit(bytes) {
		return
	}
	due := time.Now().Add(late)
	if rule.Jitter == 0 && len(l.held) > 0 && due.Before(l.last) {
		due = l.last
	}
	if len(l.held) == 0 || due.After(l.last) {
		l.last = due
	}
	l.seq++
	heap.Push(&l.held, heldMessage{due: due, seq: l.seq, bytes: bytes, deliver: deliver})
	if l.held[0].seq == l.seq {
		l.arm()
	}
}

// arm sets the timer for the next message that is due. The caller holds mu, and there is one.
func (l *line) arm() {
	wait := time.Until(l.held[0].due)
	if l.timer == nil {
		l.timer = time.AfterFunc(wait, l.deliverDue)
		return
	}
	l.timer.Reset(wait)
}

func (l *line) deliverDue() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for now := time.Now(); len(l.held) > 0 && !l.held[0].due.After(now); {
		l.pop().deliver()
	}
	if len(l.held) > 0 {
		l.arm()
	}
}

func (l *line) release(deliver bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	for len(l.held) > 0 {
		if m := l.pop(); deliver {
			m.deliver()
		}
	}
}

func (l *line) pop() heldMessage {
	m := heap.Pop(&l.held).(heldMessage)
	l.lines.forget(m.bytes)
	return m
}

// admit makes room for one more message, if there is any.
func (ls *lines) admit(bytes int) bool {
	count, sum := ls.count.Add(1), ls.bytes.Add(int64(bytes))
	if count > maxHeld || sum > maxHeldBytes {
		ls.forget(bytes)
		return false
	}
	return true
}

func (ls *lines) forget(bytes int) {
	ls.count.Add(-1)
	ls.bytes.Add(-int64(bytes))
}

// heldMessage is one message on a line.
type heldMessage struct {
	due     time.Time
	seq     uint64
	bytes   int
	deliver func()
}

// heldHeap has the message that is due first at its top; of two due at once, the one that came first.
type heldHeap []heldMessage

func (h heldHeap) Len() int { return len(h) }

func (h heldHeap) Less(a, b int) bool {
	if !h[a].due.Equal(h[b].due) {
		return h[a].due.Before(h[b].due)
	}
	return h[a].seq < h[b].seq
}

func (h heldHeap) Swap(a, b int) { h[a], h[b] = h[b], h[a] }
func (h *heldHeap) Push(m any)   { *h = append(*h, m.(heldMessage)) }

func (h *heldHeap) Pop() any {
	last := len(*h) - 1
	m := (*h)[last]
	(*h)[last] = heldMessage{}
	*h = (*h)[:last]
	return m
}
