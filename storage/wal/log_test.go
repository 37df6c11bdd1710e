package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

func (s *scripted) files() []string {
	s.t.Helper()
	names, err := s.fs.List(testDir)
	must(s.t, err)
	return names
}

// TestIdleRestartsCostNothing: a node in a crash loop must not fill its disk.
func TestIdleRestartsCostNothing(t *testing.T) {
	s := newScripted(t)
	s.put("a", 2, 3, 1)
	for i := range 20 {
		got := s.reopen(0)
		if d := describe(got); d != "base 1/1: 2/1 3/1" {
			t.Fatalf("start %d: %s", i, d)
		}
		must(t, s.log.Seal(2))
	}
	if n := s.files(); len(n) != 2 {
		t.Fatalf("files after 20 idle restarts: %v", n)
	}
	s.put("b", 4, 4, 1)
	if d := describe(s.reopen(3)); d != "base 1/1: 2/1 3/1 4/1" {
		t.Fatal(d)
	}
	if got := s.reopen(3); got.CommitHint != 2 {
		t.Fatalf("commit hint %d did not survive the restarts", got.CommitHint)
	}
}

func TestRollAndCompact(t *testing.T) {
	s := newScripted(t)
	last := uint64(1)
	for i := range 30 {
		s.put(fmt.Sprint(i), last+1, last+20, 1)
		last += 20
	}
	before := s.files()
	if len(before) < 5 {
		t.Fatalf("600 entries fit in %v", before)
	}
	must(t, s.log.Compact(300))
	mid := s.files()
	if len(mid) >= len(before) {
		t.Fatal("nothing was removed")
	}
	if _, ok := s.log.terms.at(299); ok {
		t.Fatal("terms of compacted entries are kept")
	}
	got := s.reopen(last)
	if got.Base.Index > 300 || got.Base.Index < 200 || got.Base.Term != 1 || got.Base.ConfState != nil {
		t.Fatalf("base %v", got.Base)
	}
	if n := got.Base.Index + uint64(len(got.Entries)); n != last {
		t.Fatalf("ends at %d, not %d", n, last)
	}
	must(t, s.log.Compact(last))
	if n := s.files(); len(n) != 1 {
		t.Fatalf("the current segment should be alone: %v", n)
	}
	got = s.reopen(last)
	if n := got.Base.Index + uint64(len(got.Entries)); n != last {
		t.Fatalf("ends at %d, not %d", n, last)
	}
	if err := s.log.Compact(last + 1); err == nil {
		t.Fatal("compacted beyond the end")
	}
}

// TestOldestSegmentOverwrites: after compaction the log may start with a frame that overwrote the end of a removed
// segment.
func TestOldestSegmentOverwrites(t *testing.T) {
	s := newScripted(t)
	s.put("a", 2, 60, 1)
	s.put("b", 61, 120, 1)
	s.put("c", 110, 170, 2)
	if s.at["b"].segment == s.at["c"].segment || s.at["a"].segment == s.at["b"].segment {
		t.Fatal("the script expects three segments")
	}
	must(t, s.log.Compact(120))
	got := s.reopen(120)
	if got.Base.Index != 109 || got.Base.Term != 1 || len(got.Entries) != 61 {
		t.Fatalf("base %v, %d entries", got.Base, len(got.Entries))
	}
}

func TestReset(t *testing.T) {
	s := newScripted(t)
	s.put("a", 2, 40, 1)
	s.put("b", 41, 80, 1)
	conf := &raftpb.ConfState{Voters: []uint64{4, 5}, AutoLeave: new(true)}
	reset := Snapshot{Index: 60, Term: 3, ConfState: conf}
	must(t, s.log.Append(Record{Reset: &reset, Entries: run(61, 62, 4), Commit: 60}, true))
	s.put("c", 63, 63, 4)
	if err := s.log.Append(Record{Entries: run(60, 60, 5)}, true); err == nil {
		t.Fatal("overwrote the snapshot")
	}
	for range 3 {
		got := s.reopen(62)
		if d := describe(got); d != "base 60/3: 61/4 62/4 63/4" || got.CommitHint != 60 {
			t.Fatalf("%s, commit %d", d, got.CommitHint)
		}
		if got.Base.ConfState.String() != conf.String() {
			t.Fatalf("ConfState %v", got.Base.ConfState)
		}
	}
	// What the reset discarded is of no use, although its indexes are higher.
	must(t, s.log.Compact(60))
	if n := s.files(); len(n) > 2 {
		t.Fatalf("files %v", n)
	}
	// The same without a restart in between.
	s = newScripted(t)
	s.put("a", 2, 60, 1)
	s.put("b", 61, 120, 1)
	must(t, s.log.Append(Record{Reset: &reset}, true))
	s.put("c", 61, 140, 4)
	must(t, s.log.Compact(60))
	if n := s.files(); len(n) > 1 {
		t.Fatalf("files %v", n)
	}
	if got := s.reopen(60); got.Base.Index != 60 || got.Base.ConfState == nil || len(got.Entries) != 80 {
		t.Fatal(describe(got))
	}
	// A reset is a log's last word too: it must be rewritten by the next boot.
	s = newScripted(t)
	must(t, s.log.Append(Record{Reset: &reset}, true))
	for range 3 {
		if d := describe(s.reopen(60)); d != "base 60/3:" {
			t.Fatal(d)
		}
	}
}

