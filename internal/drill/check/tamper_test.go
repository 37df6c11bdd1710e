package check

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// tampering breaks one promise in a correct history. It returns the request that it is about, 0 if it is about none, and
// false if the history has nothing that it could break.
type tampering struct {
	name    string
	promise string
	do      func(*tampered) (id int, ok bool)
}

// tampered is a history that is being tampered with.
type tampered struct {
	*history.History
	rng *rand.Rand
}

// Every tampering is found, under the right promise, with the request that it is about in the history that shows it, in
// every history where it can be done.
func TestTampered(t *testing.T) {
	const histories = 12
	for _, tamper := range tamperings {
		t.Run(tamper.name, func(t *testing.T) {
			done := 0
			for _, seed := range seeds(t, histories) {
				x := &tampered{generate(seed, 800), rand.New(rand.NewPCG(seed, 18))}
				id, ok := tamper.do(x)
				if !ok {
					continue
				}
				done++
				r := All(x.History)
				if !found(r, tamper.promise, id) {
					t.Errorf("seed %d: not found as %q with request %d; found:", seed, tamper.promise, id)
					for _, v := range r.Violations {
						t.Logf("%s: %s", v.Promise, v.Text)
					}
					repeat(t, seed)
					return
				}
				if done == 1 {
					t.Log(first(r, tamper.promise).Text)
				}
				small(t, seed, r)
			}
			if done < histories/6 && len(seeds(t, histories)) > 1 {
				t.Errorf("only %d of %d histories could be tampered with", done, histories)
			}
		})
	}
}

func found(r Result, promise string, id int) bool {
	return slices.ContainsFunc(r.Violations, func(v history.Violation) bool {
		return v.Promise == promise && (id == 0 || slices.ContainsFunc(v.Ops, func(op history.Op) bool { return op.ID == id }))
	})
}

func first(r Result, promise string) history.Violation {
	return r.Violations[slices.IndexFunc(r.Violations, func(v history.Violation) bool { return v.Promise == promise })]
}

// small demands that violations are short, and counted even where they are not all told.
func small(t *testing.T, seed uint64, r Result) {
	t.Helper()
	told := map[string]int{}
	for _, v := range r.Violations {
		told[v.Promise]++
		if len(v.Ops) > most || len(v.Events) > 3 || v.Text == "" || strings.Contains(v.Text, "%!") {
			t.Errorf("seed %d: %d requests and %d events show %q", seed, len(v.Ops), len(v.Events), v.Text)
		}
	}
	for _, c := range r.Checks {
		if told[c.Promise] != min(c.Violations, most) {
			t.Errorf("seed %d: %d of %d violations of %q are told", seed, told[c.Promise], c.Violations, c.Promise)
		}
	}
}

// op picks a request at random.
func (x *tampered) op(want func(*history.Op) bool) *history.Op {
	start := x.rng.IntN(len(x.Ops))
	for i := range x.Ops {
		if op := &x.Ops[(start+i)%len(x.Ops)]; want(op) {
			return op
		}
	}
	return nil
}

// change picks a change of the store at random: its place.
func (x *tampered) change(want func(history.Event) bool) int {
	start := x.rng.IntN(len(x.Truth))
	for i := range x.Truth {
		if at := (start + i) % len(x.Truth); want(x.Truth[at]) {
			return at
		}
	}
	return -1
}

// of finds the change that a request made.
func (x *tampered) of(op *history.Op) int {
	return slices.IndexFunc(x.Truth, func(e history.Event) bool {
		if op.Kind == history.Delete {
			return e.Key == op.Key && e.Deleted && e.Revision == op.Revision
		}
		return e.Value == op.Value
	})
}

// at is what there was of a key.
func (x *tampered) at(key string, revision int64) (e history.Event, found bool) {
	for _, c := range x.Truth {
		if c.Key == key && c.Revision <= revision {
			e, found = c, !c.Deleted
		}
	}
	return e, found
}

// see has a request see what there was at a revision.
func (x *tampered) see(op *history.Op, revision int64) {
	e, found := x.at(op.Key, revision)
	op.Found, op.ModRevision = e.Value, mod(e, found)
}

