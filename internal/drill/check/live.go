package check

import (
	"slices"
	"sort"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// Live looks at a history while it is made, so that a drill can stop at the first violation. It takes facts in any order
// and reports what they prove so far: a revision that goes back in time, two writes at one revision, two leaders in one
// term, a watcher that is sent what it has seen. It reports nothing that [All] would not, which may have a more telling
// name for it. Each fact costs O(log n) as long as they come about in the order of time. Not safe for concurrent use.
type Live struct {
	// reached are proofs that the store was at a revision, only those that say more than every earlier one: by time, with
	// growing revisions. owed are requests that must not be behind what was known when they began, only those that ask for
	// more than every later one: by their beginning, with growing revisions.
	reached []proof
	owed    []owed
	writes  map[int64]*history.Op // acknowledged, by revision
	reigns  map[uint64]reign
	last    map[*history.Watch]history.Event
	noticed map[*history.Watch]int64
}

// owed is an answered request: nobody may have known of a revision beyond most before it began.
type owed struct {
	begin time.Duration
	most  int64
	op    *history.Op
}

// NewLive begins with the store at a revision.
func NewLive(first int64) *Live {
	return &Live{
		reached: []proof{{at: before, revision: first}}, writes: map[int64]*history.Op{}, reigns: map[uint64]reign{},
		last: map[*history.Watch]history.Event{}, noticed: map[*history.Watch]int64{},
	}
}

// Op takes a request that has ended.
func (l *Live) Op(op history.Op) *history.Violation {
	if op.Outcome != history.OK {
		return nil
	}
	if changes(&op) {
		if other := l.writes[op.Revision]; other != nil {
			return violation(Linearizable, []*history.Op{other, &op}, nil, "%s, and %s: a revision is the work of one request",
				answered(other), answered(&op))
		}
		l.writes[op.Revision] = &op
	}
	if linearizable(&op) {
		o := owed{op.Begin, op.Revision, &op}
		if changes(&op) {
			o.most--
		}
		if known := l.known(op.Begin); known.revision > o.most {
			return late(&op, known)
		}
		l.owe(o)
	}
	return l.reach(proof{at: op.End, revision: op.Revision, op: &op})
}

// known is the highest revision that somebody is proven to have known earlier than a moment.
func (l *Live) known(moment time.Duration) proof {
	n := sort.Search(len(l.reached), func(i int) bool { return l.reached[i].at >= moment })
	if n == 0 {
		return proof{at: before}
	}
	return l.reached[n-1]
}

func (l *Live) owe(o owed) {
	n := sort.Search(len(l.owed), func(i int) bool { return l.owed[i].begin >= o.begin })
	if n < len(l.owed) && l.owed[n].most <= o.most {
		return
	}
	from := n
	for from > 0 && l.owed[from-1].most >= o.most {
		from--
	}
	if n < len(l.owed) && l.owed[n].begin == o.begin {
		n++
	}
	l.owed = slices.Replace(l.owed, from, n, o)
}

// reach takes a proof, and holds it against the requests that began after it.
func (l *Live) reach(p proof) *history.Violation {
	n := sort.Search(len(l.owed), func(i int) bool { return l.owed[i].begin > p.at })
	if n < len(l.owed) && l.owed[n].most < p.revision {
		return late(l.owed[n].op, p)
	}
	n = sort.Search(len(l.reached), func(i int) bool { return l.reached[i].at > p.at })
	if n > 0 && l.reached[n-1].revision >= p.revision {
		return nil
	}
	to := n
	for to < len(l.reached) && l.reached[to].revision <= p.revision {
		to++
	}
	l.reached = slices.Replace(l.reached, n, to, p)
	return nil
}

// late is a request that was answered behind what was known when it began. Which change of its key a read missed is found
// out when all is known.
func late(op *history.Op, known proof) *history.Violation {
	promise := Linearizable
	if w := known.op; op.Kind == history.Get && w != nil && w.Key == op.Key && changes(w) {
		promise = NoStaleRead
	}
	return violation(promise, []*history.Op{op, known.op}, known.events(), "%s, and before it began this was known: %s",
		answered(op), known)
}

// Batch takes what a watcher was sent over a connection; those of one connection come in their order, each with the same w.
func (l *Live) Batch(w *history.Watch, b history.Batch) *history.Violation {
	if len(b.Events) == 0 {
		l.noticed[w] = max(l.noticed[w], b.Revision)
	}
	last, ok := l.last[w]
	noticed := max(w.From-1, l.noticed[w])
	for i, e := range b.Events {
		follows := e.Revision > last.Revision || i > 0 && e.Revision == last.Revision && e.Key != last.Key
		switch {
		case ok && !follows:
			return violation(Watches, nil, []history.Event{last, e}, "watcher %d was sent by %s at %s the %s behind the %s", w.Watcher,
				w.Member, seconds(b.At), change(e), change(last))
		case e.Revision <= noticed:
			return violation(Watches, nil, []history.Event{e},
				"watcher %d was sent by %s at %s the %s, and was beyond revision %d already", w.Watcher, w.Member, seconds(b.At), change(e),
				noticed)
		}
		last, ok = e, true
	}
	l.last[w] = last
	return l.reach(sent(w, &b))
}

// Close forgets a connection that has ended.
func (l *Live) Close(w *history.Watch) {
	delete(l.last, w)
	delete(l.noticed, w)
}

// Poll takes a look at a member.
func (l *Live) Poll(p history.Poll) *history.Violation {
	r, ok := polled(&p)
	if !ok {
		return nil
	}
	first, known := l.reigns[r.term]
	if known && first.leader != r.leader {
		return violation(OneLeader, nil, nil, "%s", first.against(r))
	}
	l.reigns[r.term] = r
	return nil
}