func TestRecordLargerThanSegment(t *testing.T) {
	s := newScripted(t)
	big := strings.Repeat("x", 50_000)
	must(t, s.log.Append(Record{Entries: []*raftpb.Entry{entry(2, 1, big)}}, true))
	s.put("b", 3, 3, 1)
	got := s.reopen(3)
	if len(got.Entries) != 2 || string(got.Entries[0].Data) != big {
		t.Fatal(describe(got))
	}
}

// A start without a prepared file does not wait for a whole one, and asks for the next at once.
func TestBootSegmentIsShort(t *testing.T) {
	s := newScripted(t)
	s.cfg.SegmentBytes = 2 * bootSegmentBytes
	s.reopen(1)
	if s.log.size != bootSegmentBytes || !s.log.WantsNext() {
		t.Fatalf("a boot's segment of %d bytes, and another is not wanted", s.log.size)
	}
	must(t, PrepareSegment(s.fs, testDir, s.cfg.SegmentBytes))
	s.reopen(1)
	if s.log.size != s.cfg.SegmentBytes || s.log.WantsNext() {
		t.Fatalf("a boot's segment of %d bytes although a whole one was prepared, or another is wanted", s.log.size)
	}
}

func TestPreparedSegmentIsUsed(t *testing.T) {
	s := newScripted(t)
	if s.log.WantsNext() {
		t.Fatal("an empty segment wants a next one")
	}
	last := uint64(1)
	wanted := 0
	for range 30 {
		s.fs.SetHook(func(op memfs.Op) error {
			if op.Kind == memfs.OpCreate {
				t.Errorf("%s although a segment is prepared", op)
			}
			return nil
		})
		s.put("x", last+1, last+10, 1)
		s.fs.SetHook(nil)
		last += 10
		if s.log.WantsNext() {
			wanted++
			must(t, PrepareSegment(s.fs, testDir, s.cfg.SegmentBytes))
			must(t, PrepareSegment(s.fs, testDir, s.cfg.SegmentBytes)) // again: nothing to do
		}
	}
	if wanted < 3 {
		t.Fatalf("asked for %d segments", wanted)
	}
	if d := describe(s.reopen(last)); !strings.HasSuffix(d, fmt.Sprintf(" %d/1", last)) {
		t.Fatal(d)
	}
	for _, n := range s.files() {
		if strings.HasSuffix(n, tmpSuffix) && n != nextName {
			t.Fatalf("litter: %s", n)
		}
	}
}

// TestSmallPreparedSegment: prepared under another configuration, it is not large enough.
func TestSmallPreparedSegment(t *testing.T) {
	s := newScripted(t)
	must(t, PrepareSegment(s.fs, testDir, 1024))
	s.put("a", 2, 60, 1)
	s.put("b", 61, 120, 1)
	if s.log.size < s.cfg.SegmentBytes {
		t.Fatalf("segment of %d bytes", s.log.size)
	}
	s.reopen(120)
}

func TestFullDiskLeavesLogUsable(t *testing.T) {
	s := newScripted(t)
	s.put("a", 2, 50, 1)
	used := uint64(testConfig.SegmentBytes)
	s.fs.SetCapacity(used)
	r := Record{Entries: run(51, 120, 1)}
	for range 3 {
		if err := s.log.Append(r, true); !errors.Is(err, env.ErrNoSpace) {
			t.Fatalf("append on a full disk: %v", err)
		}
	}
	must(t, s.log.Append(Record{Entries: run(51, 51, 1)}, true)) // still room in this segment
	s.fs.SetCapacity(10 * used)
	must(t, s.log.Append(Record{Entries: run(52, 120, 1)}, true))
	got := s.reopen(120)
	if len(got.Entries) != 119 {
		t.Fatal(describe(got))
	}
	s.fs.SetCapacity(1)
	if _, _, err := Open(s.fs, testDir, s.cfg, 0); !errors.Is(err, env.ErrNoSpace) {
		t.Fatalf("open on a full disk: %v", err)
	}
	s.fs.SetCapacity(10 * used)
	s.reopen(120)
}

