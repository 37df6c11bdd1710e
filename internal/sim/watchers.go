package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/quorumkv/quorumkv/storage/watch"
)

// watchers are clients that follow the store, each with one watcher on one node at a time. They hop between nodes, some
// read slowly, and all resume behind what they have seen. What they see is held against the model's history: every
// change of their range once and in order, no progress ahead of it, and in the end nothing missing.
type watchers struct {
	w   *world
	rng *rand.Rand
	all []*follower
}

// follower is one client.
type follower struct {
	l      *watchers
	name   string
	spec   watch.Spec
	pace   time.Duration // mean time until it has read what it was given
	next   int64         // the first revision of which it has not seen all
	sub    int64         // and its first change that it has not seen
	fresh  bool          // it asked for what comes from now on, and has not heard yet when that is
	node   *node         // where it is connected; nil while it is not
	life   int           // of the node when it connected
	visit  int           // grows with each connection: what an earlier one left behind does nothing
	stream *watch.Stream
	// excused says that the node it reads from has diverged: values may be wrong, nothing else.
	excused bool
}

func newWatchers(w *world, rng *rand.Rand) *watchers {
	l := &watchers{w: w, rng: rng}
	for at := range w.opt.Watchers {
		f := &follower{l: l, name: fmt.Sprintf("watcher %d", at+1), next: 1}
		for i, o := range []watch.Options{watch.PrevKV, watch.Notify, watch.NoPut, watch.NoDelete} {
			if rng.IntN([]int{2, 2, 8, 8}[i]) == 0 {
				f.spec.Options |= o
			}
		}
		switch rng.IntN(4) {
		case 0:
			f.spec.Key = fmt.Sprintf("k%d", rng.IntN(w.opt.Keys))
		case 1:
			f.spec.Key, f.spec.End = "k", "l"
		default:
			f.spec.Key, f.spec.End = "\x00", "\x00"
		}
		f.pace = time.Duration(1+rng.IntN(20)) * time.Millisecond
		if rng.IntN(3) == 0 {
			f.pace = time.Duration(1+rng.IntN(3)) * time.Second
		}
		if at >= fewWatchers { // one of a crowd: ready for more while its stream still rests
			f.pace = 10 * time.Microsecond
		}
		l.all = append(l.all, f)
	}
	return l
}

func (l *watchers) start() {
	for _, f := range l.all {
		f.live()
	}
}

// live is what a client does every now and then: it connects when it is not connected, or leaves, or asks for progress. Half
// of them never ask, because the question wakes a stream that was forgotten.
func (f *follower) live() {
	l := f.l
	l.w.queue.after(exponential(l.rng, 500*time.Millisecond), func() {
		if l.w.failure != "" {
			return
		}
		if f.node != nil && f.node.life != f.life {
			f.node = nil // the connection broke with the process
		}
		switch {
		case f.node == nil:
			f.connect(l.w.nodes[l.rng.IntN(len(l.w.nodes))])
		case l.w.faulty && l.rng.IntN(8) == 0:
			f.leave()
		case l.rng.IntN(3) == 0 && !f.node.paused && f.spec.Has(watch.PrevKV):
			f.node.guard(f.stream.AskProgress)
		}
		f.live()
	})
}

func (f *follower) connect(n *node) {
	if n.raft == nil || n.paused {
		return
	}
	f.visit++
	visit := f.visit
	n.guard(func() {
		s, err := n.raft.Watch(func(w *watch.Work) { f.given(n, visit, w) })
		if err != nil {
			return // not ready yet
		}
		f.node, f.life, f.stream = n, n.life, s
		spec := f.spec
		spec.Start = f.start()
		s.Create(0, spec)
	})
}

// start is the first revision that the client asks for: mostly what it has not seen yet. Now and then it wants only what is
// still to come, either from now on or from a revision that nobody has reached.
func (f *follower) start() int64 {
	if f.l.w.faulty && !f.fresh {
		switch f.l.rng.IntN(12) {
		case 0:
			f.fresh = true
		case 1, 2:
			f.next, f.sub = max(f.next, f.l.w.check.model.revision+1)+f.l.rng.Int64N(12), 0
		}
	}
	if f.fresh {
		return 0
	}
	return f.next
}

func (f *follower) leave() {
	f.visit++
	if f.node.life == f.life && !f.node.paused {
		f.node.guard(f.stream.Close)
	}
	f.node = nil
}

