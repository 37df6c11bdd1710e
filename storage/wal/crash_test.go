package wal

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

// checkImage opens a crash image of w's file system, without disturbing w.
func checkImage(w *writer, fs *memfs.FS) error {
	_, err := fork(w, fs)
	return err
}

// fork opens a crash image and returns a writer that goes on from it.
func fork(w *writer, fs *memfs.FS) (*writer, error) {
	c := *w
	c.fs = fs
	c.states = slices.Clone(w.states)
	return &c, c.open()
}

// TestCrashImages cuts the power at random moments of random runs, thousands of times, and each time expects everything
// whose Append(sync) had returned, and never a torn write taken for corruption. Some images are continued, so that
// crashes follow crashes.
func TestCrashImages(t *testing.T) {
	const least = 20_000
	images, torn := 0, 0
	eachSeed(t, 100, func(t *testing.T, seed uint64) {
		n, cut, err := crashRun(seed, 100)
		images, torn = images+n, torn+cut
		if err != nil {
			t.Error(err)
		}
	})
	t.Logf("%d crash images, %d with a torn tail", images, torn)
	if os.Getenv("QUORUMKV_SEED") == "" && (images < least || torn < least/20) {
		t.Errorf("only %d images (%d torn), want %d", images, torn, least)
	}
}

// imagesAt says how many images a crash before an operation is worth: most where a write waits for its sync, none where
// nothing has changed since the operation before.
func imagesAt(op memfs.Op, rng *rand.Rand) int {
	switch op.Kind {
	case memfs.OpOpen, memfs.OpRead, memfs.OpSize, memfs.OpList, memfs.OpClose:
		return 0
	case memfs.OpSync:
		return 3
	}
	return rng.IntN(3) / 2
}

// crashRun returns how many images it has opened, and how many of them ended in a torn write.
func crashRun(seed uint64, steps int) (images, torn int, err error) {
	rng := newRand(seed)
	cfg := testConfig
	cfg.SegmentBytes = []int64{1024, 4096, 20_000}[rng.IntN(3)]
	w, err := newWriter(memfs.New(seed, ""), cfg, rng)
	if err != nil {
		return 0, 0, err
	}
	for i := range steps {
		var failed error
		hook := func(op memfs.Op) error {
			for range imagesAt(op, rng) {
				images++
				found, err := fork(w, w.fs.CrashClone(rng, ""))
				if err != nil {
					failed = errors.Join(failed, fmt.Errorf("step %d, image %d, before %s: %w", i, images, op, err))
				} else if found.torn != "" {
					torn++
					failed = errors.Join(failed, leavings(found))
				}
			}
			return nil
		}
		w.fs.SetHook(hook)
		if err := w.step(); err != nil {
			return images, torn, fmt.Errorf("step %d: %w", i, err)
		}
		w.fs.SetHook(nil)
		if failed != nil {
			return images, torn, failed
		}
		switch rng.IntN(12) {
		case 0: // power cut, go on from what is left
			if w, err = fork(w, w.fs.CrashClone(rng, "")); err != nil {
				return images, torn, fmt.Errorf("step %d, power cut: %w", i, err)
			}
		case 1: // kill
			if w, err = fork(w, w.fs.ProcessCrash()); err != nil {
				return images, torn, fmt.Errorf("step %d, killed: %w", i, err)
			}
		}
	}
	return images, torn, nil
}

// leavings scrubs a log that a crash has cut short. What it left is not taken for something that the disk has lost since.
func leavings(w *writer) error {
	s := NewScrub(w.fs, testDir, w.cfg, w.log.Extent())
	if _, done, err := s.Next(math.MaxInt64); err != nil || !done {
		return fmt.Errorf("scrub after a torn write (done: %t): %w", done, err)
	}
	if what, rotten := s.Leftovers(); rotten {
		return fmt.Errorf("scrub after a torn write: taken for rot: %s", what)
	}
	return nil
}