// File systems that copy on write need space also for what was preallocated. While there is none, nothing is written and
// nothing is in doubt.
func TestFullDiskInsideSegment(t *testing.T) {
	s := newScripted(t)
	s.put("a", 2, 3, 1)
	s.fs.SetHook(func(op memfs.Op) error {
		if op.Kind == memfs.OpWrite {
			return env.ErrNoSpace
		}
		return nil
	})
	for what, err := range map[string]error{
		"append": s.log.Append(Record{Entries: run(4, 5, 1)}, true),
		"seal":   s.log.Seal(3),
	} {
		if !errors.Is(err, env.ErrNoSpace) || errors.Is(err, ErrFailed) {
			t.Errorf("%s on a full disk: %v", what, err)
		}
	}
	s.fs.SetHook(nil)
	s.put("b", 4, 6, 1)
	must(t, s.log.Seal(5))
	if got := s.reopen(6); len(got.Entries) != 5 || got.CommitHint != 5 {
		t.Fatal(describe(got))
	}
}

// A disk that has no room for a segment may have room for a short one, which is all that an election or a deletion needs.
func TestShortSegmentOnANearlyFullDisk(t *testing.T) {
	s := newScripted(t)
	first, next := s.log.number, uint64(2)
	add := func(count uint64) error {
		err := s.log.Append(Record{Entries: run(next, next+count-1, 1)}, true)
		if err == nil {
			next += count
		}
		return err
	}
	for s.log.size-s.log.off > 300 {
		must(t, add(1))
	}
	s.fs.SetCapacity(s.fs.Used() + 2*minSegmentBytes)
	must(t, add(10)) // rolls
	if s.log.number != first+1 || s.log.size > 2*minSegmentBytes {
		t.Fatalf("segment %d of %d bytes", s.log.number, s.log.size)
	}
	if err := add(60); !errors.Is(err, env.ErrNoSpace) {
		t.Fatalf("append on a full disk: %v", err)
	}
	s.fs.SetCapacity(memfs.Unlimited)
	must(t, add(60))
	if s.log.number != first+2 || s.log.size != s.cfg.SegmentBytes {
		t.Fatalf("segment %d of %d bytes, with space", s.log.number, s.log.size)
	}
	if got := s.reopen(next - 1); uint64(len(got.Entries)) != next-2 {
		t.Fatal(describe(got))
	}
}

func TestErrorsAreSticky(t *testing.T) {
	for _, kind := range []memfs.Kind{memfs.OpWrite, memfs.OpSync, memfs.OpRename, memfs.OpSyncDir} {
		s := newScripted(t)
		s.put("a", 2, 40, 1)
		broken := errors.New("broken")
		s.fs.SetHook(func(op memfs.Op) error {
			if op.Kind == kind && !strings.Contains(op.Name, nextName) {
				return broken
			}
			return nil
		})
		if err := s.log.Append(Record{Entries: run(41, 100, 1)}, true); !errors.Is(err, broken) { // rolls
			t.Fatalf("%s: %v", kind, err)
		}
		s.fs.SetHook(nil)
		for what, err := range map[string]error{
			"append":  s.log.Append(Record{Entries: run(41, 41, 1)}, true),
			"seal":    s.log.Seal(5),
			"compact": s.log.Compact(3),
		} {
			if !errors.Is(err, ErrFailed) || !errors.Is(err, broken) {
				t.Errorf("%s fails, then %s: %v", kind, what, err)
			}
		}
		must(t, s.log.Close())
		must(t, s.log.Close())
	}
}

func TestAppendRefusesWhatDoesNotFit(t *testing.T) {
	gap := run(41, 44, 1)
	for name, r := range map[string]Record{
		"a gap before":      {Entries: run(42, 43, 1)},
		"a gap inside":      {Entries: []*raftpb.Entry{gap[0], gap[2]}},
		"a lower term":      {Entries: run(41, 42, 0)},
		"falling terms":     {Entries: append(run(41, 41, 5), run(42, 42, 4)...)},
		"before the base":   {Entries: run(1, 41, 1)},
		"not after a reset": {Reset: &Snapshot{Index: 50, Term: 2}, Entries: run(41, 42, 3)},
	} {
		s := newScripted(t)
		s.put("a", 2, 40, 1)
		if err := s.log.Append(r, true); err == nil {
			t.Errorf("%s was accepted", name)
		}
		if d := s.reopen(0); len(d.Entries) != 39 {
			t.Errorf("%s left %s", name, describe(d))
		}
	}
}

