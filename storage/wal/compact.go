package wal

import "fmt"

// Compact removes the segments that hold only entries up to index, which must be durable elsewhere. It never removes
// the current segment, so some of those entries usually stay. Each removal is durable before the next (W5).
func (l *Log) Compact(index uint64) error {
	if err := l.usable(); err != nil {
		return err
	}
	if index > l.terms.last {
		return l.fail(fmt.Errorf("compact log up to index %d: it ends at %d", index, l.terms.last))
	}
	for len(l.segments) > 1 && l.segments[0].last <= index {
		name := segmentName(l.dir, l.segments[0].number)
		if err := l.fs.Remove(name); err != nil {
			return l.fail(fmt.Errorf("remove log segment: %w", err))
		}
		if err := l.fs.SyncDir(l.dir); err != nil {
			return l.fail(fmt.Errorf("sync log directory after removing %s: %w", name, err))
		}
		l.segments = l.segments[1:]
	}
	if index > l.terms.base {
		l.terms.compact(index)
	}
	return nil
}

// WantsNext says, once for each segment, that half of it is used, or that it is a short one: time for PrepareSegment.
func (l *Log) WantsNext() bool {
	if l.wanted || l.size >= l.cfg.SegmentBytes && l.off < l.size/2 {
		return false
	}
	l.wanted = true
	return true
}
