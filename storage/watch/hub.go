package watch

import (
	"math"
	"time"

	"github.com/quorumkv/quorumkv/internal/invariant"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// Hub knows all watchers of a node. It belongs to the loop, as do its Streams.
type Hub struct {
	view *mvcc.View // nil until the node has a state to show
	// advances counts the views.
	advances uint64
	ranges   ranges
	streams  []*Stream // open ones, each with its place here in slot
	// woken are the streams that got something to do in the call under way, stale those that wait for another view, and
	// awaiting those that owe an answer about progress until the store has reached their latest start.
	woken, stale, awaiting []*Stream
	interval               func() time.Duration
	after                  func(d time.Duration, f func()) (stop func())
	watchers               int
	// suspended says that the view is not to be trusted: nobody gets work until there is another.
	suspended bool
}

// NewHub returns a hub without watchers. interval returns the time to a stream's next round of progress notices; after
// calls f where the hub lives, once d has passed (env.Clock.After).
func NewHub(interval func() time.Duration, after func(d time.Duration, f func()) (stop func())) *Hub {
	return &Hub{ranges: newRanges(), interval: interval, after: after}
}

// Watchers is the number of watchers.
func (h *Hub) Watchers() int { return h.watchers }

// Open starts a stream. give is called on the loop whenever there is work for it and the last one was reported done; it
// must not call the hub. The hub must have a view.
func (h *Hub) Open(give func(*Work)) *Stream {
	invariant.Check(h.view != nil, "watch stream opened before there is anything to see")
	s := &Stream{hub: h, give: give, slot: len(h.streams)}
	h.streams = append(h.streams, s)
	return s
}

// Suspend holds back what the streams are owed until the next Advance: the state behind the view is damaged. Work that was
// given already is not taken back.
func (h *Hub) Suspend() { h.suspended = true }

// Advance takes a new view, which must not be older than the one before, and gives work to whom it concerns.
func (h *Hub) Advance(v *mvcc.View) {
	old := h.view
	h.view, h.suspended = v, false
	h.advances++
	if old != nil {
		h.history(old.Revision(), v)
	}
	for _, s := range h.stale {
		s.stale = false
		s.wake()
	}
	h.stale = h.stale[:0]
	for _, s := range h.awaiting {
		s.awaited = false
		s.wake()
	}
	h.awaiting = h.awaiting[:0]
	h.giveWoken()
}

// history wakes those whom the revisions after old concern.
func (h *Hub) history(old int64, v *mvcc.View) {
	invariant.Check(v.Revision() >= old, "watch hub at revision %d gets a view of revision %d", old, v.Revision())
	switch {
	case v.Revision() == old:
	case v.Recent(old + 1):
		events, _, err := v.Events(old+1, math.MaxInt)
		invariant.Check(err == nil, "events in memory from revision %d: %v", old+1, err)
		for i := range events {
			e := &events[i]
			h.ranges.visit(e.KV.Key, func(g *group) { g.rouse(e.Rev.Main) })
		}
	default:
		// A snapshot took the place of the state. Which of the revisions between concern whom, only the file tells.
		for _, s := range h.streams {
			for _, w := range s.watchers {
				w.group.last = v.Revision()
				if w.state == idle && w.start <= v.Revision() {
					w.leave()
					w.makeDue(max(old+1, w.start))
				}
			}
		}
	}
}

// Tick sends progress notices whose time has come, to watchers that have seen no event since the last round.
func (h *Hub) Tick(now time.Duration) {
	for _, s := range h.streams {
		s.notice(now)
	}
	h.giveWoken()
}

func (h *Hub) giveWoken() {
	if h.suspended {
		return
	}
	r := round{hub: h}
	for i, s := range h.woken {
		h.woken[i] = nil
		s.woken = false
		r.give(s)
	}
	h.woken = h.woken[:0]
	r.rest()
}
