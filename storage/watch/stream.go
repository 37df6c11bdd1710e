package watch

import (
	"slices"
	"time"

	"github.com/quorumkv/quorumkv/internal/invariant"
)

// Stream is one client's connection with any number of watchers. It belongs to the loop.
type Stream struct {
	hub  *Hub
	give func(*Work)
	slot int

	watchers []*watcher // by id
	nextID   int64      // the next id that the stream picks itself
	replies  []Reply    // not given yet, oldest first
	due      []*watcher
	out      []*watcher // those in the work under way, in its order
	busy     bool       // work is under way
	woken    bool       // in the hub's list
	stale    bool       // in the hub's list
	closed   bool
	resting  int // rounds it rests from: no work that is only history

	progress  bool    // somebody asked how far the stream is
	awaited   bool    // in the hub's list: the answer has to wait for a later revision
	notices   []int64 // ids of watchers to be told
	notifying int     // watchers that want notices
	noticeAt  time.Duration
	// latest is the highest start of a watcher: no progress is told below it.
	latest int64
}

// Create adds a watcher. With id 0 the stream picks one that is not in use. The reply is part of the stream's work, also
// when the watcher is refused.
func (s *Stream) Create(id int64, spec Spec) {
	revision := s.hub.view.Revision()
	at, taken := s.find(id)
	err := spec.check()
	switch {
	case err != nil:
	case id == 0:
		for at, taken = s.find(s.nextID); taken; at, taken = s.find(s.nextID) {
			s.nextID++
		}
		id = s.nextID
		s.nextID++
	case taken:
		err = ErrDuplicateID
	}
	if err != nil {
		s.reply(Reply{ID: NoWatcher, Created: true, Canceled: true, Err: err, Revision: revision})
		return
	}
	w := &watcher{
		id: id, stream: s, group: s.hub.ranges.at(spec.Key, spec.End), start: spec.Start, options: spec.Options,
	}
	if w.start == 0 {
		w.start = revision + 1
	}
	w.group.watchers++
	s.hub.watchers++
	s.watchers = slices.Insert(s.watchers, at, w)
	s.latest = max(s.latest, w.start)
	if spec.Has(Notify) {
		s.notifying++
	}
	w.lost = w.start < s.hub.view.CompactRevision()
	if w.start <= revision {
		w.makeDue(w.start)
	} else {
		w.makeIdle()
	}
	s.reply(Reply{ID: id, Created: true, Revision: revision})
}

// Cancel ends a watcher. It reports whether there is one; only then there is a reply.
func (s *Stream) Cancel(id int64) bool {
	at, ok := s.find(id)
	if !ok {
		return false
	}
	s.remove(at)
	s.reply(Reply{ID: id, Canceled: true, Revision: s.hub.view.Revision()})
	return true
}

// Waiting is the number of replies that were not given yet.
func (s *Stream) Waiting() int { return len(s.replies) }

// AskProgress wants one notice for the whole stream, once all that is owed to its watchers has been given. Without a
// watcher there will be none, also when the last one goes before that.
func (s *Stream) AskProgress() {
	if len(s.watchers) > 0 {
		s.progress = true
		s.wake()
		s.hub.giveWoken()
	}
}

// Done takes back the work that was given last, with how far it got.
func (s *Stream) Done(w *Work) {
	if s.closed {
		return
	}
	s.busy = false
	for i, d := range w.Due {
		s.took(s.out[i], &d, w.revision)
	}
	clear(s.out)
	s.out = s.out[:0]
	s.progress = s.progress || w.Progress && !w.complete && len(s.watchers) > 0
	if w.stale && w.advances == s.hub.advances {
		s.stale = true
		s.hub.stale = append(s.hub.stale, s)
		return
	}
	s.wake()
	s.hub.giveWoken()
}

// took moves a watcher on after work on a view of some revision.
func (s *Stream) took(w *watcher, d *Due, revision int64) {
	if w.state == gone {
		return
	}
	invariant.Check(d.Next >= w.next, "watcher %d goes back from revision %d to %d", w.id, w.next, d.Next)
	w.spoke = w.spoke || d.spoke
	switch {
	case d.Compacted > 0:
		at, _ := s.find(w.id)
		s.remove(at)
	case d.Next <= revision || w.group.last >= d.Next:
		w.makeDue(d.Next)
	default:
		w.makeIdle()
	}
}

