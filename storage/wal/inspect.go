package wal

import (
	"errors"
	"fmt"

	"github.com/quorumkv/quorumkv/internal/env"
)

// Inspection is what Inspect found.
type Inspection struct {
	// Recovered is what Open would return. Of a corrupt log it is what can be had of it: all of it if it is Whole, else
	// what came before the damage.
	Recovered
	// Corrupt is what Open would fail with, nil if it would not.
	Corrupt *CorruptError
	// Whole says that nothing of a corrupt log is missed: the damaged entries are in the state, or were superseded behind
	// the damage. Whoever relies on it must find the state's last entry in the log, with the same term.
	Whole bool
	// Rotten says that what was Ignored is damage to entries that were synced. Without it, a seal may just have been lost
	// with the power, since nobody syncs for seals.
	Rotten bool
	// Segments are the files that make up the log, oldest first.
	Segments []Segment
	// Litter names files that the next Open removes: segments that were replaced, and what interrupted creations left.
	Litter []string
}

// Segment is a file of the log.
type Segment struct {
	Name  string
	Bytes int64
}

// Inspect reads a log as Open does, with the same arguments, and changes nothing. Damage is no error here: the error is
// of the file system, and matches fs.ErrNotExist if there is no log. read is called with the number of bytes after each
// segment; it may be nil.
func Inspect(f env.FS, dir string, cfg Config, applied uint64, read func(bytes int64)) (Inspection, error) {
	d, err := readDirectory(f, dir)
	if err != nil {
		return Inspection{}, err
	}
	if len(d.numbers) == 0 {
		return Inspection{}, fmt.Errorf("inspect log %s: %w", dir, errNoSegments)
	}
	w := new(window)
	links, replaced, err := d.chain(f, dir, cfg, w)
	if err != nil {
		return Inspection{}, err
	}
	in := Inspection{Litter: d.litter}
	for _, n := range replaced {
		in.Litter = append(in.Litter, segmentName(dir, n))
	}
	for i := range links {
		if l := &links[i]; l.broken == "" {
			in.Segments = append(in.Segments, Segment{Name: l.name, Bytes: l.bytes})
		}
	}
	r := &replay{scanned: read, salvage: &salvage{applied: applied}}
	err = r.segmentsOf(f, cfg, links, w)
	if err == nil {
		in.Torn, err = r.finish(applied)
	}
	in.Whole = err == nil
	if err != nil {
		r.salvage.verdict(err)
	}
	if err = r.salvage.first; err != nil && !errors.As(err, &in.Corrupt) {
		return Inspection{}, err
	}
	in.Base, in.Entries, in.CommitHint, in.Ignored, in.Rotten = r.base, r.entries, r.commit(), r.ignored, r.rotten
	if in.Corrupt != nil {
		in.Ignored, in.Rotten = "", false // the verdict names it
	}
	if c := in.Corrupt; c != nil && !in.Whole {
		in.Entries = in.Entries[:r.soundBefore(c.First)]
		in.CommitHint = min(in.CommitHint, r.base.Index+uint64(len(in.Entries)))
	}
	return in, nil
}

// soundBefore is the number of entries that damage from index first on cannot have touched. An unknown start is 0.
func (r *replay) soundBefore(first uint64) uint64 {
	if first <= r.base.Index {
		return 0
	}
	return min(first-1-r.base.Index, uint64(len(r.entries)))
}

// salvage is what an inspection adds to a replay: it notes the verdict that ends an Open, and reads on. Frames that do
// not attach are passed over; one that does, further on, shows that the log goes on from there.
type salvage struct {
	applied uint64 // what the state has
	first   error  // the first verdict
}

func (v *salvage) verdict(err error) {
	if v.first == nil {
		v.first = err
	}
}

// detached judges a frame that the log lacks the predecessor of. If the state has that, the log starts anew there. Else
// what the frame overwrote is no part of the log any more.
func (v *salvage) detached(r *replay, h frameHeader, err error) {
	v.verdict(err)
	prev := h.first - 1
	switch {
	case prev > r.last() && prev <= v.applied:
		r.base, r.entries, r.tail = Snapshot{Index: prev, Term: h.prevTerm}, nil, tail{}
	case prev <= r.last() && prev > r.base.Index:
		term, _ := r.term(prev - 1)
		r.cut(prev-1, term)
	}
}

// HardStateCopy is one of the two copies, as it lies on disk.
type HardStateCopy struct {
	Offset int64
	// Sequence is that of the save which wrote it.
	Sequence uint64
	State    HardState
	// Damage says what is wrong with the copy; then the rest means nothing.
	Damage error
}

// InspectHardState reads both copies and changes nothing. The error matches fs.ErrNotExist if there is no file.
func InspectHardState(f env.FS) (copies [2]HardStateCopy, err error) {
	file, err := f.Open(hardStateName)
	if err != nil {
		return copies, fmt.Errorf("open hard state: %w", err)
	}
	for i := range copies {
		c := &copies[i]
		c.Offset = int64(i) * hardCopySize
		c.Sequence, c.State, c.Damage = readHardState(file, i)
	}
	return copies, file.Close()
}

// NewestHardState is what OpenHardState takes from the copies. ok is false if it would find the hard state lost.
func NewestHardState(copies [2]HardStateCopy) (hs HardState, ok bool) {
	var sequence uint64
	for _, c := range copies {
		if c.Damage == nil && (!ok || c.Sequence > sequence) {
			hs, sequence, ok = c.State, c.Sequence, true
		}
	}
	return hs, ok
}
