package wal

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

func newHardState(t *testing.T, f *memfs.FS, hs HardState) *HardStateFile {
	t.Helper()
	h, err := CreateHardState(f, hs)
	must(t, err)
	return h
}

func wantHardState(t *testing.T, f *memfs.FS, want ...HardState) *HardStateFile {
	t.Helper()
	h, got, err := OpenHardState(f)
	must(t, err)
	if !slices.Contains(want, got) {
		t.Fatalf("hard state %+v, want one of %+v", got, want)
	}
	return h
}

func TestHardStateSurvives(t *testing.T) {
	f := memfs.New(1, "")
	if _, _, err := OpenHardState(f); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("no file: %v", err)
	}
	h := newHardState(t, f, HardState{Term: 1})
	for i := range uint64(10) {
		must(t, h.Save(HardState{Term: 2 + i, Vote: 3, BootEpoch: i}))
	}
	must(t, h.Close())
	must(t, h.Close())
	want := HardState{Term: 11, Vote: 3, BootEpoch: 9}
	h = wantHardState(t, f, want)
	for _, back := range []HardState{
		{Term: 10, Vote: 3, BootEpoch: 9},
		{Term: 11, Vote: 4, BootEpoch: 9},
		{Term: 11, BootEpoch: 9},
		{Term: 12, BootEpoch: 8},
	} {
		if err := h.Save(back); err == nil {
			t.Errorf("%+v became %+v", want, back)
		}
	}
	must(t, h.Save(want))
	must(t, h.Save(HardState{Term: 12, BootEpoch: 9}))
	must(t, h.Save(HardState{Term: 12, Vote: 5, BootEpoch: 9}))
}

// TestHardStateDamage: any damage to one copy is repaired from the other and never brings back an older state; damage
// to both is not guessed at.
func TestHardStateDamage(t *testing.T) {
	want := HardState{Term: 5, Vote: 6, BootEpoch: 7}
	rng := newRand(1)
	ways := map[string]func(p []byte){
		"flip":  func(p []byte) { p[rng.IntN(hardUsed)] ^= 1 << rng.IntN(8) },
		"zero":  func(p []byte) { clear(p) },
		"noise": func(p []byte) { fillRandom(rng, p) },
	}
	for name, damage := range ways {
		for range 50 {
			f := memfs.New(1, "")
			h := newHardState(t, f, HardState{Term: 4, Vote: 1})
			must(t, h.Save(want))
			for i := range int64(4) { // each copy twice: the repair must hold too
				f.Rot(hardStateName, i%2*hardCopySize, hardCopySize, damage)
				wantHardState(t, f, want)
			}
			f.Rot(hardStateName, 0, hardCopySize, damage)
			f.Rot(hardStateName, hardCopySize, hardCopySize, damage)
			if _, _, err := OpenHardState(f); !errors.Is(err, ErrHardStateLost) {
				t.Fatalf("%s of both copies: %v", name, err)
			}
		}
	}
	f := memfs.New(1, "")
	if _, err := f.Create(hardStateName, 10); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenHardState(f); !errors.Is(err, ErrHardStateLost) {
		t.Fatalf("file of 10 bytes: %v", err)
	}
}

func fillRandom(rng *rand.Rand, p []byte) {
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
}

// TestHardStateUnreadableCopy: a sector that the disk refuses to read is damage too.
func TestHardStateUnreadableCopy(t *testing.T) {
	for i := range int64(2) {
		f := memfs.New(1, "")
		newHardState(t, f, HardState{Term: 4, Vote: 1})
		f.SetHook(func(op memfs.Op) error {
			if op.Kind == memfs.OpRead && op.Offset == i*hardCopySize {
				return errors.New("I/O error")
			}
			return nil
		})
		wantHardState(t, f, HardState{Term: 4, Vote: 1})
	}
}

