package mvcc

import "github.com/quorumkv/quorumkv/internal/invariant"

// Compact gives up the history below rev, at once for readers; CompactStep removes it bit by bit. What the state at rev
// needs stays, and so does a deletion at rev itself, which a watch from rev must still see.
func (s *Store) Compact(rev int64) error {
	invariant.Check(!s.txn, "compact inside a write transaction")
	switch {
	case rev <= s.compact:
		return ErrCompacted
	case rev > s.revision:
		return ErrFutureRevision
	}
	s.compact = rev
	s.garbageBytes = s.garbage.totalAt(rev)
	s.metaDirty = true
	s.view = nil
	return nil
}

// CompactStep removes up to max compacted rows from the index and notes them for the next Seal. It reports whether
// none is left.
func (s *Store) CompactStep(max int) (done bool) {
	invariant.Check(!s.txn, "compact step inside a write transaction")
	for n := 0; ; n++ {
		g := s.garbage.front()
		if g == nil || g.at > s.compact {
			break
		}
		if n >= max {
			return false
		}
		s.removeOldest(s.garbage.pop().key)
		s.view = nil
	}
	if s.finished != s.compact {
		s.finished = s.compact
		s.metaDirty = true
	}
	return true
}

// removeOldest removes the oldest row of a key.
func (s *Store) removeOldest(key string) {
	it := s.index.get(key).it
	invariant.Check(it != nil, "garbage of unknown key %q", key)
	w := it.oldest()
	s.deletes = append(s.deletes, deletedRow{rev: w.revision(), tombstone: w.tombstone()})
	s.freshDeleteBytes += revisionKeyBytes(w.tombstone())
	if it.past != nil {
		s.index.replace(key, it.behead())
		return
	}
	invariant.Check(w.tombstone(), "compaction at %d would remove the pair of key %q at %v", s.compact, key, w.revision())
	s.index.dead.remove(key)
}
