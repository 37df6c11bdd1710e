package wal

import (
	"errors"
	"fmt"

	"github.com/quorumkv/quorumkv/internal/env"
)

// Inspection is what Inspect found.
type Inspection struct {
	// Recovered is what Open would return. Of a corrupt log it is what came before the damage.
	Recovered
	// Corrupt is what Open would fail with, nil if it would not.
	Corrupt *CorruptError
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
	r := &replay{read: func(s *segment, bytes int64) {
		in.Segments = append(in.Segments, Segment{Name: s.name, Bytes: bytes})
		if read != nil {
			read(bytes)
		}
	}}
	err = r.segmentsOf(f, cfg, links, w)
	if err == nil {
		in.Torn, err = r.finish(applied)
	}
	if err != nil && !errors.As(err, &in.Corrupt) {
		return Inspection{}, err
	}
	in.Base, in.Entries, in.CommitHint, in.Ignored, in.Rotten = r.base, r.entries, r.commit(), r.ignored, r.rotten
	if c := in.Corrupt; c != nil {
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
