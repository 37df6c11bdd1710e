package check

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// told is what was known of the store's revision at each moment. Any answer proves that the store had reached its revision
// when it came, and so does what a watcher was sent; a linearizable answer proves that the store was not beyond its
// revision when it was asked for.
type told struct {
	reached []proof // by time, with growing revisions
	behind  []proof // by revision, with growing times
}

// proof is one of them.
type proof struct {
	at       time.Duration
	revision int64
	op       *history.Op    // whose answer it is,
	watch    *history.Watch // or to which watcher it was sent
	event    *history.Event // with which change, if any
}

// before the drill.
const before = time.Duration(-1)

func newTold(h *history.History) *told {
	t := &told{}
	reached, behind := []proof{{at: before, revision: h.First}}, []proof{}
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Outcome != history.OK {
			continue
		}
		reached = append(reached, proof{at: op.End, revision: op.Revision, op: op})
		if linearizable(op) {
			behind = append(behind, proof{at: op.Begin, revision: op.Revision, op: op})
		}
	}
	for i := range h.Watches {
		w := &h.Watches[i]
		for j := range w.Batches {
			reached = append(reached, sent(w, &w.Batches[j]))
		}
	}
	slices.SortStableFunc(reached, func(a, b proof) int { return compare(a.at, b.at) })
	for _, p := range reached {
		if n := len(t.reached); n == 0 || p.revision > t.reached[n-1].revision {
			t.reached = append(t.reached, p)
		}
	}
	slices.SortStableFunc(behind, func(a, b proof) int { return compare(a.revision, b.revision) })
	for _, p := range behind {
		if n := len(t.behind); n == 0 || p.at > t.behind[n-1].at {
			t.behind = append(t.behind, p)
		}
	}
	return t
}

// sent is what a batch proves: its last change, or how far a notice says that the watcher is.
func sent(w *history.Watch, b *history.Batch) proof {
	if len(b.Events) == 0 {
		return proof{at: b.At, revision: b.Revision, watch: w}
	}
	e := &b.Events[len(b.Events)-1]
	return proof{at: b.At, revision: e.Revision, watch: w, event: e}
}

// by returns the highest revision that somebody had been told of earlier than a moment.
func (t *told) by(moment time.Duration) proof {
	n := sort.Search(len(t.reached), func(i int) bool { return t.reached[i].at >= moment })
	if n == 0 {
		return proof{at: before}
	}
	return t.reached[n-1]
}

// first returns the earliest proof that the store had reached a revision.
func (t *told) first(revision int64) (proof, bool) {
	n := sort.Search(len(t.reached), func(i int) bool { return t.reached[i].revision >= revision })
	if n == len(t.reached) {
		return proof{}, false
	}
	return t.reached[n], true
}

// notYet returns the latest proof that the store was still behind a revision.
func (t *told) notYet(revision int64) (proof, bool) {
	n := sort.Search(len(t.behind), func(i int) bool { return t.behind[i].revision >= revision })
	if n == 0 {
		return proof{}, false
	}
	return t.behind[n-1], true
}

// String says who was told what.
func (p proof) String() string {
	switch {
	case p.op != nil:
		return answered(p.op)
	case p.event != nil:
		return fmt.Sprintf("watcher %d had been sent the %s by %s at %s", p.watch.Watcher, change(*p.event), p.watch.Member,
			seconds(p.at))
	case p.watch != nil:
		return fmt.Sprintf("watcher %d had been told by %s of revision %d at %s", p.watch.Watcher, p.watch.Member, p.revision,
			seconds(p.at))
	}
	return fmt.Sprintf("the store was at revision %d before the drill", p.revision)
}

// events are what a violation shows of it.
func (p proof) events() []history.Event {
	if p.event == nil {
		return nil
	}
	return []history.Event{*p.event}
}
