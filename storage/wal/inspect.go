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
	r := newReplay()
	r.scanned = read
	if err = r.segmentsOf(f, cfg, links, w); err == nil {
		in.Torn, err = r.finish(applied)
	}
	switch {
	case errors.As(err, &in.Corrupt):
		return in, in.salvage(f, dir, cfg, applied)
	case err != nil:
		return Inspection{}, err
	}
	in.Base, in.Entries, in.CommitHint, in.Ignored, in.Rotten = r.base, r.entries, r.commit(), r.ignored, r.rotten
	return in, nil
}

// salvage takes what can be had of a corrupt log.
func (in *Inspection) salvage(f env.FS, dir string, cfg Config, applied uint64) error {
	left, err := Salvage(f, dir, cfg, applied)
	if err != nil {
		return err
	}
	in.Base, in.Entries, in.CommitHint = left.Base, left.Entries, left.Commit
	if !left.Complete {
		return nil
	}
	behind := left.Behind
	switch at := behind.Index - left.Base.Index; {
	case behind.Index <= applied:
		in.Base, in.Entries = behind, left.Tail
	case left.Base.Index > 0 && behind.Index > left.Base.Index && at <= uint64(len(left.Entries)) &&
		left.Entries[at-1].GetTerm() == behind.Term:
		in.Entries = append(left.Entries[:at:at], left.Tail...)
	default:
		return nil
	}
	in.Whole = true
	in.CommitHint = max(in.CommitHint, in.Base.Index)
	return nil
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