// TestSyncs counts them: one per append with content, none for hints and seals, and one ahead of a frame that follows
// an unsynced one (W1).
func TestSyncs(t *testing.T) {
	s := newScripted(t)
	syncs := 0
	s.fs.SetHook(func(op memfs.Op) error {
		if op.Kind == memfs.OpSync {
			syncs++
		}
		return nil
	})
	for _, c := range []struct {
		what string
		do   func() error
		want int
	}{
		{"append", func() error { return s.log.Append(Record{Entries: run(2, 2, 1), Commit: 1}, true) }, 1},
		{"seal", func() error { return s.log.Seal(1) }, 0},
		{"seal again", func() error { return s.log.Seal(2) }, 0},
		{"hint, asked to sync", func() error { return s.log.Append(Record{Commit: 2}, true) }, 0},
		{"append without sync", func() error { return s.log.Append(Record{Entries: run(3, 3, 1)}, false) }, 0},
		{"seal of an unsynced frame", func() error { return s.log.Seal(2) }, 0},
		{"append after that", func() error { return s.log.Append(Record{Entries: run(4, 4, 1)}, true) }, 2},
		{"append without sync", func() error { return s.log.Append(Record{Entries: run(5, 5, 1)}, false) }, 0},
		{"empty, asked to sync", func() error { return s.log.Append(Record{}, true) }, 1},
		{"empty again", func() error { return s.log.Append(Record{}, true) }, 0},
	} {
		syncs = 0
		must(t, c.do())
		if syncs != c.want {
			t.Errorf("%s: %d syncs, want %d", c.what, syncs, c.want)
		}
	}
}

// TestSealsStopWithTheSegment: evidence is never worth a new segment.
func TestSealsStopWithTheSegment(t *testing.T) {
	s := newScripted(t)
	s.put("a", 2, 3, 1)
	for i := range uint64(200) {
		must(t, s.log.Append(Record{Commit: i}, false))
	}
	if s.log.number != 2 || s.log.off > s.log.size {
		t.Fatalf("segment %d, offset %d of %d", s.log.number, s.log.off, s.log.size)
	}
	s.put("b", 4, 4, 1)
	if d := describe(s.reopen(4)); d != "base 1/1: 2/1 3/1 4/1" {
		t.Fatal(d)
	}
}

func TestSegmentNames(t *testing.T) {
	for _, n := range []uint64{1, 0xabc, 1<<64 - 1} {
		name := strings.TrimPrefix(segmentName(testDir, n), testDir+"/")
		if got, ok := parseSegmentName(name); !ok || got != n {
			t.Errorf("%s is %d, %v", name, got, ok)
		}
	}
	for _, name := range []string{"next.tmp", "1.log", "000000000000000A.log", "0000000000000000.log", "+00000000000001.log"} {
		if n, ok := parseSegmentName(name); ok {
			t.Errorf("%s is segment %d", name, n)
		}
	}
}

func TestTerms(t *testing.T) {
	rng := newRand(1)
	x := newTerms(10, 1)
	plain := []uint64{1} // terms from base on
	base := uint64(10)
	term := uint64(1)
	for range 5000 {
		switch rng.IntN(12) {
		case 0:
			index := base + rng.Uint64N(uint64(len(plain)))
			x.compact(index)
			plain, base = plain[index-base:], index
		case 1, 2:
			term++
		}
		at := base + uint64(len(plain))
		if rng.IntN(10) == 0 && len(plain) > 1 {
			at = base + 1 + rng.Uint64N(uint64(len(plain)-1))
			term++
		}
		x.push(at, term)
		plain = append(slices.Clone(plain[:at-base]), term)
		for i, want := range plain {
			if got, ok := x.at(base + uint64(i)); !ok || got != want {
				t.Fatalf("term of %d is %d (%v), not %d", base+uint64(i), got, ok, want)
			}
		}
		if _, ok := x.at(base - 1); ok {
			t.Fatal("knows a term below its base")
		}
		if _, ok := x.at(x.last + 1); ok || x.last != at {
			t.Fatal("knows a term above its end")
		}
	}
}

func TestCreateInMissingParent(t *testing.T) {
	f := memfs.New(1, "")
	must(t, Create(f, "deep/wal", testConfig, origin))
	l, _, err := Open(f, "deep/wal", testConfig, 1)
	must(t, err)
	must(t, l.Close())
	if err := l.Append(Record{Entries: run(2, 2, 1)}, true); !errors.Is(err, ErrFailed) {
		t.Fatalf("append after close: %v", err)
	}
	if _, err := f.Open("wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}
