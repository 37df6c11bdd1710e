package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
)

// Remains is what can still be said of a log that is damaged where it was synced.
//
// In the order of indexes it is a prefix, the first gap, and what lies behind the last gap. By raft's Log Matching
// property any log that has the entry Behind is the same as this one was up to that entry, so whoever has it can fill
// everything before it.
type Remains struct {
	// Damage is the first damage found.
	Damage *CorruptError
	// Base and Entries are the log before the first gap, as far as it is sure that nothing in the gap replaced any of it.
	// Base.Index is 0 if there is nothing before the gap.
	Base    Snapshot
	Entries []*raftpb.Entry
	// Commit is the highest index known to be committed, within Entries or Base.
	Commit uint64
	// Behind is the entry that the last gap ends with, known only by index and term, and Tail the entries after it.
	Behind Snapshot
	Tail   []*raftpb.Entry
	// Lost are damaged frames with entries up to Behind, of which the headers are intact.
	Lost []LostFrame
	// Complete says that the log ended with Tail, or with Behind if there is none. Otherwise Behind, Tail and Lost are of no
	// use: the log went on, and nobody knows with what.
	Complete bool
}

// gaps makes a replay go on behind damage, and remembers what it came across. nil in a replay that must not.
type gaps struct {
	first   *CorruptError
	prefix  *Remains // what was there before the first gap; nil while there was none
	stated  Snapshot // where the log ended according to the last segment header that did not fit
	ends    bool     // nothing but a copy of what the log had before can be in that segment's first bytes
	unknown bool     // the log went on behind what can be read
	lost    lostFrames
}

// Salvage reads what is left of a log that Open refuses, and changes nothing. applied is as for Open.
func Salvage(f env.FS, dir string, cfg Config, applied uint64) (Remains, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return Remains{}, fmt.Errorf("salvage log: %w", err)
	}
	d, err := readDirectory(f, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Remains{}, err
	}
	if len(d.numbers) == 0 {
		return Remains{Damage: &CorruptError{Segment: dir, Reason: "no file is left of the log"}}, nil
	}
	w := new(window)
	links, _, err := d.chain(f, dir, cfg, w)
	if err != nil {
		return Remains{}, err
	}
	r := newReplay()
	r.gaps = new(gaps)
	if err := r.segmentsOf(f, cfg, links, w); err != nil {
		return Remains{}, err
	}
	return r.remains(applied), nil
}

// lose takes note of a gap. What was read before it is the prefix.
func (g *gaps) lose(r *replay, c *CorruptError) {
	if g.first == nil {
		g.first = c
	}
	if g.prefix != nil {
		return
	}
	p := &Remains{Base: r.base, Entries: r.entries}
	switch {
	case len(r.segments) == 0 || c.First <= r.base.Index:
		p.Base, p.Entries = Snapshot{}, nil // even the base may have been replaced
	case c.First <= r.last():
		p.Entries = r.entries[:c.First-1-r.base.Index]
	}
	if p.Base.Index > 0 {
		p.Commit = max(p.Base.Index, min(r.hint, p.Base.Index+uint64(len(p.Entries))))
	}
	g.prefix = p
}

// resume lets the replay go on behind a gap, at an entry of which only index and term are known.
func (r *replay) resume(index, term uint64) {
	base := Snapshot{Index: index, Term: term}
	if index == r.snap.Index && term == r.snap.Term {
		base = r.snap
	}
	r.begin(base)
	r.tail, r.damage = tail{}, nil
	r.gaps.unknown, r.gaps.ends = false, false
}

// gap is the end of a replay at damage that lost entries, unless it may go on at (index, term).
func (r *replay) gap(err error, index, term uint64) error {
	var c *CorruptError
	if r.gaps == nil || !errors.As(err, &c) {
		return err
	}
	r.gaps.lose(r, c)
	r.resume(index, term)
	return nil
}

// lostSegment is the same for a segment of which nothing can be read. The next one's header says where to go on.
func (r *replay) lostSegment(err error, i int) error {
	var c *CorruptError
	if r.gaps == nil || !errors.As(err, &c) {
		return err
	}
	r.gaps.lose(r, c)
	if i == 0 {
		r.damage = nil // the next segment is the first
	}
	r.gaps.unknown, r.gaps.ends = true, false
	return nil
}

// remains sums up at the end of the log.
func (r *replay) remains(applied uint64) Remains {
	g := r.gaps
	if d := r.damage; d != nil && d.proof != "" {
		_, err := r.finish(0)
		known := g.ends && !d.ragged
		_ = r.gap(err, g.stated.Index, g.stated.Term)
		g.unknown = !known
	}
	if applied > r.last() {
		_, err := r.finish(applied)
		var c *CorruptError
		if errors.As(err, &c) {
			g.lose(r, c)
		}
		g.unknown = true
	}
	out := Remains{Behind: r.base, Tail: r.entries, Lost: g.lost.known, Complete: !g.unknown && len(r.segments) > 0}
	if p := g.prefix; p != nil {
		out.Base, out.Entries, out.Commit = p.Base, p.Entries, p.Commit
	}
	out.Damage = g.first
	return out
}

// Rebuild replaces a log, durably and in one step, by one that starts after base and holds entries: of a crash on the way
// nothing is left but the old log. Open it afterwards. The error matches env.ErrNoSpace if there was no room.
func Rebuild(f env.FS, dir string, cfg Config, base Snapshot, entries []*raftpb.Entry, commit uint64) error {
	cfg, err := cfg.validate()
	if err != nil {
		return fmt.Errorf("rebuild log: %w", err)
	}
	if err := errors.Join(f.MkdirAll(dir), f.SyncDir(path.Dir(dir))); err != nil {
		return fmt.Errorf("rebuild log: %w", err)
	}
	d, err := readDirectory(f, dir)
	if err != nil {
		return err
	}
	number := uint64(1)
	if n := len(d.numbers); n > 0 {
		number = d.numbers[n-1] + 1
	}
	h, first := rebirth(number, base, entries, commit)
	born, err := makeSegment(f, dir, cfg, h, first)
	if err != nil {
		return fmt.Errorf("rebuild log: %w", err)
	}
	return born.file.Close()
}

// rebirth is what a segment begins with that takes the place of all others. It has no predecessor: whatever is older has no
// place in the chain, and goes with the next Open.
func rebirth(number uint64, base Snapshot, entries []*raftpb.Entry, commit uint64) (segmentHeader, *firstFrame) {
	h := segmentHeader{number: number, lastIndex: base.Index, lastTerm: base.Term, snap: base}
	if len(entries) == 0 {
		return h, nil
	}
	return h, &firstFrame{
		frameHeader: frameHeader{kind: kindEntries, seq: 1, first: base.Index + 1, prevTerm: base.Term, commit: commit},
		record:      Record{Entries: entries},
	}
}
