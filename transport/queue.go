package transport

import (
	"sync"

	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// item is a queued message with the weight it was admitted at.
type item struct {
	message *peerpb.Message
	weight  int
}

// queue holds the messages that wait for one stream. Many push; one sender takes all that is there, sends it, and
// releases each message's share of the bounds only then, so that what the sender holds counts too.
type queue struct {
	maxCount, maxBytes int

	// wake tells the sender that the queue stopped being empty. Capacity 1: one signal is enough, for the sender takes
	// everything. Sent by push, received by the sender, never closed.
	wake chan struct{}

	mu    sync.Mutex
	open  bool // a stream is up; push refuses otherwise
	items []item
	count int // items, and those taken but not released
	bytes int // likewise, by weight
}

func newQueue(c class) *queue {
	count, bytes := c.limits()
	return &queue{maxCount: count, maxBytes: bytes, wake: make(chan struct{}, 1)}
}

// push admits a message or refuses it, at once. A message that is heavier than the whole queue may enter an empty one.
func (q *queue) push(m *peerpb.Message) bool {
	w := weightOf(m)
	q.mu.Lock()
	if !q.open || q.count >= q.maxCount || (q.count > 0 && q.bytes+w > q.maxBytes) || w > maxMessageBytes-slack {
		q.mu.Unlock()
		return false
	}
	q.items = append(q.items, item{message: m, weight: w})
	q.count++
	q.bytes += w
	first := len(q.items) == 1
	q.mu.Unlock()
	if first {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// take returns all that waits and keeps emptied, which must be empty, for the items to come.
func (q *queue) take(emptied []item) []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.items
	q.items = emptied
	return taken
}

// release gives back the share of one message that was taken.
func (q *queue) release(weight int) {
	q.mu.Lock()
	q.count--
	q.bytes -= weight
	q.mu.Unlock()
}

// admit opens the queue: a stream is up.
func (q *queue) admit() {
	q.mu.Lock()
	q.open = true
	q.mu.Unlock()
}

// shut refuses further messages, forgets those that wait or were taken and not released, and returns how many those
// were. Raft makes fresh ones when the peer is back.
func (q *queue) shut() (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	dropped = q.count
	q.open, q.items, q.count, q.bytes = false, nil, 0, 0
	return dropped
}
