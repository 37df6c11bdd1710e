package mvcc

import (
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// errEnough ends a scan that has found what it wants.
var errEnough = errors.New("enough")

// Events returns the changes from a revision on, in order and whole revisions only: as many as are in about atMost bytes, but
// at least one revision unless from lies in the future. next is the first revision that is not among them. The events
// are shared and must not be modified.
//
// No two revisions are ever further apart than one, so a gap in the file is noticed. Errors: ErrCompacted when from is
// below the compact revision and no longer in memory, ErrStaleView when a compaction has overtaken the view, and
// backend.ErrDamaged.
func (v *View) Events(from int64, atMost int) (events []Event, next int64, err error) {
	from = max(from, firstRevision+1)
	switch {
	case from > v.revision:
		return nil, from, nil
	case v.Recent(from):
		events = v.recentEvents(from, atMost)
	case from < v.compact:
		return nil, from, ErrCompacted
	default:
		if events, err = v.storedEvents(from, atMost); err != nil {
			return nil, from, err
		}
	}
	return events, events[len(events)-1].Rev.Main + 1, nil
}

// Recent reports whether the view has the changes from a revision on in memory.
func (v *View) Recent(from int64) bool { return from > v.base }

// recentEvents cuts a slice out of the overlay.
func (v *View) recentEvents(from int64, atMost int) []Event {
	events := v.overlay[v.overlayIndex(Revision{Main: from}):]
	for i, size := 0, 0; i < len(events); i++ {
		if size >= atMost && events[i].Rev.Sub == 0 {
			return events[:i:i]
		}
		size += events[i].rowBytes()
	}
	return events
}

// storedEvents reads from the file, no further than where the overlay begins.
func (v *View) storedEvents(from int64, atMost int) ([]Event, error) {
	var events []Event
	size, expected := 0, Revision{Main: from}
	_, err := v.scan(expected, v.base, func(rowKey, value []byte, r Revision, tombstone bool) error {
		if size >= atMost && r.Main == expected.Main+1 {
			return errEnough
		}
		if !v.follows(r, expected) {
			return fmt.Errorf("row %v where %v was expected: %w", r, expected, backend.ErrDamaged)
		}
		expected = Revision{Main: r.Main, Sub: r.Sub + 1}
		e := Event{Rev: r, KV: &mvccpb.KeyValue{}, Delete: tombstone}
		if err := decodeKeyValue(append([]byte(nil), value...), e.KV); err != nil {
			return err
		}
		e.KV.ModRevision = r.Main // not stored in a tombstone
		size += len(rowKey) + len(value)
		events = append(events, e)
		return nil
	})
	switch {
	case errors.Is(err, errEnough):
		return events, nil
	case err != nil:
		return nil, err
	case len(events) == 0 || expected.Main != v.base:
		return nil, fmt.Errorf("rows end at revision %d instead of %d: %w", expected.Main, v.base, backend.ErrDamaged)
	}
	return events, nil
}

// follows reports whether a row may come where another was expected: that one, or the first of the next revision. At the
// compact revision the rows that others of the same revision superseded are gone.
func (v *View) follows(r, expected Revision) bool {
	if r.Main == expected.Main {
		return r.Sub == expected.Sub || r.Main == v.compact
	}
	return r == Revision{Main: expected.Main + 1} && expected.Sub > 0
}

// Before returns the pair that a key had before a revision: nil when there was none, or when it is compacted and no
// longer in memory. Errors: ErrStaleView and backend.ErrDamaged.
func (v *View) Before(key []byte, rev int64) (*mvccpb.KeyValue, error) {
	if rev-1 < v.compact {
		return v.recentBefore(key, rev), nil
	}
	if rev-1 < firstRevision {
		return nil, nil
	}
	res, err := v.Range(key, nil, RangeOptions{Revision: rev - 1})
	if errors.Is(err, ErrCompacted) { // by a compaction that the view does not know
		err = ErrStaleView
	}
	if err != nil || len(res.KVs) == 0 {
		return nil, err
	}
	return res.KVs[0], nil
}

// recentBefore is Before for what the overlay may hold.
func (v *View) recentBefore(key []byte, rev int64) *mvccpb.KeyValue {
	it := v.index.get(alias(key)).it
	if it == nil {
		return nil
	}
	if w, ok := it.at(rev - 1); ok && v.Recent(w.main) {
		return v.overlay[v.overlayIndex(w.revision())].KV
	}
	return nil
}