// Close ends the stream and its watchers. Work under way need not be reported any more.
func (s *Stream) Close() {
	if s.closed {
		return
	}
	s.closed = true
	for len(s.watchers) > 0 {
		s.remove(len(s.watchers) - 1)
	}
	h := s.hub
	last := len(h.streams) - 1
	h.streams[s.slot] = h.streams[last]
	h.streams[s.slot].slot = s.slot
	h.streams[last] = nil
	h.streams = h.streams[:last]
	s.replies, s.due, s.out = nil, nil, nil
}

func (s *Stream) find(id int64) (at int, ok bool) {
	return slices.BinarySearchFunc(s.watchers, id, func(w *watcher, id int64) int {
		switch {
		case w.id < id:
			return -1
		case w.id > id:
			return 1
		}
		return 0
	})
}

func (s *Stream) remove(at int) {
	w := s.watchers[at]
	w.leave()
	s.watchers = slices.Delete(s.watchers, at, at+1)
	s.hub.watchers--
	if w.group.watchers--; w.group.watchers == 0 {
		s.hub.ranges.remove(w.group)
	}
	if w.options.Has(Notify) {
		s.notifying--
	}
	if w.start == s.latest && w.start > s.hub.view.Revision() {
		s.latest = 0
		for _, o := range s.watchers {
			s.latest = max(s.latest, o.start)
		}
	}
	s.progress = s.progress && len(s.watchers) > 0
}

func (s *Stream) reply(r Reply) {
	s.replies = append(s.replies, r)
	s.wake()
	s.hub.giveWoken()
}

// wake lets the stream get work at the end of the call under way.
func (s *Stream) wake() {
	if !s.woken {
		s.woken = true
		s.hub.woken = append(s.hub.woken, s)
	}
}

// giveWork hands out everything there is for the stream, unless it is busy, or rests and nobody waits for an answer. It
// returns for how many watchers there is history in it.
func (s *Stream) giveWork() (watchers int) {
	if s.busy || s.stale || s.closed {
		return 0
	}
	s.notices = slices.DeleteFunc(s.notices, func(id int64) bool {
		at, ok := s.find(id)
		return !ok || s.watchers[at].state != idle // it has been told something since, or will be
	})
	progress := s.progress && s.hub.view.Revision()+1 >= s.latest
	if s.progress && !progress && !s.awaited {
		s.awaited = true
		s.hub.awaiting = append(s.hub.awaiting, s)
	}
	if answers := len(s.replies) > 0 || progress; !answers && (s.resting > 0 || len(s.due)+len(s.notices) == 0) {
		return 0
	}
	w := &Work{
		View: s.hub.view, Replies: s.replies, Notices: s.notices, Progress: progress,
		revision: s.hub.view.Revision(), advances: s.hub.advances, watchers: len(s.watchers),
	}
	if len(s.due) > 0 {
		w.Due = make([]Due, len(s.due))
		for i, d := range s.due {
			d.state = out
			w.Due[i] = Due{ID: d.id, Spec: d.spec(), Next: d.next}
			if d.lost {
				w.Due[i].Compacted = w.View.CompactRevision()
			}
		}
	}
	s.due, s.out = s.out, s.due
	s.replies, s.notices = nil, nil
	s.progress = s.progress && !progress
	s.busy = true
	s.give(w)
	return len(w.Due)
}

// notice collects the watchers to be told how far they are, when it is time.
func (s *Stream) notice(now time.Duration) {
	switch {
	case s.notifying == 0:
		s.noticeAt = 0
		return
	case s.noticeAt == 0:
		s.noticeAt = now + s.hub.interval()
		return
	case now < s.noticeAt:
		return
	}
	s.noticeAt = now + s.hub.interval()
	s.notices = s.notices[:0]
	for _, w := range s.watchers {
		if w.options.Has(Notify) && !w.spoke && w.state == idle && s.hub.view.Revision()+1 >= w.start {
			s.notices = append(s.notices, w.id)
		}
		w.spoke = false
	}
	if len(s.notices) > 0 {
		s.wake()
	}
}
