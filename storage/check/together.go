package check

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/datadir"
	"github.com/quorumkv/quorumkv/storage/snap"
)

// together proves the structures against each other. That the log reaches the applied index (W2) the log's own reader
// has looked at.
func (c *checker) together() {
	if c.id != nil && c.applied.ok && !slices.ContainsFunc(c.applied.members, func(m apply.Member) bool {
		return m.ID == c.id.MemberID
	}) {
		c.damage(Finding{Part: "state", File: c.report.State.File, What: fmt.Sprintf("member %s, whose directory this is, is "+
			"none of the cluster's %d members", hexID(c.id.MemberID), len(c.applied.members))}, c.contradiction())
	}
	if c.wal == nil {
		return
	}
	last, lastTerm := end(c.wal)
	if c.hard != nil && c.hard.Term < lastTerm {
		c.damage(Finding{Part: "hardstate", File: datadir.HardState, What: fmt.Sprintf("it is at term %d, the log has an entry "+
			"of term %d at index %d: it is older than the log", c.hard.Term, lastTerm, last)}, c.hardStateOld())
	}
	if c.applied.ok {
		c.stateInLog()
	}
}

// stateInLog finds the entry that the state applied last.
func (c *checker) stateInLog() {
	a, base := c.applied, c.wal.Base
	f := Finding{Part: "state", File: c.report.State.File}
	switch {
	case a.index < base.Index:
		if _, err := c.snapshot(base.Index, base.Term); err == nil {
			f.What = fmt.Sprintf("it ends at index %d and the log begins after index %d: the installation of a snapshot was "+
				"interrupted; its file is here, and the next start installs it", a.index, base.Index)
			c.note(f)
			return
		}
		f.What = fmt.Sprintf("it ends at index %d, and the log begins after index %d: entries %d to %d are missing",
			a.index, base.Index, a.index+1, base.Index)
		f.First, f.Last = a.index+1, base.Index
		c.damage(f, c.stateLost())
		return
	case c.wal.Corrupt != nil:
		return // what was found there says what becomes of it
	}
	if term, ok := c.wal.Term(a.index); ok && term != a.term {
		f.What = fmt.Sprintf("it has applied index %d of term %d, the log has term %d there", a.index, a.term, term)
		f.First, f.Last = a.index, a.index
		c.damage(f, c.togetherNot("the state is not what its log leads to"))
	}
}

// snapshot opens and verifies one snapshot file.
func (c *checker) snapshot(index, term uint64) (bytes int64, err error) {
	r, err := snap.Open(c.fs, datadir.Snap, index, term)
	if err != nil {
		return 0, err
	}
	err = r.Verify()
	return r.Size(), errors.Join(err, r.Close())
}

// snapshots verifies the snapshot files, which are copies on their way to or from somebody.
func (c *checker) snapshots() {
	found, err := snap.List(c.fs, datadir.Snap)
	if err != nil {
		c.damage(Finding{Part: "snap", File: datadir.Snap, What: err.Error()}, c.snapshotDamaged())
		return
	}
	for _, m := range found {
		name := snap.FileName(datadir.Snap, m.Index, m.Term)
		bytes, err := c.snapshot(m.Index, m.Term)
		c.read(bytes)
		if err != nil {
			c.damage(Finding{Part: "snap", File: name, What: err.Error()}, c.snapshotDamaged())
			continue
		}
		c.report.Snapshots = append(c.report.Snapshots, Snapshot{Index: m.Index, Term: m.Term, Bytes: bytes})
	}
	names, err := c.fs.List(datadir.Snap)
	if err != nil {
		return // there is none
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".tmp") {
			c.note(Finding{Part: "snap", File: datadir.Snap + "/" + name, What: "an unfinished copy; the next start removes it"})
		}
	}
}
