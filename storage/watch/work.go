package watch

import (
	"errors"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// NoWatcher is the id in replies and notices that are about no watcher in particular.
const NoWatcher = -1

// Reply answers a request of the client's.
type Reply struct {
	ID                int64
	Created, Canceled bool
	Err               error // why a watcher was refused
	Revision          int64 // of the store at that time
}

// Work is what a stream is to do next: send Replies, then the events that Collect finds for those who are Due, then
// progress. Whoever it was given to owns it until Stream.Done.
type Work struct {
	// View is what Collect reads, and lets go of: a client that does not read what was collected must not hold on to a
	// state of the store.
	View    *mvcc.View
	Replies []Reply
	Due     []Due
	// Notices are the ids of watchers to be told that they have been given everything up to the view's revision.
	Notices []int64
	// Progress asks for the same, once, for the whole stream.
	Progress bool

	revision int64
	advances uint64 // the hub's, when the work was given
	watchers int    // of the stream, then
	complete bool   // all who are due have been given everything, and somebody is left
	stale    bool   // the view cannot be read any more
}

// NeedsFile reports whether Collect will read from the file to find the events: not all are in memory.
func (w *Work) NeedsFile() bool {
	for i := range w.Due {
		if !w.View.Recent(w.Due[i].Next) {
			return true
		}
	}
	return false
}

// Due is a watcher for which there may be events.
type Due struct {
	ID   int64
	Spec Spec
	// Next is the first revision it was not given yet. Collect moves it.
	Next int64
	// Compacted is set, at last by Collect, when the watcher's next revision is out of reach: that ends it. One that was
	// created in time may get compacted revisions as long as they are in memory.
	Compacted int64
	spoke     bool
}

// Event is a change, with what the key had before if the watcher wants to know.
type Event struct {
	mvcc.Event
	Prev *mvccpb.KeyValue
}

// Response is what goes to the client for one watcher: events of whole revisions, the end of the watcher (Compacted is
// set), or a notice, which has neither.
type Response struct {
	ID        int64
	Fragment  bool // allowed
	Events    []Event
	Compacted int64
	// Revision is the store's, the same in all that one Collect returns; in a notice everything up to it has been given.
	Revision int64
}

// Collect reads the history for a work, about a slice of so many bytes, or two: one of the newest, in memory, and one of
// older history from the file. It changes only the work, so any goroutine may call it, once. An error means damage.
func Collect(w *Work, slice int) ([]Response, error) {
	c := collection{work: w, view: w.View}
	w.View = nil
	c.endCompacted()
	if err := c.advance(slice, true); err != nil {
		return nil, err
	}
	if err := c.advance(slice, false); err != nil {
		return nil, err
	}
	w.complete = !w.stale && c.ended < w.watchers // progress of nobody is none
	for i := range w.Due {
		if d := &w.Due[i]; d.Compacted == 0 && d.Next <= w.revision {
			w.complete = false
		}
	}
	for _, id := range w.Notices {
		// These had nothing due when the work was made.
		c.responses = append(c.responses, Response{ID: id, Revision: w.revision})
	}
	if w.Progress && w.complete {
		c.responses = append(c.responses, Response{ID: NoWatcher, Revision: w.revision})
	}
	return c.responses, nil
}

// enoughEvents bounds what one Collect finds, counted for each watcher that wants an event: a stream may have very many
// watchers on the same keys.
const enoughEvents = 16 << 10

// collection is a Collect under way.
type collection struct {
	view      *mvcc.View
	work      *Work
	responses []Response
	events    int
	ended     int // watchers, by compaction
}

// endCompacted ends the watchers that have fallen behind the compact revision.
func (c *collection) endCompacted() {
	v := c.view
	for i := range c.work.Due {
		d := &c.work.Due[i]
		if d.Next < v.CompactRevision() && !v.Recent(d.Next) {
			d.Compacted = v.CompactRevision()
		}
		if d.Compacted > 0 {
			c.ended++
			c.responses = append(c.responses, Response{
				ID: d.ID, Compacted: d.Compacted, Revision: v.Revision(),
			})
		}
	}
}

// advance takes the watchers whose next revision is in memory, or those whose is not, one slice further: the slice
// begins with the one that is furthest behind.
func (c *collection) advance(slice int, recent bool) error {
	v := c.view
	concerned := func(d *Due) bool {
		return d.Compacted == 0 && d.Next <= v.Revision() && v.Recent(d.Next) == recent
	}
	from := v.Revision() + 1
	for i := range c.work.Due {
		if d := &c.work.Due[i]; concerned(d) {
			from = min(from, d.Next)
		}
	}
	if from > v.Revision() {
		return nil
	}
	events, next, err := v.Events(from, slice)
	if errors.Is(err, mvcc.ErrStaleView) {
		c.work.stale = true
		return nil
	}
	if err != nil {
		return err
	}
	found := Response{Revision: v.Revision()}
	prev := previous{view: v}
	for i := range c.work.Due {
		d := &c.work.Due[i]
		if !concerned(d) || d.Next >= next || c.events >= enoughEvents {
			continue
		}
		found.ID, found.Fragment, found.Events = d.ID, d.Spec.Has(Fragment), nil
		for j := range events {
			if e := &events[j]; e.Rev.Main >= d.Next && d.Spec.wants(e) {
				found.Events = append(found.Events, Event{Event: *e}) // a copy: it must not hold the overlay
			}
		}
		if d.Spec.Has(PrevKV) {
			if err := prev.fill(found.Events); errors.Is(err, mvcc.ErrStaleView) {
				c.work.stale = true
				return nil
			} else if err != nil {
				return err
			}
		}
		if len(found.Events) > 0 {
			c.responses = append(c.responses, found)
			c.events += len(found.Events)
			d.spoke = true
		}
		d.Next = next
	}
	return nil
}

func (s *Spec) wants(e *mvcc.Event) bool {
	if e.Delete && s.Has(NoDelete) || !e.Delete && s.Has(NoPut) {
		return false
	}
	return contains(s.Key, s.End, e.KV.Key)
}

// previous finds what keys had before events; watchers of the same key share what was found.
type previous struct {
	view *mvcc.View
	last mvcc.Revision
	kv   *mvccpb.KeyValue
}

func (p *previous) fill(events []Event) error {
	for i := range events {
		e := &events[i]
		if !e.Delete && e.KV.Version == 1 {
			continue // created: nothing was there
		}
		if e.Rev != p.last {
			kv, err := p.view.Before(e.KV.Key, e.Rev.Main)
			if err != nil {
				return err
			}
			p.last, p.kv = e.Rev, kv
		}
		events[i].Prev = p.kv
	}
	return nil
}
