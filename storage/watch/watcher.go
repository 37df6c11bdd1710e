package watch

// state is where a watcher is.
type state uint8

const (
	idle state = iota // in its group's list: nothing that concerns it is left
	due               // in its stream's list: there may be events from next on
	out               // in the work that its stream carries out
	gone
)

// watcher is one watch of a stream. There may be very many, so its range is its group's.
type watcher struct {
	id     int64
	stream *Stream
	group  *group
	// start is the first revision that it wants.
	start int64
	// next is the first revision that it has not been given, unless it is idle: then that is the first one to come.
	next    int64
	slot    int32 // its place in the list where it is
	options Options
	state   state
	spoke   bool // it was given events since the last round of notices
	lost    bool // its start was compacted when it was created
}

func (w *watcher) spec() Spec {
	return Spec{Key: w.group.key, End: w.group.end, Start: w.start, Options: w.options}
}

// rouse hears of an event of the group's range. For those who are idle it is the first since their position.
func (g *group) rouse(revision int64) {
	g.last = revision
	kept := g.idle[:0]
	for _, w := range g.idle {
		if w.start > revision {
			w.slot = int32(len(kept))
			kept = append(kept, w)
			continue
		}
		w.makeDue(revision)
	}
	clear(g.idle[len(kept):])
	g.idle = kept
}

// makeDue puts a watcher that is in no list into its stream's.
func (w *watcher) makeDue(next int64) {
	s := w.stream
	w.state, w.next, w.slot = due, next, int32(len(s.due))
	s.due = append(s.due, w)
	s.wake()
}

// makeIdle puts a watcher that is in no list into its group's.
func (w *watcher) makeIdle() {
	w.state, w.slot = idle, int32(len(w.group.idle))
	w.group.idle = append(w.group.idle, w)
}

// leave takes a watcher out of the list where it is, for good.
func (w *watcher) leave() {
	switch w.state {
	case idle:
		w.group.idle = without(w.group.idle, w.slot)
	case due:
		w.stream.due = without(w.stream.due, w.slot)
	}
	w.state = gone
}

// without removes one watcher from a list; the last one takes its place.
func without(list []*watcher, at int32) []*watcher {
	last := len(list) - 1
	list[at] = list[last]
	list[at].slot = at
	list[last] = nil
	return list[:last]
}