// TestCrashAtEveryOperation runs one script again and again, each time ending before its k-th file operation, and opens
// what a power cut or a kill leaves there. Opening is cut short in the same way.
func TestCrashAtEveryOperation(t *testing.T) {
	eachSeed(t, 4, func(t *testing.T, seed uint64) {
		for k := 1; ; k++ {
			rng := newRand(seed)
			fs := memfs.New(seed, "")
			cfg := testConfig
			cfg.SegmentBytes = 2048
			w, err := newWriter(fs, cfg, rng)
			if err != nil {
				t.Error(err)
				return
			}
			fs.SetHook(memfs.CrashAt(k))
			crashed, err := memfs.Catch(func() error { return script(w) })
			if err != nil {
				t.Errorf("operation %d: %v", k, err)
				return
			}
			if !crashed {
				t.Logf("%d operations", k-1)
				return
			}
			for i := range 4 {
				if err := checkImage(w, fs.CrashClone(newRand(uint64(k*10+i)), "")); err != nil {
					t.Errorf("power cut before operation %d, image %d: %v", k, i, err)
					return
				}
			}
			if err := crashDuringOpen(w, fs, uint64(k)); err != nil {
				t.Errorf("crash before operation %d, then while opening: %v", k, err)
				return
			}
			if err := checkImage(w, fs.ProcessCrash()); err != nil {
				t.Errorf("killed before operation %d: %v", k, err)
				return
			}
		}
	})
}

// script is a fixed sequence that meets every kind of record, rolls, compacts, prepares and reopens.
func script(w *writer) error {
	for range 25 {
		if err := w.step(); err != nil {
			return err
		}
	}
	if err := w.log.Close(); err != nil {
		return err
	}
	if err := w.open(); err != nil {
		return err
	}
	if err := w.reset(); err != nil {
		return err
	}
	for range 10 {
		if err := w.step(); err != nil {
			return err
		}
	}
	return nil
}

// crashDuringOpen opens an image, crashes at some operation of that, and opens what is left.
func crashDuringOpen(w *writer, fs *memfs.FS, seed uint64) error {
	rng := newRand(seed)
	image := fs.CrashClone(rng, "")
	image.SetHook(memfs.CrashAt(1 + rng.IntN(25)))
	crashed, err := memfs.Catch(func() error { return checkImage(w, image) })
	if err != nil || !crashed {
		return err
	}
	if err := checkImage(w, image.CrashClone(rng, "")); err != nil {
		return err
	}
	return checkImage(w, image.ProcessCrash())
}

// TestFailingDisk lets writes, syncs and names fail. After an error the log must refuse everything; a new process, or
// one after a power cut, must find all that was acknowledged.
func TestFailingDisk(t *testing.T) {
	failures, full := 0, 0
	eachSeed(t, 60, func(t *testing.T, seed uint64) {
		rng := newRand(seed)
		cfg := testConfig
		cfg.SegmentBytes = 2048
		w, err := newWriter(memfs.New(seed, ""), cfg, rng)
		if err != nil {
			t.Error(err)
			return
		}
		for i := range 80 {
			w.fs.SetHook(faulty(rng))
			err := w.step()
			w.fs.SetHook(nil)
			if err == nil {
				continue
			}
			if w.log.usable() == nil {
				full++
				if !errors.Is(err, env.ErrNoSpace) {
					t.Errorf("step %d: the log goes on after %v", i, err)
					return
				}
				continue
			}
			failures++
			if err := w.log.Append(Record{Commit: 1 << 40}, true); !errors.Is(err, ErrFailed) {
				t.Errorf("step %d: append after a failure: %v", i, err)
				return
			}
			next := w.fs.ProcessCrash()
			if rng.IntN(3) == 0 {
				next = next.CrashClone(rng, "")
			}
			if w, err = fork(w, next); err != nil {
				t.Errorf("step %d: %v", i, err)
				return
			}
			// What was read may have been in the page cache only. Open has made it durable all the same.
			if err := checkImage(w, w.fs.CrashClone(rng, "")); err != nil {
				t.Errorf("step %d, power cut after reopening: %v", i, err)
				return
			}
		}
	})
	t.Logf("%d failures, %d full disks", failures, full)
}

// faulty makes one operation in twenty fail.
func faulty(rng *rand.Rand) func(memfs.Op) error {
	return func(op memfs.Op) error {
		if rng.IntN(20) > 0 {
			return nil
		}
		switch op.Kind {
		case memfs.OpWrite:
			if rng.IntN(4) == 0 {
				return env.ErrNoSpace
			}
			return &memfs.Short{N: rng.IntN(op.Len + 1), Err: errors.New("injected write error")}
		case memfs.OpCreate:
			return env.ErrNoSpace
		case memfs.OpSync, memfs.OpSyncDir, memfs.OpRename, memfs.OpRemove:
			return errors.New("injected error")
		}
		return nil
	}
}
