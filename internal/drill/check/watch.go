package check

import (
	"slices"
	"strings"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// watches follows every watcher through its connections.
func (c *checker) watches() {
	byWatcher := map[int][]*history.Watch{}
	var order []int
	for i := range c.h.Watches {
		w := &c.h.Watches[i]
		if byWatcher[w.Watcher] == nil {
			order = append(order, w.Watcher)
		}
		byWatcher[w.Watcher] = append(byWatcher[w.Watcher], w)
	}
	events, notices := 0, 0
	for _, watcher := range order {
		all := byWatcher[watcher]
		slices.SortStableFunc(all, func(a, b *history.Watch) int { return compare(a.Begin, b.Begin) })
		f := &follower{c: c}
		for _, w := range all {
			f.connect(w)
			for i := range w.Batches {
				if b := &w.Batches[i]; len(b.Events) == 0 {
					notices++
					f.progress(b)
				} else {
					events += len(b.Events)
					f.changes(b)
				}
			}
		}
	}
	c.look(Watches, "%s events and %s notices of progress, sent to %d watchers over %s connections", report.Whole(events), report.Whole(notices),
		len(order), report.Whole(len(c.h.Watches)))
}

// follower is one watcher's position.
type follower struct {
	c       *checker
	w       *history.Watch // the connection
	next    int64          // the first revision of which it has not seen all; 0 while nobody knows
	last    history.Event  // that it was sent
	noticed bool           // the position is from a notice, not from a change
}

// connect goes on with another connection. It may ask for what it has seen before, but not skip anything.
func (f *follower) connect(w *history.Watch) {
	f.w = w
	if w.From > f.next && f.next > 0 {
		f.due(w.From-1, "was resumed by %s from revision %d", w.Member, w.From)
	}
	if w.From > 0 {
		f.next, f.noticed = w.From, false
	}
	f.last = history.Event{}
}

// due finds changes up to a revision that should have come, and complains of the first.
func (f *follower) due(upTo int64, format string, args ...any) {
	if i := f.coming(f.next, upTo); f.next > 0 && f.comes(i, upTo) {
		missed := f.c.store.changes[i]
		f.broken(missed, []history.Event{missed}, format+", and had not been sent the %s", append(args, change(missed))...)
	}
}

// coming is the place of the first change that the watcher wants, from one revision to another; or one behind those.
func (f *follower) coming(from, upTo int64) int { return f.skip(f.c.store.from(from), upTo) }

func (f *follower) skip(i int, upTo int64) int {
	for f.comes(i, upTo) && !strings.HasPrefix(f.c.store.changes[i].Key, f.w.Prefix) {
		i++
	}
	return i
}

// comes tells whether there is a change at a place, and not behind a revision.
func (f *follower) comes(i int, upTo int64) bool {
	return i < len(f.c.store.changes) && f.c.store.changes[i].Revision <= upTo
}

func (f *follower) progress(b *history.Batch) {
	f.due(b.Revision, "was told by %s at %s of progress up to revision %d", f.w.Member, seconds(b.At), b.Revision)
	if b.Revision >= f.next {
		f.next, f.noticed = b.Revision+1, true
	}
}

// changes takes a batch with events.
func (f *follower) changes(b *history.Batch) {
	from, upTo := f.next, int64(0)
	if from == 0 {
		from = b.Events[0].Revision
	}
	for j := range b.Events {
		upTo = max(upTo, b.Events[j].Revision)
	}
	i := f.coming(from, upTo)
	for j := range b.Events {
		e := b.Events[j]
		if !strings.HasPrefix(e.Key, f.w.Prefix) {
			f.broken(e, []history.Event{e}, "watches %q and was sent by %s the %s", f.w.Prefix, f.w.Member, change(e))
			continue
		}
		if !f.ordered(b, e) {
			continue
		}
		f.last = e
		i = f.fits(i, upTo, e)
	}
	last := f.last.Revision
	if f.next <= last {
		f.next, f.noticed = last+1, false
		if f.comes(i, last) {
			rest := f.c.store.changes[i]
			f.broken(rest, []history.Event{f.last, rest}, "was sent by %s at %s a part of revision %d, without the %s", f.w.Member,
				seconds(b.At), last, change(rest))
		}
	}
}

// ordered tells whether an event is behind what the watcher has seen, and complains if not.
func (f *follower) ordered(b *history.Batch, e history.Event) bool {
	switch {
	case e.Revision < f.next && f.noticed:
		f.broken(e, []history.Event{e}, "was sent by %s at %s the %s, after a notice of progress up to revision %d", f.w.Member,
			seconds(b.At), change(e), f.next-1)
	case e.Revision < f.next && e.Revision == f.last.Revision && e.Key != f.last.Key:
		f.broken(e, []history.Event{f.last, e}, "was sent by %s at %s the rest of revision %d on its own: %s", f.w.Member,
			seconds(b.At), e.Revision, change(e))
	case e.Revision < f.next:
		f.broken(e, []history.Event{e}, "was sent by %s at %s the %s, and was beyond revision %d already", f.w.Member, seconds(b.At),
			change(e), f.next-1)
	case e.Revision < f.last.Revision:
		f.broken(e, []history.Event{f.last, e}, "was sent by %s at %s the %s behind the %s", f.w.Member, seconds(b.At), change(e),
			change(f.last))
	case e.Revision == f.last.Revision && e.Key == f.last.Key:
		f.broken(e, []history.Event{f.last, e}, "was sent by %s at %s the %s twice", f.w.Member, seconds(b.At), change(e))
	default:
		return true
	}
	return false
}

// fits holds an event against the changes that are due from a place on, and returns the place behind it.
func (f *follower) fits(i int, upTo int64, e history.Event) int {
	s := f.c.store
	if !s.known || e.Revision <= s.base || e.Revision > s.last || !strings.HasPrefix(e.Key, f.c.h.Prefix) {
		return i
	}
	p := s.place(e.Key, e.Revision)
	if p < 0 {
		f.broken(e, []history.Event{e}, "was sent by %s the %s, which is not in the store's history", f.w.Member, change(e))
		return i
	}
	switch {
	case p < i:
		f.broken(e, []history.Event{e}, "was sent by %s the %s twice", f.w.Member, change(e))
		return i
	case p > i:
		missed := s.changes[i]
		f.broken(missed, []history.Event{missed, e}, "was sent by %s the %s without the %s before it", f.w.Member, change(e),
			change(missed))
	}
	if want := s.changes[p]; !same(want, e) {
		f.broken(e, []history.Event{want, e}, "was sent by %s the %s; in the store's history it is the %s", f.w.Member, full(e),
			full(want))
	}
	return f.skip(p+1, upTo)
}

// same compares all but the time.
func same(a, b history.Event) bool {
	a.At, b.At = 0, 0
	return a == b
}

// broken notes what the watcher should not have seen, or should have, with the request that made the change.
func (f *follower) broken(e history.Event, events []history.Event, format string, args ...any) {
	ops := []*history.Op{f.c.maker(e)}
	if w := f.c.writers[e.Value]; w != nil && ops[0] == nil {
		ops[0] = w
	}
	f.c.broken(Watches, ops, events, "watcher %d "+format, append([]any{f.w.Watcher}, args...)...)
}
