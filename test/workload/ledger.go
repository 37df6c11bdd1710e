// Package workload writes to a cluster while something happens to it, remembers what was promised, and afterwards proves
// that the promises were kept.
//
// Each writer puts keys of its own, each key once, each value a function of its key. So a dump of the store can be judged
// without knowing the order of anything:
//
//   - an acknowledged key is there, with its value and with the revision that the acknowledgement named;
//   - a key that failed or timed out may be there or not, but not with another value;
//   - nothing else is there, and no key was written twice (its version is 1).
//
// Besides, time and revisions agree (Floor): what was answered before a request was sent lies at or below the revision
// that the request is answered with, strictly below for a write. Reads that break this went back in time.
//
// The package has no opinion on faults and processes; package cluster has those.
package workload

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"
)

// Key names the n-th key of a writer.
func Key(writer, n int) string { return fmt.Sprintf("w%04d/%08d", writer, n) }

// Value is what the only correct put of key writes; 32 to 256 bytes.
func Value(key string) string {
	h := fnv.New64a()
	h.Write([]byte(key))
	x := h.Sum64()
	size := 32 + int(x%225)
	value := []byte(key)
	for len(value) < size {
		value = binary.BigEndian.AppendUint64(value, x)
		x = x*6364136223846793005 + 1442695040888963407
	}
	return string(value[:size])
}

// Ledger is what writers attempted and what they were told.
type Ledger struct {
	acked atomic.Int64

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every acknowledgement that someone waits for
	waiting int64         // the number of acknowledgements wanted; 0: nobody waits
	writers [][]int64     // by writer and n: revision of the acknowledgement, 0 while there is none
	broken  []string      // promises seen broken while running
}

// NewLedger returns a ledger for so many writers.
func NewLedger(writers int) *Ledger {
	return &Ledger{writers: make([][]int64, writers), changed: make(chan struct{})}
}

// Attempt notes that a writer is about to put its next key, and returns it.
func (l *Ledger) Attempt(writer int) (n int, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = len(l.writers[writer])
	l.writers[writer] = append(l.writers[writer], 0)
	return n, Key(writer, n)
}

// Ack notes that the put was acknowledged at revision.
func (l *Ledger) Ack(writer, n int, revision int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writers[writer][n] = revision
	if total := l.acked.Add(1); l.waiting > 0 && total >= l.waiting {
		l.waiting = 0
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

// Acked returns the number of acknowledgements.
func (l *Ledger) Acked() int64 { return l.acked.Load() }

// Attempts returns the number of attempts.
func (l *Ledger) Attempts() (total int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.writers {
		total += int64(len(w))
	}
	return total
}

// reached returns a channel that closes once there are so many acknowledgements; nil if that is so already. One waiter at
// a time.
func (l *Ledger) reached(total int64) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acked.Load() >= total {
		return nil
	}
	l.waiting = total
	return l.changed
}

// lastAcked returns a writer's newest acknowledged key.
func (l *Ledger) lastAcked(writer int) (key string, revision int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.writers[writer]
	for n := len(w) - 1; n >= 0; n-- {
		if w[n] != 0 {
			return Key(writer, n), w[n], true
		}
	}
	return "", 0, false
}

// maxBroken bounds what a broken server makes us say.
const maxBroken = 20

// accuse notes a broken promise.
func (l *Ledger) accuse(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.broken) < maxBroken {
		l.broken = append(l.broken, fmt.Sprintf(format, args...))
	}
}

// Broken returns the promises that were seen broken while the load ran.
func (l *Ledger) Broken() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.broken...)
}

// Floor is the highest revision that any answer so far has named.
type Floor struct{ revision atomic.Int64 }

// Get returns the floor; take it before a request is sent.
func (f *Floor) Get() int64 { return f.revision.Load() }

// Raise notes an answer.
func (f *Floor) Raise(revision int64) {
	for {
		old := f.revision.Load()
		if old >= revision || f.revision.CompareAndSwap(old, revision) {
			return
		}
	}
}
