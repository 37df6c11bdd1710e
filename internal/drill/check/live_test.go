package check

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// feed gives a history to a Live: in about the order of time, or in any order. The batches of a connection keep theirs.
// It ends at the first violation.
func feed(h *history.History, rng *rand.Rand, shuffled bool) *history.Violation {
	type fact struct {
		at int64
		do func(*Live) *history.Violation
	}
	var facts []fact
	add := func(at int64, do func(*Live) *history.Violation) {
		if shuffled {
			at = rng.Int64()
		} else {
			at += rng.Int64N(1e8)
		}
		facts = append(facts, fact{at, do})
	}
	for _, op := range h.Ops {
		add(int64(op.End), func(l *Live) *history.Violation { return l.Op(op) })
	}
	for _, p := range h.Polls {
		add(int64(p.At), func(l *Live) *history.Violation { return l.Poll(p) })
	}
	for i := range h.Watches {
		w, next := &h.Watches[i], 0
		for _, b := range w.Batches {
			add(int64(b.At), func(l *Live) *history.Violation {
				next++
				v := l.Batch(w, w.Batches[next-1])
				if next == len(w.Batches) {
					l.Close(w)
				}
				return v
			})
		}
	}
	slices.SortStableFunc(facts, func(a, b fact) int { return compare(a.at, b.at) })
	l := NewLive(h.First)
	for _, f := range facts {
		if v := f.do(l); v != nil {
			return v
		}
	}
	return nil
}

// A correct history is quiet, in whichever order it becomes known.
func TestLiveCorrect(t *testing.T) {
	for _, seed := range seeds(t, 150) {
		rng := rand.New(rand.NewPCG(seed, 19))
		h := generate(seed, 1000)
		for _, shuffled := range []bool{false, true} {
			if v := feed(h, rng, shuffled); v != nil {
				t.Errorf("seed %d, shuffled %v: %s: %s", seed, shuffled, v.Promise, v.Text)
				repeat(t, seed)
				return
			}
		}
	}
}

// What can be proven while the history is made is found then, in any order, and never anything that All does not find.
func TestLiveTampered(t *testing.T) {
	must := []string{
		"a read misses a write that was acknowledged, and its revision",
		"two writes are acknowledged at one revision",
		"a write goes back in time",
		"a watcher is sent an event twice",
		"a watcher is sent a batch twice",
		"a watcher is sent a revision in two batches",
		"a watcher is told of progress too early",
		"a watcher is sent events out of order",
		"a watcher is sent batches out of order",
		"two members lead in one term, they say",
	}
	for _, name := range must {
		if !slices.ContainsFunc(tamperings, func(tamper tampering) bool { return tamper.name == name }) {
			t.Fatalf("there is no tampering %q", name)
		}
	}
	for _, tamper := range tamperings {
		t.Run(tamper.name, func(t *testing.T) {
			for _, seed := range seeds(t, 4) {
				x := &tampered{generate(seed, 600), rand.New(rand.NewPCG(seed, 20))}
				if _, ok := tamper.do(x); !ok {
					continue
				}
				for _, shuffled := range []bool{false, true} {
					v := feed(x.History, x.rng, shuffled)
					switch {
					case v == nil && slices.Contains(must, tamper.name):
						t.Errorf("seed %d, shuffled %v: not found", seed, shuffled)
					case v == nil:
						continue
					case !confirms(All(x.History), v):
						t.Errorf("seed %d, shuffled %v: %s: %s; the full check does not find that", seed, shuffled, v.Promise, v.Text)
					}
				}
				if t.Failed() {
					repeat(t, seed)
					return
				}
			}
		})
	}
}

// confirms tells whether the full check breaks the same promise. A read that goes back is stale only if its key changed
// meanwhile, which is known in the end.
func confirms(r Result, v *history.Violation) bool {
	if v.Promise == Linearizable || v.Promise == NoStaleRead {
		return found(r, Linearizable, 0) || found(r, NoStaleRead, 0)
	}
	return found(r, v.Promise, 0)
}

func BenchmarkLive(b *testing.B) {
	h := generate(1, 200_000)
	for b.Loop() {
		l := NewLive(h.First)
		for _, op := range h.Ops {
			if v := l.Op(op); v != nil {
				b.Fatal(v.Text)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(h.Ops)), "ns/request")
}
