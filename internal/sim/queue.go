package sim

import "time"

// event is something that happens at a moment. Events of the same moment happen in the order in which they were made.
type event struct {
	at  time.Duration
	seq uint64
	run func()
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// queue is the world's only source of order. It is a binary heap of its own: container/heap would allocate for every
// event, and events are most of what a run is.
type queue struct {
	events []event
	now    time.Duration
	seq    uint64
}

func (q *queue) at(t time.Duration, run func()) {
	q.seq++
	q.events = append(q.events, event{at: max(t, q.now), seq: q.seq, run: run})
	h := q.events
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h[i].before(&h[parent]) {
			return
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
}

func (q *queue) after(d time.Duration, run func()) { q.at(q.now+d, run) }

// step runs the next event, if there is one before end.
func (q *queue) step(end time.Duration) bool {
	if len(q.events) == 0 || q.events[0].at > end {
		return false
	}
	e := q.pop()
	q.now = e.at
	e.run()
	return true
}

// pop removes the first event.
func (q *queue) pop() event {
	h, last := q.events, len(q.events)-1
	first := h[0]
	h[0], h[last] = h[last], event{}
	h = h[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			break
		}
		if child+1 < last && h[child+1].before(&h[child]) {
			child++
		}
		if !h[child].before(&h[i]) {
			break
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
	q.events = h
	return first
}
