package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

// reading forbids every operation that would change something.
func reading(op memfs.Op) error {
	switch op.Kind {
	case memfs.OpOpen, memfs.OpList, memfs.OpRead, memfs.OpSize, memfs.OpClose:
		return nil
	}
	return fmt.Errorf("an inspection must not %s", op)
}

// TestInspectIsOpen inspects logs with and without damage and then opens them: both must say the same. What an inspection
// gives back of a corrupt log must be what was written: all of it if the log is whole, else a part from its start on.
func TestInspectIsOpen(t *testing.T) {
	seen := map[string]int{}
	eachSeed(t, 40, func(t *testing.T, seed uint64) {
		w, _, err := sealedLog(seed, 40)
		if err != nil {
			t.Error(err)
			return
		}
		rng := newRand(seed + 2000)
		for trial := range 25 {
			img := w.fs.CrashClone(rng, "")
			if trial > 0 {
				damageSomething(w, img, rng)
			}
			applied := uint64(0)
			if trial%2 == 1 && w.now().commit > w.now().compacted {
				applied = w.now().compacted + rng.Uint64N(w.now().commit-w.now().compacted)
			}
			outcome, err := inspectAndOpen(w, img, applied)
			if err != nil {
				t.Errorf("trial %d, applied %d: %v", trial, applied, err)
				return
			}
			seen[outcome]++
		}
	})
	t.Log(seen)
	for _, outcome := range []string{"opens", "corrupt", "corrupt and whole"} {
		if seen[outcome] == 0 && os.Getenv("QUORUMKV_SEED") == "" {
			t.Errorf("no log was ever %s", outcome)
		}
	}
}

func inspectAndOpen(w *writer, img *memfs.FS, applied uint64) (outcome string, err error) {
	img.SetHook(reading)
	in, err := Inspect(img, testDir, w.cfg, applied, nil)
	img.SetHook(nil)
	if err != nil {
		return "", err
	}
	l, rec, err := Open(img, testDir, w.cfg, applied)
	var bad *CorruptError
	switch {
	case errors.As(err, &bad):
		if in.Corrupt == nil || *in.Corrupt != *bad {
			return "", fmt.Errorf("the inspection says %v, opening says %w", in.Corrupt, bad)
		}
		if in.Whole {
			return "corrupt and whole", allBehind(w.now(), in.Recovered, applied)
		}
		return "corrupt", isStart(w.now(), in.Recovered, bad.First)
	case err != nil:
		return "", err
	case in.Corrupt != nil:
		return "", fmt.Errorf("the log opens, the inspection says %w", in.Corrupt)
	case fmt.Sprint(in.Recovered) != fmt.Sprint(rec):
		return "", fmt.Errorf("the inspection has %v, opening %v", in.Recovered, rec)
	}
	return "opens", l.Close()
}

// allBehind compares what a whole log has behind the applied index with what was in it.
func allBehind(m model, r Recovered, applied uint64) error {
	if last := r.Base.Index + uint64(len(r.Entries)); last != m.last() {
		return fmt.Errorf("it goes to index %d, not %d", last, m.last())
	}
	if r.Base.Index > max(applied, m.compacted, m.base.Index) {
		return fmt.Errorf("it begins after index %d", r.Base.Index)
	}
	for _, e := range r.Entries {
		if i := e.GetIndex(); i > max(applied, m.base.Index) && m.term(i) != e.GetTerm() {
			return fmt.Errorf("entry %d has term %d, not %d", i, e.GetTerm(), m.term(i))
		}
	}
	return nil
}

// isStart compares what is left of a corrupt log with what was in it. What was not committed may be superseded by what
// cannot be read.
func isStart(m model, r Recovered, first uint64) error {
	if last := r.Base.Index + uint64(len(r.Entries)); first > 0 && last >= max(first, r.Base.Index+1) {
		return fmt.Errorf("it goes to index %d, and the damage starts at %d", last, first)
	}
	for _, e := range r.Entries {
		if i := e.GetIndex(); i <= r.CommitHint && i > m.base.Index && i <= m.last() && m.term(i) != e.GetTerm() {
			return fmt.Errorf("entry %d has term %d, not %d", i, e.GetTerm(), m.term(i))
		}
	}
	return nil
}

func TestInspectNothing(t *testing.T) {
	f := memfs.New(1, "")
	if err := f.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(f, testDir, testConfig, 0, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without segments: %v", err)
	}
	if _, err := InspectHardState(f); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a hard state: %v", err)
	}
}

// TestInspectHardState compares the copies with what an open takes from them.
func TestInspectHardState(t *testing.T) {
	for _, c := range []struct {
		name          string
		first, second bool // damaged
		ok            bool
	}{{"whole", false, false, true}, {"first", true, false, true}, {"second", false, true, true}, {"both", true, true, false}} {
		f := memfs.New(1, "")
		h, err := CreateHardState(f, HardState{Term: 3, Vote: 4, BootEpoch: 5})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(h.Save(HardState{Term: 6, Vote: 7, BootEpoch: 8}), h.Close()); err != nil {
			t.Fatal(err)
		}
		for i, damaged := range []bool{c.first, c.second} {
			if damaged {
				f.Rot(hardStateName, int64(i)*hardCopySize+20, 1, func(p []byte) { p[0] ^= 1 })
			}
		}
		f.SetHook(reading)
		copies, err := InspectHardState(f)
		if err != nil {
			t.Fatal(err)
		}
		if (copies[0].Damage != nil) != c.first || (copies[1].Damage != nil) != c.second || copies[1].Offset != hardCopySize {
			t.Errorf("%s: %+v", c.name, copies)
		}
		hs, ok := NewestHardState(copies)
		if ok != c.ok || ok && hs != (HardState{Term: 6, Vote: 7, BootEpoch: 8}) {
			t.Errorf("%s: newest is %+v, %v", c.name, hs, ok)
		}
	}
}
