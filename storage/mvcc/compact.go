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

// CompactStep removes up to max compacted rows from the index and notes them for the next Seal. It reports whether none is
// left.
func (s *Store) CompactStep(max int) (done bool) {
	invariant.Check(!s.txn, "compact step inside a write transaction")
	more := s.condemn(max)
	for _, row := range s.condemned.take(max, !more) {
		s.removeOldest(row.key)
		s.view = nil
	}
	if more || s.condemned.rows() > 0 {
		return false
	}
	s.condemned = condemned{}
	if s.finished != s.compact {
		s.finished = s.compact
		s.metaDirty = true
	}
	return true
}

// Compactable is how many rows CompactStep has left to remove.
func (s *Store) Compactable() int { return s.garbage.waitingAt(s.compact) + s.condemned.rows() }

// condemn gathers up to max compacted rows, and reports whether the queue has more.
func (s *Store) condemn(max int) (more bool) {
	for range max {
		if s.condemned.full() || !s.garbage.hasUpTo(s.compact) {
			break
		}
		g := s.garbage.pop()
		s.condemned.add(g, s.index.get(g.key).it)
	}
	return s.garbage.hasUpTo(s.compact)
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
