package wal

import "fmt"

// CorruptError says that entries which were on disk, and may have been acknowledged, can no longer be read. A node must
// not vote or acknowledge anything with such a log: fetch what is missing from its peers first. Nothing was changed on
// disk.
type CorruptError struct {
	// Segment is the file that holds the damage.
	Segment string
	// Offset is the byte of the segment where the damage begins.
	Offset int64
	// First and Last bound the indexes that are damaged. First is 0 if the start is unknown, Last is 0 if the end is.
	First, Last uint64
	// Reason says what is wrong, and what proves that it is not a torn write.
	Reason string
}

func (e *CorruptError) Error() string {
	var what string
	switch {
	case e.First == 0 && e.Last == 0:
		what = "entries of unknown indexes are damaged"
	case e.First == 0:
		what = fmt.Sprintf("entries up to index %d are damaged", e.Last)
	case e.Last == 0:
		what = fmt.Sprintf("entries from index %d on are damaged", e.First)
	case e.First == e.Last:
		what = fmt.Sprintf("the entry at index %d is damaged", e.First)
	default:
		what = fmt.Sprintf("entries %d to %d are damaged", e.First, e.Last)
	}
	return fmt.Sprintf("log segment %s is corrupt: %s: %s", e.Segment, what, e.Reason)
}

// damage is a stretch of the log that could not be read, until the frames behind it decide what it was.
type damage struct {
	segment string
	offset  int64
	what    string // what is wrong, where
	proof   string // why it was synced once; "" while that is not known
	// evident is set when it was found with a proof, and none had to come from what is behind it.
	evident bool
	// first and last bound the damaged entries as far as intact headers of damaged frames tell.
	first, last uint64
	// blind is set when a frame's header is unreadable as well, so that it may have changed any uncommitted entry.
	blind bool
	// ragged is set when more was found damaged behind the proven part, of which nothing is known.
	ragged bool
}

// merge adds damage found further on. The first place found is the one reported.
func (d *damage) merge(more damage) {
	d.ragged = d.ragged || more.ragged || more.proof == ""
	if d.proof == "" {
		d.proof = more.proof
	}
	if more.first != 0 && (d.first == 0 || more.first < d.first) {
		d.first = more.first
	}
	d.last = max(d.last, more.last)
	d.blind = d.blind || more.blind
	d.evident = d.evident || more.evident
}

func (d *damage) corrupt(first, last uint64) *CorruptError {
	return &CorruptError{
		Segment: d.segment, Offset: d.offset, First: first, Last: last,
		Reason: d.what + "; this is no torn write: " + d.proof,
	}
}