// sure tells that only requests that were acknowledged deleted a key.
func (x *tampered) sure(key string) bool {
	return !strings.HasPrefix(key, prefix+"l") && !slices.ContainsFunc(x.Ops, func(op history.Op) bool {
		return op.Key == key && op.Kind == history.Delete && op.Outcome == history.Unknown
	})
}

// batch picks a batch with so many events at least, that is not the last of its connection.
func (x *tampered) batch(events int) (w *history.Watch, b int) {
	start := x.rng.IntN(len(x.Watches))
	for i := range x.Watches {
		w := &x.Watches[(start+i)%len(x.Watches)]
		for b := range len(w.Batches) - 1 {
			if len(w.Batches[b].Events) >= events {
				return w, b
			}
		}
	}
	return nil, 0
}

// inWatch changes one event that a watcher was sent.
func inWatch(change func(*history.Event)) func(*tampered) (int, bool) {
	return func(x *tampered) (int, bool) {
		w, b := x.batch(1)
		if w == nil {
			return 0, false
		}
		events := w.Batches[b].Events
		change(&events[x.rng.IntN(len(events))])
		return 0, true
	}
}

// lost takes the change that an acknowledged request made out of the history.
func lost(kind history.Kind) func(*tampered) (int, bool) {
	return func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool { return op.Kind == kind && changes(op) })
		if op == nil {
			return 0, false
		}
		at := x.of(op)
		x.Truth = slices.Delete(x.Truth, at, at+1)
		return op.ID, true
	}
}

// stale has a linearizable read miss a write that was acknowledged before it began.
func stale(header bool, want func(*tampered, *history.Op) bool) func(*tampered) (int, bool) {
	return func(x *tampered) (int, bool) {
		read := x.op(func(op *history.Op) bool {
			return op.Kind == history.Get && op.Outcome == history.OK && x.acknowledged(op) != nil && want(x, op)
		})
		if read == nil {
			return 0, false
		}
		old := x.acknowledged(read).Revision - 1
		x.see(read, old)
		if header {
			read.Revision = old
		}
		return read.ID, true
	}
}

func anywhere(*tampered, *history.Op) bool { return true }

// early tells whether a read is where the cross-check looks.
func early(x *tampered, read *history.Op) bool {
	var ops []*history.Op
	for i := range x.Ops {
		if x.Ops[i].Key == read.Key {
			ops = append(ops, &x.Ops[i])
		}
	}
	// What only an unknown request could have undone is for those who know the store's history.
	missed := x.acknowledged(read)
	e, found := x.at(read.Key, missed.Revision-1)
	w := x.op(func(op *history.Op) bool { return op.Value == e.Value })
	if !found || w.Outcome != history.OK || w.End >= missed.Begin {
		return false
	}
	return !strings.HasPrefix(read.Key, prefix+"l") && slices.ContainsFunc(sample(ops), func(op porcupine.Operation) bool {
		return op.Input.(*history.Op) == read && op.Output.(bool)
	})
}

// acknowledged is a write that was before a read began, and whose value nobody has seen before.
func (x *tampered) acknowledged(read *history.Op) *history.Op {
	for i := range x.Ops {
		op := &x.Ops[i]
		if op.Key == read.Key && changes(op) && op.End < read.Begin && op.Revision == read.ModRevision {
			return op
		}
	}
	return nil
}

// known is an answer that shows that the store had reached a revision.
func (x *tampered) known(revision int64) *history.Op {
	return x.op(func(op *history.Op) bool { return op.Outcome == history.OK && op.Revision >= revision })
}

// leaseEnd picks a lease whose end deleted a key, and returns the place of the deletion.
func (x *tampered) leaseEnd() (*history.Lease, int) {
	for i := range x.Leases {
		l := &x.Leases[i]
		at := slices.IndexFunc(x.Truth, func(e history.Event) bool {
			before, _ := x.at(e.Key, e.Revision-1)
			return e.Deleted && e.Key == l.Key && before.Lease == l.ID && !slices.ContainsFunc(x.Ops, func(op history.Op) bool {
				return op.Key == l.Key && op.Kind == history.Delete && op.Outcome != history.Refused
			})
		})
		if at >= 0 && !slices.ContainsFunc(x.Truth[at:], func(e history.Event) bool { return e.Lease == l.ID }) {
			return l, at
		}
	}
	return nil, 0
}

