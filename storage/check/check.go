// Package check walks a data directory that no server uses and says what is wrong with it: each structure by itself, and
// then the structures against each other.
//
// It reads through the packages that own the files, with the code that a server reads them with, and changes nothing. A
// damaged structure does not hide the next: whatever can still be read is.
//
// What is proven when nothing is found: identity and hard state are whole; the log's frames have their checksums and
// form one chain; every page of the state file is in use once or free; every row, lease, member and alarm has its
// checksum; the history of every key is complete from its oldest row on; revisions grow and end at the store's; the
// applied index is in the log, with the log's term there (W2); the hard state's term is not behind the log's.
//
// What cannot be: that a log which simply ends early, in a state that has not applied what followed, was not longer
// once; and that all of it agrees with other members.
package check

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/datadir"
	"github.com/quorumkv/quorumkv/storage/wal"
)

// Options say how to check.
type Options struct {
	// Dir is what the operator calls the data directory, for the commands in findings.
	Dir string
	// Pages lets bbolt walk the pages of a file and returns what it found; see backend.CheckPages. The error says that it
	// came to no end.
	Pages func(file string) ([]string, error)
	// Total is called once with the bytes that there are to read, Read with every part of them that was. Both may be nil.
	Total func(bytes int64)
	Read  func(bytes int64)
}

// ErrNoData says that a directory holds nothing of a member.
var ErrNoData = errors.New("no member's data")

// Run checks the data directory below fsys. The error says that nothing could be checked: it matches ErrNoData, or
// fs.ErrPermission if some of it must not be read, which is no damage. Damage is in the report.
func Run(fsys env.FS, o Options) (Report, error) {
	c := &checker{fs: fsys, o: o}
	names, err := fsys.List("")
	if err != nil {
		return Report{}, fmt.Errorf("list data directory: %w", err)
	}
	has := func(name string) bool { return slices.Contains(names, name) }
	switch {
	case !slices.ContainsFunc([]string{datadir.Identity, datadir.HardState, datadir.WAL, datadir.State}, has):
		return Report{}, fmt.Errorf("%s holds %w", o.Dir, ErrNoData)
	case has(datadir.Creating) && !has(datadir.Identity):
		c.note(Finding{Part: "identity", File: datadir.Creating, What: "the first start of this member was interrupted: it " +
			"has made no promise yet, and the next start begins anew"})
		return c.report, nil
	}
	total, err := c.size("")
	if err != nil {
		return Report{}, err
	}
	if o.Total != nil {
		o.Total(total)
	}
	c.identity()
	c.hardState()
	c.state()
	c.log()
	c.judgeLog()
	c.judgeState()
	c.together()
	c.snapshots()
	if !has(datadir.Ballast) {
		c.note(Finding{Part: "ballast", File: datadir.Ballast, What: "there is none; the member makes one once it has the " +
			"space, unless it was told not to"})
	}
	return c.report, nil
}

// checker is one check under way.
type checker struct {
	fs     env.FS
	o      Options
	report Report

	// What could be read: nil, or false, where it could not.
	id       *wal.Identity
	founders []apply.Member
	hard     *wal.HardState
	wal      *wal.Inspection
	applied  applied
	stateBad *Finding // the damage to the state, judged once the log is known
}

// applied is how far the state has come.
type applied struct {
	index, term uint64
	members     []apply.Member
	ok          bool
}

func (c *checker) read(bytes int64) {
	if c.o.Read != nil {
		c.o.Read(bytes)
	}
}

func (c *checker) note(f Finding) {
	f.Start, f.Then = Note, ""
	c.report.Findings = append(c.report.Findings, f)
}

func (c *checker) damage(f Finding, v verdict) {
	f.Start, f.Then, f.Next = v.start, v.then, v.next
	c.report.Findings = append(c.report.Findings, f)
}

// size is the bytes of all files below a directory that a check reads. Its error is that of a name which this user must not
// read. Whatever else is wrong with a file the part of the check that reads it finds out.
func (c *checker) size(dir string) (total int64, err error) {
	names, err := c.fs.List(dir)
	if errors.Is(err, fs.ErrPermission) {
		return 0, fmt.Errorf("list %s: %w", dir, err)
	}
	if err != nil || len(names) == 0 {
		return c.sizeOf(dir)
	}
	for _, name := range names {
		if dir == "" && name == datadir.Ballast {
			continue
		}
		below, err := c.size(path.Join(dir, name))
		if err != nil {
			return 0, err
		}
		total += below
	}
	return total, nil
}

func (c *checker) sizeOf(name string) (int64, error) {
	f, err := c.fs.Open(name)
	if errors.Is(err, fs.ErrPermission) {
		return 0, fmt.Errorf("open %s: %w", name, err)
	}
	if err != nil {
		return 0, nil
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		return 0, nil
	}
	return n, nil
}

func (c *checker) identity() {
	id, err := wal.LoadIdentity(c.fs)
	f := Finding{Part: "identity", File: datadir.Identity}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.What = "the file is missing, and with it the key to the checksums of the log"
		c.damage(f, c.identityLost())
		return
	case err != nil:
		f.What, f.Offset = err.Error(), at(0)
		c.damage(f, c.identityLost())
		return
	}
	if c.founders, err = apply.DecodeMembers(id.Bootstrap); err != nil {
		f.What = fmt.Sprintf("the first membership in it: %v", err)
		c.damage(f, c.identityLost())
		return
	}
	c.id = &id
	c.report.Identity = &Identity{
		ClusterID: hexID(id.ClusterID), MemberID: hexID(id.MemberID), Incarnation: fmt.Sprintf("%x", id.Incarnation),
	}
}

func (c *checker) hardState() {
	copies, err := wal.InspectHardState(c.fs)
	f := Finding{Part: "hardstate", File: datadir.HardState}
	if err != nil {
		f.What = "the file is missing"
		if !errors.Is(err, fs.ErrNotExist) {
			f.What = err.Error()
		}
		c.damage(f, c.votesLost())
		return
	}
	hard, ok := wal.NewestHardState(copies)
	if !ok {
		f.What, f.Offset = fmt.Sprintf("both copies are damaged: copy 1: %v; copy 2: %v", copies[0].Damage, copies[1].Damage), at(0)
		c.damage(f, c.votesLost())
		return
	}
	c.hard = &hard
	c.report.HardState = &HardState{Term: hard.Term, Vote: hexID(hard.Vote), BootEpoch: hard.BootEpoch}
	for i, one := range copies {
		if one.Damage != nil {
			f.What, f.Offset = fmt.Sprintf("copy %d of 2 is damaged: %v", i+1, one.Damage), at(one.Offset)
			c.damage(f, c.copyDamaged())
			return
		}
	}
	if copies[0].Sequence != copies[1].Sequence {
		f.What = fmt.Sprintf("the copies are of saves %d and %d: a crash came between; the newer one counts",
			copies[0].Sequence, copies[1].Sequence)
		c.note(f)
	}
}

func hexID(id uint64) string { return fmt.Sprintf("%016x", id) }

func at(offset int64) *int64 { return &offset }
