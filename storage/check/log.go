package check

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/quorumkv/quorumkv/storage/datadir"
	"github.com/quorumkv/quorumkv/storage/wal"
)

// log reads the log. Without the identity no checksum in it means anything.
func (c *checker) log() {
	if c.id == nil {
		return
	}
	in, err := wal.Inspect(c.fs, datadir.WAL, wal.Config{Seed: c.id.Incarnation}, c.applied.index, c.read)
	f := Finding{Part: "wal", File: datadir.WAL}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.What = "there is no log"
		c.damage(f, c.entriesDamaged())
		return
	case err != nil:
		f.What = fmt.Sprintf("it cannot be read: %v", err)
		c.damage(f, c.entriesDamaged())
		return
	}
	c.wal = &in
	if in.Base.Index == 0 {
		return // nothing can be read before the damage
	}
	last, lastTerm := end(&in)
	log := Log{
		Segments: len(in.Segments), First: in.Base.Index + 1, Last: last, LastTerm: lastTerm, Commit: in.CommitHint,
	}
	for _, s := range in.Segments {
		log.Bytes += s.Bytes
	}
	c.report.Log = &log
}

// end is index and term of the last entry of a log, or of what came before it.
func end(in *wal.Inspection) (index, term uint64) {
	if n := len(in.Entries); n > 0 {
		return in.Entries[n-1].GetIndex(), in.Entries[n-1].GetTerm()
	}
	return in.Base.Index, in.Base.Term
}

// judgeLog reports what was found in the log, once it is known what the state has.
func (c *checker) judgeLog() {
	if c.wal == nil {
		return
	}
	if bad := c.wal.Corrupt; bad != nil {
		c.damage(Finding{
			Part: "wal", File: bad.Segment, Offset: at(bad.Offset), First: bad.First, Last: bad.Last, What: bad.Error(),
		}, c.entriesDamaged())
	}
	if c.wal.Ignored != "" {
		segment, what, _ := strings.Cut(c.wal.Ignored, ": ")
		if f := (Finding{Part: "wal", File: segment, What: what}); c.wal.Rotten {
			c.damage(f, c.damageForgiven())
		} else {
			f.What += "; nothing of it is missed: a seal that is lost with the power looks like that"
			c.note(f)
		}
	}
	if c.wal.Torn != "" {
		segment, what, _ := strings.Cut(c.wal.Torn, ": ")
		c.note(Finding{Part: "wal", File: segment, What: "the log ends in a write that was cut off. A crash does " +
			"that, and then it was never acknowledged; without a crash the disk has lost the log's end: " + what})
	}
	for _, name := range c.wal.Litter {
		c.note(Finding{Part: "wal", File: name, What: "the file is of no use any more; the next start removes it"})
	}
}
