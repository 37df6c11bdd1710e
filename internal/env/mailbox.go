package env

import "sync"

// batchKept bounds the slices that a mailbox keeps for reuse, so that one burst does not pin its memory for ever.
const batchKept = 1 << 14

// mailbox is the queue behind a loop and behind a lane: many put, one takes. A take gets everything that waits in one
// swap: all that arrived during one turn is there, together, in the next. Batching everywhere above rests on this.
type mailbox[T any] struct {
	mu      sync.Mutex
	waiting sync.Cond // on mu; signalled when items stops being empty, and by close
	items   []T
	closed  bool
}

func newMailbox[T any]() *mailbox[T] {
	m := &mailbox[T]{}
	m.waiting.L = &m.mu
	return m
}

// put adds an item. After close it does nothing: there is nobody left to take it.
func (m *mailbox[T]) put(item T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.items = append(m.items, item)
	if len(m.items) == 1 {
		m.waiting.Signal()
	}
}

// take waits for items and returns all of them, or false once the mailbox is closed and empty. used is the batch of the
// take before, whose memory is taken over.
func (m *mailbox[T]) take(used []T) (batch []T, ok bool) {
	clear(used) // what the items hold is garbage now
	used = used[:0]
	if cap(used) > batchKept {
		used = nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.items) == 0 && !m.closed {
		m.waiting.Wait()
	}
	if len(m.items) == 0 {
		return nil, false
	}
	batch, m.items = m.items, used
	return batch, true
}

// close lets take return what is there, and nothing after it.
func (m *mailbox[T]) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.waiting.Broadcast()
}