// pair picks two answers, of which the first had ended when the second began.
func (x *tampered) pair(want func(a, b *history.Op) bool) (a, b *history.Op) {
	start := x.rng.IntN(len(x.Ops))
	for i := range x.Ops {
		a := &x.Ops[(start+i)%len(x.Ops)]
		for j := range x.Ops {
			if b := &x.Ops[j]; a.End < b.Begin && a.Outcome == history.OK && b.Outcome == history.OK && want(a, b) {
				return a, b
			}
		}
	}
	return nil, nil
}

var tamperings = []tampering{
	{"an acknowledged put is lost", NoLostWrite, lost(history.Put)},
	{"an acknowledged swap is lost", NoLostWrite, lost(history.Swap)},
	{"an acknowledged deletion is lost", NoLostWrite, lost(history.Delete)},
	{"a put is acknowledged that never was done", NoLostWrite, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool {
			return op.Kind == history.Put && op.Outcome == history.Unknown && x.of(op) < 0
		})
		if op == nil {
			return 0, false
		}
		op.Outcome, op.Revision = history.OK, x.Last
		return op.ID, true
	}},
	{"a value is changed", NoLostWrite, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool { return op.Kind == history.Put && changes(op) })
		x.Truth[x.of(op)].Value = "other"
		return op.ID, true
	}},
	{"a value appears that nobody wrote", NoInventedWrite, func(x *tampered) (int, bool) {
		x.Truth[x.change(func(e history.Event) bool { return !e.Deleted })].Value = "other"
		return 0, true
	}},
	{"a put takes effect twice", NoInventedWrite, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool { return op.Kind == history.Put && changes(op) })
		x.Last++
		again := x.Truth[x.of(op)]
		again.Revision = x.Last
		x.Truth = append(x.Truth, again)
		return op.ID, true
	}},
	{"an unknown put takes effect twice", NoInventedWrite, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool {
			return op.Kind == history.Put && op.Outcome == history.Unknown && x.of(op) >= 0
		})
		if op == nil {
			return 0, false
		}
		x.Last++
		again := x.Truth[x.of(op)]
		again.Revision = x.Last
		x.Truth = append(x.Truth, again)
		return op.ID, true
	}},
	{"a refused put takes effect", NoInventedWrite, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool { return op.Kind == history.Put && changes(op) })
		op.Outcome, op.Revision, op.Error = history.Refused, 0, "no leader"
		return op.ID, true
	}},
	{"a refused deletion takes effect", NoInventedWrite, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool { return op.Kind == history.Delete && changes(op) && x.sure(op.Key) })
		if op == nil {
			return 0, false
		}
		op.Outcome, op.Revision, op.Applied = history.Refused, 0, false
		return op.ID, true
	}},
	{"a swap that did not hold takes effect", NoInventedWrite, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool { return op.Kind == history.Swap && changes(op) })
		op.Applied = false
		return op.ID, true
	}},
	{"a deletion that nobody asked for", NoInventedWrite, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool { return op.Kind == history.Delete && changes(op) && x.sure(op.Key) })
		if op == nil {
			return 0, false
		}
		x.Ops = slices.DeleteFunc(x.Ops, func(o history.Op) bool { return o.ID == op.ID })
		return 0, true
	}},
	{"a deletion before the only request that could be it", NoInventedWrite, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool { return op.Kind == history.Delete && changes(op) && x.sure(op.Key) })
		if op == nil {
			return 0, false
		}
		end := x.Ops[len(x.Ops)-1].End
		op.Outcome, op.Begin, op.End = history.Unknown, end+1, end+2
		return 0, true
	}},
	{"a deletion of nothing", NoInventedWrite, func(x *tampered) (int, bool) {
		at := x.change(func(e history.Event) bool {
			_, found := x.at(e.Key, x.Last)
			return e.Deleted && !found
		})
		if at < 0 {
			return 0, false
		}
		x.Last++
		x.Truth = append(x.Truth, history.Event{Revision: x.Last, Key: x.Truth[at].Key, Deleted: true})
		return 0, true
	}},
	{"a read misses a write that was acknowledged, and its revision", NoStaleRead, stale(true, anywhere)},
	{"a read misses a write that was acknowledged", NoStaleRead, stale(false, anywhere)},
	{"a read finds nothing that is there", NoStaleRead, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool {
			return op.Kind == history.Get && op.ModRevision > 0 && x.acknowledged(op) != nil
		})
		if op == nil {
			return 0, false
		}
		op.Found, op.ModRevision = "", 0
		return op.ID, true
	}},
	{"a read finds another value", Linearizable, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool { return op.Kind == history.Get && op.ModRevision > 0 })
		op.Found = "other"
		return op.ID, true
	}},
	{"a read has a revision that the store never reached", Linearizable, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool { return op.Kind == history.Get && op.Outcome == history.OK })
		op.Revision = x.Last + 5
		return op.ID, true
	}},
	{"two acknowledgements swap their revisions", Linearizable, func(x *tampered) (int, bool) {
		a, b := x.pair(func(a, b *history.Op) bool { return a.Kind == history.Put && b.Kind == history.Put })
		a.Revision, b.Revision = b.Revision, a.Revision
		return a.ID, true
	}},
	{"two writes are acknowledged at one revision", Linearizable, func(x *tampered) (int, bool) {
		a, b := x.pair(func(a, b *history.Op) bool { return a.Kind == history.Put && b.Kind == history.Put })
		b.Revision = a.Revision
		return b.ID, true
	}},
	{"two writes are in one revision", Linearizable, func(x *tampered) (int, bool) {
		for i := range len(x.Truth) - 1 {
			if a, b := &x.Truth[i], &x.Truth[i+1]; !a.Deleted && a.Key != b.Key && a.Revision != b.Revision {
				a.Revision = b.Revision
				return 0, true
			}
		}
		return 0, false
	}},
	{"a write goes back in time", Linearizable, func(x *tampered) (int, bool) {
		write, later := x.pair(func(a, b *history.Op) bool { return changes(a) && linearizable(b) && a.Revision < b.Revision })
		write.Begin, write.End = later.End+1, later.End+2
		return write.ID, true
	}},
	{"an unknown write is known before it begins", Linearizable, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool {
			return op.Kind == history.Put && op.Outcome == history.Unknown && x.of(op) >= 0 && x.known(x.Truth[x.of(op)].Revision) != nil
		})
		if op == nil {
			return 0, false
		}
		end := x.Ops[len(x.Ops)-1].End
		op.Begin, op.End = end+1, end+2
		return op.ID, true
	}},
	{"a swap holds wrongly", Linearizable, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool { return op.Kind == history.Swap && changes(op) })
		op.Expected += 1 + x.rng.Int64N(3)
		return op.ID, true
	}},
	{"an unknown swap holds wrongly", Linearizable, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool {
			return op.Kind == history.Swap && op.Outcome == history.Unknown && x.of(op) >= 0
		})
		if op == nil {
			return 0, false
		}
		op.Expected += 1 + x.rng.Int64N(3)
		return op.ID, true
	}},
	{"a swap fails wrongly", Linearizable, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool { return op.Kind == history.Swap && op.Outcome == history.OK && !op.Applied })
		op.Expected = op.ModRevision
		return op.ID, true
	}},
	{"a deletion misses what is there", Linearizable, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool { return op.Kind == history.Get && op.ModRevision > 0 })
		op.Kind, op.Found, op.ModRevision = history.Delete, "", 0
		return op.ID, true
	}},
	{"a key has another lease than it was put with", Linearizable, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool { return op.Kind == history.Put && changes(op) && op.Lease == 0 })
		x.Truth[x.of(op)].Lease = 99
		return op.ID, true
	}},
	{"the store counts a version wrong", Linearizable, func(x *tampered) (int, bool) {
		x.Truth[x.change(func(e history.Event) bool { return !e.Deleted })].Version++
		return 0, true
	}},
	{"the store forgets when a key was created", Linearizable, func(x *tampered) (int, bool) {
		at := x.change(func(e history.Event) bool { return e.Version > 1 })
		x.Truth[at].Created = x.Truth[at].Revision
		return 0, true
	}},
	{"a serializable read goes back", Serializable, func(x *tampered) (int, bool) {
		_, b := x.pair(func(a, b *history.Op) bool {
			return b.Kind == history.Stale && a.Member == b.Member && a.Revision > x.First+1
		})
		a, b := x.pair(func(a, c *history.Op) bool { return c == b && a.Member == b.Member && a.Revision > x.First+1 })
		b.Revision = a.Revision - 1
		x.see(b, b.Revision)
		return b.ID, true
	}},
	{"a serializable read shows what never was", Serializable, func(x *tampered) (int, bool) {
		op := x.op(func(op *history.Op) bool { return op.Kind == history.Stale && op.ModRevision > 0 })
		op.ModRevision--
		return op.ID, true
	}},
	{"a watcher is not sent an event", Watches, func(x *tampered) (int, bool) {
		w, b := x.batch(2)
		if w == nil {
			return 0, false
		}
		events := w.Batches[b].Events
		w.Batches[b].Events = slices.Delete(events, 0, 1)
		return 0, true
	}},
	{"a watcher is not sent a batch", Watches, func(x *tampered) (int, bool) {
		for i := range x.Watches {
			w := &x.Watches[i]
			for b := range len(w.Batches) - 1 {
				if len(w.Batches[b].Events) > 0 {
					w.Batches = slices.Delete(w.Batches, b, b+1)
					return 0, true
				}
			}
		}
		return 0, false
	}},
	{"a watcher is sent an event twice", Watches, func(x *tampered) (int, bool) {
		w, b := x.batch(1)
		events := w.Batches[b].Events
		at := x.rng.IntN(len(events))
		w.Batches[b].Events = slices.Insert(events, at, events[at])
		return 0, true
	}},
	{"a watcher is sent a batch twice", Watches, func(x *tampered) (int, bool) {
		w, b := x.batch(1)
		w.Batches = slices.Insert(w.Batches, b, w.Batches[b])
		return 0, true
	}},
	{"a watcher is sent a revision in two batches", Watches, func(x *tampered) (int, bool) {
		for i := range x.Watches {
			w := &x.Watches[i]
			for b := range w.Batches {
				events := w.Batches[b].Events
				for j := 1; j < len(events); j++ {
					if events[j].Revision == events[j-1].Revision {
						rest := w.Batches[b]
						rest.Events = events[j:]
						w.Batches[b].Events = events[:j:j]
						w.Batches = slices.Insert(w.Batches, b+1, rest)
						return 0, true
					}
				}
			}
		}
		return 0, false
	}},
	{"a watcher is told of progress too early", Watches, func(x *tampered) (int, bool) {
		w, b := x.batch(1)
		events := w.Batches[b].Events
		notice := history.Batch{At: w.Batches[b].At, Revision: events[len(events)-1].Revision}
		w.Batches = slices.Insert(w.Batches, b, notice)
		return 0, true
	}},
	{"a watcher is sent events out of order", Watches, func(x *tampered) (int, bool) {
		w, b := x.batch(2)
		if w == nil {
			return 0, false
		}
		events := w.Batches[b].Events
		events[0], events[1] = events[1], events[0]
		return 0, true
	}},
	{"a watcher is sent batches out of order", Watches, func(x *tampered) (int, bool) {
		for i := range x.Watches {
			w := &x.Watches[i]
			for b := range len(w.Batches) - 1 {
				if len(w.Batches[b].Events) > 0 && len(w.Batches[b+1].Events) > 0 {
					w.Batches[b].Events, w.Batches[b+1].Events = w.Batches[b+1].Events, w.Batches[b].Events
					return 0, true
				}
			}
		}
		return 0, false
	}},
	{"a watcher skips events when it reconnects", Watches, func(x *tampered) (int, bool) {
		w, _ := x.batch(1)
		i := slices.IndexFunc(w.Batches, func(b history.Batch) bool { return len(b.Events) > 0 })
		missed := w.Batches[i].Events[0].Revision
		reconnects := false
		for _, other := range x.Watches {
			if other.Watcher != w.Watcher || other.Begin >= w.Begin {
				continue
			}
			reconnects = true
			if n := len(other.Batches); n > 0 && sent(&other, &other.Batches[n-1]).revision >= missed {
				return 0, false // it has seen that
			}
		}
		if !reconnects {
			return 0, false
		}
		w.From = missed + 1
		w.Batches = slices.Delete(w.Batches, 0, i+1)
		return 0, true
	}},
	{"a watcher is sent another version", Watches, inWatch(func(e *history.Event) { e.Version++ })},
	{"a watcher is sent another create revision", Watches, inWatch(func(e *history.Event) { e.Created-- })},
	{"a watcher is sent another value", Watches, inWatch(func(e *history.Event) { e.Value += "x" })},
	{"a watcher is sent a deletion for a put", Watches, inWatch(func(e *history.Event) { e.Deleted = !e.Deleted })},
	{"a watcher is sent what never was", Watches, inWatch(func(e *history.Event) { e.Key += "x" })},
	{"a watcher is sent another's keys", Watches, inWatch(func(e *history.Event) { e.Key = "somebody" })},
	{"the whole history is told out of order", Watches, func(x *tampered) (int, bool) {
		for i := range len(x.Truth) - 1 {
			if x.Truth[i].Revision < x.Truth[i+1].Revision {
				x.Truth[i], x.Truth[i+1] = x.Truth[i+1], x.Truth[i]
				return 0, true
			}
		}
		return 0, false
	}},
	{"the whole history tells a change twice", Watches, func(x *tampered) (int, bool) {
		at := x.rng.IntN(len(x.Truth))
		x.Truth = slices.Insert(x.Truth, at, x.Truth[at])
		return 0, true
	}},
	{"a lease ends early", Leases, func(x *tampered) (int, bool) {
		l, at := x.leaseEnd()
		if l == nil {
			return 0, false
		}
		if x.known(x.Truth[at].Revision) == nil {
			return 0, false // it may have ended at any later time
		}
		l.TTL += time.Minute
		put := x.op(func(op *history.Op) bool { e, _ := x.at(l.Key, x.Truth[at].Revision-1); return op.Value == e.Value })
		return put.ID, put.Outcome == history.OK
	}},
	{"a lease is said to be gone early", Leases, func(x *tampered) (int, bool) {
		for i := range x.Leases {
			l := &x.Leases[i]
			if n := len(l.Renewals); n > 1 && l.Renewals[0].Confirmed {
				l.Renewals[1] = history.Renewal{Member: "n1", Begin: l.Renewals[0].End + 1, End: l.Renewals[0].End + 2, Gone: true}
				return 0, true
			}
		}
		return 0, false
	}},
	{"a lease is renewed after it has ended", Leases, func(x *tampered) (int, bool) {
		l, at := x.leaseEnd()
		if l == nil {
			return 0, false
		}
		seen := x.known(x.Truth[at].Revision)
		if seen == nil {
			return 0, false
		}
		l.Renewals = append(l.Renewals, history.Renewal{Member: "n1", Begin: seen.End + 1, End: seen.End + 2, Confirmed: true})
		return 0, true
	}},
	{"a lease never ends", Leases, func(x *tampered) (int, bool) {
		l, at := x.leaseEnd()
		if l == nil || slices.ContainsFunc(x.Truth[at+1:], func(e history.Event) bool { return e.Key == l.Key }) {
			return 0, false
		}
		c := &checker{h: x.History}
		x.Ops = append(x.Ops, history.Op{ID: 1 << 30, Kind: history.Get, Key: prefix + "none", Member: "n1", Outcome: history.OK,
			Begin: c.due(l) + 1, End: c.due(l) + 2, Revision: x.Last}) // the history may be too short to tell
		x.Truth = slices.Delete(x.Truth, at, at+1)
		return 0, true
	}},
	{"a lease ends late", Leases, func(x *tampered) (int, bool) {
		l, at := x.leaseEnd()
		if l == nil {
			return 0, false
		}
		op := x.op(func(op *history.Op) bool { return linearizable(op) && op.Revision < x.Truth[at].Revision })
		c := &checker{h: x.History}
		op.Begin, op.End = c.due(l)+1, c.due(l)+2
		return op.ID, true
	}},
	{"a lease's key outlives it", Leases, func(x *tampered) (int, bool) {
		l, at := x.leaseEnd()
		if l == nil {
			return 0, false
		}
		early, ok := time.Duration(0), false
		for _, op := range x.Ops {
			if linearizable(&op) && op.Revision < x.Truth[at].Revision && op.Begin > early {
				early, ok = op.Begin, true
			}
		}
		l.TTL = time.Millisecond // or it were gone early as well
		l.Renewals = []history.Renewal{{Member: "n1", Begin: early - 2, End: early - 1, Gone: true}}
		return 0, ok
	}},
	{"two members lead in one term, they say", OneLeader, func(x *tampered) (int, bool) {
		p := x.Polls[x.rng.IntN(len(x.Polls))]
		p.ID = p.Leader%3 + 1
		p.Leader = p.ID
		x.Polls = append(x.Polls, p)
		return 0, true
	}},
	{"two members lead in one term, by their logs", OneLeader, func(x *tampered) (int, bool) {
		cl := x.Claims[x.rng.IntN(len(x.Claims))]
		cl.Leader = cl.Leader%3 + 1
		x.Claims = append(x.Claims, cl)
		return 0, true
	}},
	{"a hash differs", ReplicasAgree, func(x *tampered) (int, bool) {
		x.Hashes[x.rng.IntN(len(x.Hashes))].Hash++
		return 0, true
	}},
	{"a member counts a version wrong", ReplicasAgree, func(x *tampered) (int, bool) {
		return 0, x.held(func(keys []history.Event, i int) []history.Event { keys[i].Version++; return keys })
	}},
	{"a member has lost a key", NoLostWrite, func(x *tampered) (int, bool) {
		return 0, x.held(func(keys []history.Event, i int) []history.Event { return slices.Delete(keys, i, i+1) })
	}},
	{"a member has an older value", NoLostWrite, func(x *tampered) (int, bool) {
		return 0, x.held(func(keys []history.Event, i int) []history.Event {
			keys[i].Revision--
			keys[i].Value = "older"
			return keys
		})
	}},
	{"a member has a value that nobody wrote", NoInventedWrite, func(x *tampered) (int, bool) {
		return 0, x.held(func(keys []history.Event, i int) []history.Event { keys[i].Value = "other"; return keys })
	}},
	{"a member has a key that nobody put", NoInventedWrite, func(x *tampered) (int, bool) {
		return 0, x.held(func(keys []history.Event, i int) []history.Event {
			return append(keys, history.Event{Key: prefix + "other", Revision: x.First + 1, Created: x.First + 1, Version: 1})
		})
	}},
	{"a member has a key that was deleted", NoInventedWrite, func(x *tampered) (int, bool) {
		for i := range x.Truth {
			if e := x.Truth[i]; e.Lease != 0 {
				if now, found := x.at(e.Key, x.Last); !found && now.Deleted {
					return 0, x.held(func(keys []history.Event, _ int) []history.Event { return append(keys, e) })
				}
			}
		}
		return 0, false
	}},
	{"an order that only a search finds missing", CrossCheck, stale(true, early)},
}

// held changes the keys that one member has in the end.
func (x *tampered) held(change func(keys []history.Event, i int) []history.Event) bool {
	member := x.Members[x.rng.IntN(len(x.Members))]
	keys := x.Dumps[member]
	if len(keys) == 0 {
		return false
	}
	x.Dumps[member] = change(keys, x.rng.IntN(len(keys)))
	return true
}
