// Package check judges a drill's history: it looks for promises that the history shows broken, and for nothing else.
// What it reports is proven by the history alone, so one violation is enough to condemn a cluster.
//
// The check rests on revisions. Every answer carries the revision at which the store was when it was given, and the store's
// own history says what happened at each: so there is one order to try, not all, and the whole takes O(n log n). It is
// exact for requests of one key, which is all that a drill sends:
//
//   - the store's history, which one watch told in the end, goes through a plain model (store.go)
//   - each request must fit it at its revision: writes made the change there, others saw what there was (writes.go, reads.go)
//   - each request must fit the clock: what began later than somebody had been told of a revision is not older, and newer
//     if it changed something (told.go, order.go)
//   - outcomes that no client was told are read from the store's history: a write is known by its value, a deletion by
//     there being a request that explains it (writes.go, deletions.go)
//
// What watchers, leases and members say is held against the same model. porcupine, which knows nothing of revisions,
// judges a sample again, so that the judge is judged too.
//
// Not checked: that an answer came at all, or in time; keys outside the drill's prefix; and below a compaction by somebody
// else, contents.
package check

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// The promises, as violations and checks name them.
const (
	NoLostWrite     = "no lost write"
	NoStaleRead     = "no stale read"
	Linearizable    = "linearizable"
	NoInventedWrite = "no invented write"
	Serializable    = "serializable reads"
	Watches         = "watch"
	Leases          = "lease"
	OneLeader       = "one leader per term"
	ReplicasAgree   = "replicas agree"
	CrossCheck      = "linearizable, checked again"
)

// promises are in the order in which they are reported: the most telling first.
var promises = []struct{ name, means string }{
	{NoLostWrite, "A write that was acknowledged is in the store, as it was written, on every member."},
	{NoStaleRead, "A linearizable read sees every write that anybody knew of before the read began."},
	{Linearizable, "All requests fit one order, the store's, and that order fits the time at which they were made."},
	{NoInventedWrite, "Every change of the store is the work of one request, happened once, and was not refused."},
	{Serializable, "A serializable read shows a state that the store was in, and none older than its member has shown since it started."},
	{Watches, "A watcher is sent every change below its prefix, once, in order, whole, and as it was, however often it reconnects."},
	{Leases, "A lease lives for its time to live after each renewal that was confirmed, then ends, and takes its keys with it."},
	{OneLeader, "No two members lead in the same term."},
	{ReplicasAgree, "All members hold the same history and the same keys."},
	{CrossCheck, "A checker that does not look at revisions finds an order for the requests as well."},
}

// most is how many violations of a promise are told in full.
const most = 5

// Result is a verdict.
type Result struct {
	// Violations are the promises broken, the most telling first, of each promise the first few.
	Violations []history.Violation
	// Checks are all promises, those that held too.
	Checks []report.Check
}

// All judges a history. Equal histories get equal results, except that the cross-check gives up after a few seconds, and
// says so.
func All(h *history.History) Result {
	c := &checker{h: h, found: map[string][]history.Violation{}, total: map[string]int{}, looked: map[string]string{}}
	c.store = newStore(c)
	c.told = newTold(h)
	c.index()
	c.writes()
	c.deletions()
	c.order()
	c.reads()
	c.serializable()
	c.watches()
	c.leases()
	c.leaders()
	c.replicas()
	c.crossCheck()
	var r Result
	for _, p := range promises {
		r.Violations = append(r.Violations, c.found[p.name]...)
		r.Checks = append(r.Checks, report.Check{
			Promise: p.name, Means: p.means, Looked: c.looked[p.name], Violations: c.total[p.name],
		})
	}
	return r
}

// checker is one judgement as it goes on.
type checker struct {
	h     *history.History
	store *store
	told  *told
	// writers are the puts and swaps by the value they write, and took the revision at which the store took it, of those
	// that it took.
	writers map[string]*history.Op
	took    map[*history.Op]int64
	// changed are the requests that made the changes of the store, in its order; nil where a lease did, or nobody.
	changed []*history.Op
	byLease map[int64]*history.Lease
	// ends is the revision at which the keys of a lease were gone, and kept a key of those that have some in the end.
	ends map[int64]int64
	kept map[int64]history.Event

	found  map[string][]history.Violation
	total  map[string]int
	looked map[string]string
}

// broken notes a violation. The request that it is about comes first among ops; nil ones are left out.
func (c *checker) broken(promise string, ops []*history.Op, events []history.Event, format string, args ...any) {
	c.total[promise]++
	if len(c.found[promise]) == most {
		return
	}
	c.found[promise] = append(c.found[promise], *violation(promise, ops, events, format, args...))
}

func (c *checker) look(promise, format string, args ...any) {
	c.looked[promise] = fmt.Sprintf(format, args...)
}

// index finds the writer of each value and the lease of each id.
func (c *checker) index() {
	c.writers, c.took = map[string]*history.Op{}, map[*history.Op]int64{}
	c.changed = make([]*history.Op, len(c.store.changes))
	for i := range c.h.Ops {
		if op := &c.h.Ops[i]; op.Kind == history.Put || op.Kind == history.Swap {
			c.writers[op.Value] = op
		}
	}
	c.byLease = map[int64]*history.Lease{}
	for i := range c.h.Leases {
		c.byLease[c.h.Leases[i].ID] = &c.h.Leases[i]
	}
}

// changes reports whether a request was answered as having changed the store.
func changes(op *history.Op) bool {
	return op.Outcome == history.OK && (op.Kind == history.Put || op.Kind.Writes() && op.Applied)
}

// linearizable reports whether an answer of the request promises to be up to date.
func linearizable(op *history.Op) bool { return op.Outcome == history.OK && op.Kind != history.Stale }

const forever = time.Duration(math.MaxInt64)

// violation makes one of the requests that there are, each once.
func violation(promise string, ops []*history.Op, events []history.Event, format string, args ...any) *history.Violation {
	v := &history.Violation{Promise: promise, Text: fmt.Sprintf(format, args...), Events: events}
	for _, op := range ops {
		if op != nil && !slices.ContainsFunc(v.Ops, func(o history.Op) bool { return o.ID == op.ID }) {
			v.Ops = append(v.Ops, *op)
		}
	}
	return v
}