// given carries work out as the server's goroutine would, some time later.
func (f *follower) given(n *node, visit int, w *watch.Work) {
	life, diverged := n.life, n.twist.index > 0
	f.l.w.queue.after(exponential(f.l.rng, f.pace), n.living(life, func() {
		if f.visit != visit {
			return
		}
		if f.fresh && len(w.Replies) > 0 {
			f.fresh, f.next, f.sub = false, w.Replies[0].Revision+1, 0
		}
		f.excused = diverged || n.twist.index > 0
		responses, err := watch.Collect(w, watchSlice)
		if n.foundDamage(err) {
			f.leave()
			return
		}
		if err != nil {
			f.l.w.violation("%s on node %d: %v", f.name, n.index+1, err)
			return
		}
		for i := range responses {
			if f.visit == visit {
				f.see(n, &responses[i])
			}
		}
		if f.visit == visit {
			f.stream.Done(w)
		}
	}))
}

// watchSlice is small, so that catching up takes many.
const watchSlice = 2 << 10

// see holds what the client is sent against the history.
func (f *follower) see(n *node, r *watch.Response) {
	c := f.l.w.check
	f.l.w.trace.event(f.l.w.queue.now, n.index+1, f.name, uint64(r.Revision), uint64(len(r.Events)), uint64(r.Compacted))
	if r.Compacted > 0 {
		if r.Compacted <= f.next {
			f.l.w.violation("%s, at revision %d, ended by node %d for a compaction at %d", f.name, f.next, n.index+1, r.Compacted)
		}
		f.next, f.sub = r.Compacted, 0
		f.leave()
		return
	}
	for i := range r.Events {
		f.event(n, &r.Events[i])
	}
	f.l.w.count.WatchEvents += len(r.Events)
	if len(r.Events) > 0 {
		f.whole(n)
		return
	}
	f.l.w.count.WatchNotices++
	if r.Revision < f.next-1 {
		f.l.w.violation("%s, at revision %d, is told by node %d of progress up to %d", f.name, f.next, n.index+1, r.Revision)
	}
	if missed, ok := c.model.firstIn(&f.spec, f.next, f.sub, r.Revision); ok {
		f.l.w.violation("%s is told by node %d of progress up to %d, and was not given the %s at %d", f.name, n.index+1,
			r.Revision, missed, missed.revision)
	}
	f.next = max(f.next, r.Revision+1)
}

func (f *follower) event(n *node, e *watch.Event) {
	m := f.l.w.check.model
	want, ok := m.firstIn(&f.spec, f.next, f.sub, e.Rev.Main)
	if !ok || want.revision != e.Rev.Main || want.sub != e.Rev.Sub || want.key != string(e.KV.Key) || want.value != string(e.KV.Value) && !f.excused || want.deleted != e.Delete {
		f.l.w.violation("%s, at revision %d, is given by node %d %s=%s at %d (deletion %t), the history has %s at %d", f.name, f.next,
			n.index+1, e.KV.Key, e.KV.Value, e.Rev.Main, e.Delete, want, want.revision)
		return
	}
	if f.spec.Has(watch.PrevKV) && n.view != nil && e.Rev.Main > n.view.KV.CompactRevision() {
		prev, ok := m.at(want.key, want.revision-1)
		if ok != (e.Prev != nil) || ok && prev.value != string(e.Prev.Value) && !f.excused {
			f.l.w.violation("%s is given by node %d the %s at %d with %v before it, the history has %s", f.name, n.index+1, want,
				want.revision, e.Prev, prev)
		}
	}
	f.next, f.sub = e.Rev.Main, e.Rev.Sub+1
}

// whole ends a response: a revision comes in one, with all its changes.
func (f *follower) whole(n *node) {
	if missing, ok := f.l.w.check.model.firstIn(&f.spec, f.next, f.sub, f.next); ok {
		f.l.w.violation("%s is given by node %d a part of revision %d, without the %s", f.name, n.index+1, f.next, missing)
	}
	f.next, f.sub = f.next+1, 0
}

// caughtUp tells whether every client has seen all there is.
func (l *watchers) caughtUp() bool {
	for _, f := range l.all {
		if _, missing := l.w.check.model.firstIn(&f.spec, f.next, f.sub, l.w.check.model.revision); missing {
			return false
		}
	}
	return true
}