// TestHardStateCrash crashes before every operation of create, save and open, and expects the state saved last or the
// one being saved. What Open has returned once must never be taken back.
func TestHardStateCrash(t *testing.T) {
	a, b, c := HardState{Term: 1}, HardState{Term: 2, Vote: 9}, HardState{Term: 3, Vote: 8, BootEpoch: 1}
	eachSeed(t, 20, func(t *testing.T, seed uint64) {
		rng := newRand(seed)
		for k := 1; ; k++ {
			f := memfs.New(seed, "")
			allowed := []HardState{}
			f.SetHook(memfs.CrashAt(k))
			crashed, err := memfs.Catch(func() error {
				h, err := CreateHardState(f, a)
				if err != nil {
					return err
				}
				for _, next := range []HardState{b, c} {
					allowed = []HardState{h.last, next}
					if err := h.Save(next); err != nil {
						return err
					}
				}
				allowed = []HardState{c}
				_, _, err = OpenHardState(f)
				return err
			})
			must(t, err)
			if !crashed {
				return
			}
			for range 5 {
				img := f.CrashClone(rng, "")
				if rng.IntN(4) == 0 {
					img = f.CrashClone(rng, "").ProcessCrash()
				}
				_, got, err := OpenHardState(img)
				if len(allowed) == 0 {
					if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && got != a {
						t.Fatalf("crash before operation %d, while creating: %+v, %v", k, got, err)
					}
					continue
				}
				must(t, err)
				if !slices.Contains(allowed, got) {
					t.Fatalf("crash before operation %d: %+v, want one of %+v", k, got, allowed)
				}
				// A second crash, with nothing written since, finds the same.
				wantHardState(t, img.CrashClone(rng, ""), got)
			}
		}
	})
}

// Whichever copy finds the disk full, a promise that was made is not forgotten, and the next one can be made once there
// is space.
func TestHardStateOnAFullDisk(t *testing.T) {
	for full := range 2 {
		f := memfs.New(1, "")
		old, next := HardState{Term: 1, Vote: 1}, HardState{Term: 2, Vote: 2}
		h := newHardState(t, f, old)
		writes := 0
		f.SetHook(func(op memfs.Op) error {
			if op.Kind == memfs.OpWrite {
				if writes++; writes == full+1 {
					return env.ErrNoSpace
				}
			}
			return nil
		})
		if err := h.Save(next); !errors.Is(err, env.ErrNoSpace) {
			t.Fatalf("copy %d on a full disk: %v", full+1, err)
		}
		if _, got, err := OpenHardState(f.CrashClone(newRand(1), "")); err != nil || got != old && got != next {
			t.Fatalf("copy %d on a full disk: %+v, %v", full+1, got, err)
		}
		must(t, h.Save(next))
		wantHardState(t, f.ProcessCrash(), next)
	}
}

// TestHardStateFailedSync: what a process reads after a failed sync may be in the page cache only. Open makes it
// durable.
func TestHardStateFailedSync(t *testing.T) {
	eachSeed(t, 50, func(t *testing.T, seed uint64) {
		rng := newRand(seed)
		f := memfs.New(seed, "")
		old, next := HardState{Term: 1, Vote: 1}, HardState{Term: 2, Vote: 2}
		h := newHardState(t, f, old)
		left := 1 + rng.IntN(2)
		f.SetHook(func(op memfs.Op) error {
			if op.Kind == memfs.OpSync {
				if left--; left == 0 {
					return errors.New("I/O error")
				}
			}
			return nil
		})
		if err := h.Save(next); err == nil {
			t.Fatal("failed sync went unnoticed")
		}
		if err := h.Save(HardState{Term: 3}); !errors.Is(err, ErrFailed) {
			t.Fatalf("save after a failed sync: %v", err)
		}
		f.SetHook(nil)
		f = f.ProcessCrash()
		_, got, err := OpenHardState(f)
		must(t, err)
		if got != old && got != next {
			t.Fatalf("%+v", got)
		}
		// In both copies: damage to one must not take it back either.
		for i := range int64(2) {
			img := f.CrashClone(rng, "")
			img.Rot(hardStateName, i*hardCopySize, hardUsed, func(p []byte) { clear(p) })
			wantHardState(t, img, got)
		}
	})
}
