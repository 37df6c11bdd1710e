package load

import (
	"sync"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// Recorder collects a history from many goroutines.
type Recorder struct {
	begin time.Time

	mu      sync.Mutex
	h       *history.History
	ids     int
	gaveUp  int
	watches []*history.Watch // those of the history, each in a place of its own: the witness knows them by it
	totals  Totals
	witness Witness
}

// Witness looks at what is recorded as it comes, one call at a time, in about the order in which it happened.
type Witness interface {
	Op(*history.Op)
	// Batch is one response to the connection of a watcher.
	Batch(*history.Watch, history.Batch)
	Closed(*history.Watch)
	Poll(history.Poll)
}

// Totals count what has been recorded so far, for all members together and for each.
type Totals struct {
	Writes, Reads, Errors int
	// Refused are writes that were refused for certain, by the members' own word or for want of a connection.
	Refused int
	// LastWrite is when a write was acknowledged last.
	LastWrite time.Duration
	Members   map[string]MemberTotals
}

// MemberTotals is what clients of one member got.
type MemberTotals struct{ OK, Errors int }

// NewRecorder begins a history of members' names at a revision; times count from now on.
func NewRecorder(prefix string, members []string, first int64, w Witness) *Recorder {
	return &Recorder{
		begin: time.Now(), witness: w,
		h:      &history.History{Prefix: prefix, Members: members, First: first},
		totals: Totals{Members: map[string]MemberTotals{}},
	}
}

// Now is the time since the beginning.
func (r *Recorder) Now() time.Duration { return time.Since(r.begin) }

// First is the revision before the first request.
func (r *Recorder) First() int64 { return r.h.First } // never changes

// Begin starts a request: it gets its id, and its time last, so that nothing of the request happened before.
func (r *Recorder) Begin(op *history.Op) {
	r.mu.Lock()
	r.ids++
	op.ID = r.ids
	r.mu.Unlock()
	op.Begin = r.Now()
}

// End adds a request whose outcome and answer are filled in.
func (r *Recorder) End(op *history.Op) {
	op.End = r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Ops = append(r.h.Ops, *op)
	m := r.totals.Members[op.Member]
	switch {
	case op.Outcome != history.OK:
		r.totals.Errors++
		m.Errors++
		if op.Outcome == history.Refused && op.Kind.Writes() {
			r.totals.Refused++
		}
	case op.Kind.Writes():
		r.totals.Writes++
		m.OK++
		r.totals.LastWrite = op.End
	default:
		r.totals.Reads++
		m.OK++
	}
	r.totals.Members[op.Member] = m
	if r.witness != nil {
		r.witness.Op(&r.h.Ops[len(r.h.Ops)-1])
	}
}

// Totals returns the counts so far.
func (r *Recorder) Totals() Totals {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.totals
	t.Members = make(map[string]MemberTotals, len(t.Members))
	for name, m := range r.totals.Members {
		t.Members[name] = m
	}
	return t
}

// GaveUp is how many requests failed on one member after the other for as long as a client tries.
func (r *Recorder) GaveUp() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gaveUp
}

func (r *Recorder) failed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gaveUp++
}

// Open adds a watcher's connection. Its place is for Batch and Closed.
func (r *Recorder) Open(w history.Watch) (place int) {
	w.Begin = r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watches = append(r.watches, &w)
	return len(r.watches) - 1
}

// Batch adds a response to a watcher.
func (r *Recorder) Batch(place int, b history.Batch) {
	b.At = r.Now()
	for i := range b.Events {
		b.Events[i].At = b.At
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.watches[place]
	w.Batches = append(w.Batches, b)
	if r.witness != nil {
		r.witness.Batch(w, b)
	}
}

// Closed says why a watcher's connection ended; "" when the drill ended it.
func (r *Recorder) Closed(place int, reason string) {
	now := r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.watches[place]
	w.End, w.Error = now, reason
	if r.witness != nil {
		r.witness.Closed(w)
	}
}

// Lease adds a lease that was granted.
func (r *Recorder) Lease(l history.Lease) (place int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Leases = append(r.h.Leases, l)
	return len(r.h.Leases) - 1
}

// Renewal adds an attempt to keep a lease alive.
func (r *Recorder) Renewal(place int, n history.Renewal) {
	n.End = r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Leases[place].Renewals = append(r.h.Leases[place].Renewals, n)
}

// Poll adds a look at a member.
func (r *Recorder) Poll(p history.Poll) {
	p.At = r.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Polls = append(r.h.Polls, p)
	if r.witness != nil {
		r.witness.Poll(p)
	}
}

// Look returns the newest polls, by member: the last one of each.
func (r *Recorder) Look() map[string]history.Poll {
	r.mu.Lock()
	defer r.mu.Unlock()
	latest := make(map[string]history.Poll, len(r.h.Members))
	for i := len(r.h.Polls) - 1; i >= 0 && len(latest) < len(r.h.Members); i-- {
		if p := r.h.Polls[i]; latest[p.Member].Member == "" {
			latest[p.Member] = p
		}
	}
	return latest
}

// Edit changes the rest of the history: faults, and what is read in the end.
func (r *Recorder) Edit(f func(*history.History)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.h)
}

// History returns it all, in the end: nobody records any more.
func (r *Recorder) History() *history.History {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Watches = make([]history.Watch, 0, len(r.watches))
	for _, w := range r.watches {
		r.h.Watches = append(r.h.Watches, *w)
	}
	return r.h
}
