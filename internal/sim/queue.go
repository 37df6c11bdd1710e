package sim

import (
	"container/heap"
	"time"
)

// event is something that happens at a moment. Events of the same moment happen in the order in which they were made.
type event struct {
	at  time.Duration
	seq uint64
	run func()
}

// queue is the world's only source of order.
type queue struct {
	events eventHeap
	now    time.Duration
	seq    uint64
}

func (q *queue) at(t time.Duration, run func()) {
	q.seq++
	heap.Push(&q.events, event{at: max(t, q.now), seq: q.seq, run: run})
}

func (q *queue) after(d time.Duration, run func()) { q.at(q.now+d, run) }

// step runs the next event, if there is one before end.
func (q *queue) step(end time.Duration) bool {
	if len(q.events) == 0 || q.events[0].at > end {
		return false
	}
	e := heap.Pop(&q.events).(event)
	q.now = e.at
	e.run()
	return true
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*h = old[:len(old)-1]
	return e
}
