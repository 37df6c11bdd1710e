package check

import (
	"slices"
	"sort"
	"strings"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// store is the model: what was below the drill's prefix at each revision, by the history that the store told of itself.
type store struct {
	known bool // there is such a history
	// What there was at base is unknown if it is a compaction, and nothing if not.
	base      int64
	compacted bool
	last      int64
	changes   []history.Event    // by revision; within one as they were told
	keys      map[string][]int32 // places in changes, per key
}

// newStore replays the truth, and complains of what no store can do.
func newStore(c *checker) *store {
	h := c.h
	s := &store{known: h.Last > 0, base: h.First, last: h.Last, keys: map[string][]int32{}}
	if h.Compacted > h.First {
		s.base, s.compacted = h.Compacted, true
	}
	if !s.known {
		return s
	}
	var told int64
	for i := range h.Truth {
		e := h.Truth[i]
		if e.Revision < told {
			c.broken(Watches, nil, []history.Event{h.Truth[i-1], e},
				"the watch of the whole history told %s behind revision %d", change(e), told)
		}
		told = max(told, e.Revision)
		if e.Revision > s.base && e.Revision <= s.last && strings.HasPrefix(e.Key, h.Prefix) {
			s.changes = append(s.changes, e)
		}
	}
	slices.SortStableFunc(s.changes, func(a, b history.Event) int { return compare(a.Revision, b.Revision) })
	s.changes = s.once(c, s.changes)
	for i := range s.changes {
		s.replay(c, int32(i))
	}
	return s
}

// once drops what was told twice.
func (s *store) once(c *checker, all []history.Event) []history.Event {
	kept := all[:0]
	for _, e := range all {
		twice := false
		for i := len(kept) - 1; i >= 0 && kept[i].Revision == e.Revision && !twice; i-- {
			twice = kept[i].Key == e.Key
		}
		if twice {
			c.broken(Watches, nil, []history.Event{e}, "the watch of the whole history told two changes of %s at revision %d",
				e.Key, e.Revision)
			continue
		}
		kept = append(kept, e)
	}
	return kept
}

func (s *store) replay(c *checker, i int32) {
	e := s.changes[i]
	before, found, known := s.at(e.Key, e.Revision)
	s.keys[e.Key] = append(s.keys[e.Key], i)
	if !known {
		return
	}
	if e.Deleted {
		if !found {
			c.broken(NoInventedWrite, nil, []history.Event{e}, "the store's history has a %s, and the key was not there", change(e))
		}
		return
	}
	created, version := e.Revision, int64(1)
	if found {
		created, version = before.Created, before.Version+1
	}
	if e.Created != created || e.Version != version {
		c.broken(Linearizable, nil, []history.Event{before, e},
			"the store's history has the %s with create revision %d and version %d; by what it has before, they are %d and %d",
			change(e), e.Created, e.Version, created, version)
	}
}

// at returns the newest change of a key that is not newer than a revision, whether the key is there then, and whether the
// model knows.
func (s *store) at(key string, revision int64) (e history.Event, found, known bool) {
	places := s.keys[key]
	n := sort.Search(len(places), func(i int) bool { return s.changes[places[i]].Revision > revision })
	if n == 0 {
		return history.Event{}, false, s.known && revision >= s.base && !s.compacted
	}
	e = s.changes[places[n-1]]
	return e, !e.Deleted, true
}

// from is the place of the first change at a revision or behind it.
func (s *store) from(revision int64) int {
	return sort.Search(len(s.changes), func(i int) bool { return s.changes[i].Revision >= revision })
}

// place finds the change of a key at a revision, -1 if there is none.
func (s *store) place(key string, revision int64) int {
	for i := s.from(revision); i < len(s.changes) && s.changes[i].Revision == revision; i++ {
		if s.changes[i].Key == key {
			return i
		}
	}
	return -1
}

func compare[T ~int | ~int64 | ~string](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
