package fault

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorumkv/quorumkv/internal/env"
)

// withDisk runs f on an operating system's Env whose disk and clock meet the rules of i.
func withDisk(t *testing.T, f func(e env.Env, i *Injector)) {
	t.Helper()
	os, err := env.NewOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan struct{})
	go func() { os.Run(); close(ran) }()
	i := NewInjector(func(Change) {})
	defer func() {
		i.Close()
		os.Stop()
		<-ran
		if err := os.Close(); err != nil {
			t.Error(err)
		}
	}()
	f(i.Env(os.Env()), i)
}

func create(t *testing.T, e env.Env, name string, size int64) env.File {
	t.Helper()
	f, err := e.FS.Create(name, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestFullDisk(t *testing.T) {
	withDisk(t, func(e env.Env, i *Injector) {
		f := create(t, e, "wal.tmp", 100)
		set(t, i, Rules{Disk: DiskFull}, time.Minute)
		isFull := func(what string, err error) {
			t.Helper()
			if !errors.Is(err, env.ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%s: %v", what, err)
			}
		}
		_, err := e.FS.Create("other", 0)
		isFull("create", err)
		isFull("reserve", e.FS.Reserve("ballast", 10))
		_, err = f.WriteAt([]byte("ab"), 99)
		isFull("a write beyond the end", err)
		if n, err := f.WriteAt([]byte("ab"), 98); n != 2 || err != nil {
			t.Errorf("a write into space that is there: %d, %v", n, err)
		}
		if err := f.Sync(); err != nil {
			t.Errorf("sync: %v", err)
		}
		if free, err := e.FS.Free(""); free != 0 || err != nil {
			t.Errorf("%d bytes free, %v", free, err)
		}
		again, err := e.FS.Open("wal.tmp")
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		_, err = again.WriteAt([]byte("a"), 100)
		isFull("a write beyond the end of an opened file", err)

		set(t, i, Rules{}, 0)
		if _, err := f.WriteAt([]byte("ab"), 99); err != nil {
			t.Errorf("a write when there is space again: %v", err)
		}
		if free, err := e.FS.Free(""); free == 0 || err != nil {
			t.Errorf("%d bytes free again, %v", free, err)
		}
		create(t, e, "other", 10)
		if _, err := e.FS.Open("none"); err == nil {
			t.Error("a file that is not there was opened")
		}
	})
}

func TestFailingDisk(t *testing.T) {
	withDisk(t, func(e env.Env, i *Injector) {
		for _, dir := range []string{"wal", "snap"} {
			if err := e.FS.MkdirAll(dir); err != nil {
				t.Fatal(err)
			}
		}
		log := []env.File{create(t, e, "wal/0001.log", 10), create(t, e, "hardstate", 10), create(t, e, "hardstate.tmp", 10)}
		others := []env.File{create(t, e, "snap/1", 10), create(t, e, "walrus", 10)}
		set(t, i, Rules{Disk: DiskFail}, time.Minute)
		for _, f := range log {
			if _, err := f.WriteAt([]byte("a"), 0); err != nil {
				t.Errorf("write: %v", err)
			}
			if err := f.Sync(); !errors.Is(err, syscall.EIO) {
				t.Errorf("sync of a file of the log: %v", err)
			}
		}
		for _, f := range others {
			if err := f.Sync(); err != nil {
				t.Errorf("sync of another file: %v", err)
			}
		}
		if err := e.FS.SyncDir("wal"); !errors.Is(err, syscall.EIO) {
			t.Errorf("sync of the log's directory: %v", err)
		}
		if err := e.FS.SyncDir("snap"); err != nil {
			t.Errorf("sync of another directory: %v", err)
		}
		set(t, i, Rules{}, 0)
		if err := log[0].Sync(); err != nil {
			t.Errorf("sync afterwards: %v", err)
		}
	})
}

// instantEnv has lanes and a loop that are goroutines of their own, for a bubble.
type instantLane struct{ jobs chan func() }

func (l instantLane) Do(work func() error, done func(error)) { l.jobs <- func() { done(work()) } }

func instantEnv(t *testing.T) env.Env {
	return env.Env{Lane: func(string) env.Lane {
		l := instantLane{jobs: make(chan func(), 16)}
		go func() {
			for job := range l.jobs {
				job()
			}
		}()
		t.Cleanup(func() { close(l.jobs) })
		return l
	}}
}

func TestStalledDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := NewInjector(func(Change) {})
		defer i.Close()
		e := i.Env(instantEnv(t))
		log, apply := e.Lane("wal"), e.Lane("apply")
		var box mailbox
		job := func(l env.Lane, n int) {
			l.Do(func() error { box.put(n)(); return nil }, func(error) {})
		}
		set(t, i, Rules{Disk: DiskStall}, 10*time.Second)
		job(log, 1)
		job(log, 2)
		job(apply, 3)
		box.holds(t, "stalled", 3)

		// Rules that stall as well keep it so; their own deadline ends it.
		time.Sleep(9 * time.Second)
		set(t, i, Rules{Disk: DiskStall, Wall: time.Hour}, 10*time.Second)
		time.Sleep(9 * time.Second)
		box.holds(t, "stalled again", 3)
		time.Sleep(time.Second)
		box.holds(t, "over", 3, 1, 2)

		// A member that leaves does not wait, and does not begin to.
		set(t, i, Rules{Disk: DiskStall}, time.Hour)
		job(log, 4)
		box.holds(t, "stalled for an hour", 3, 1, 2)
		i.Leave()
		job(log, 5)
		box.holds(t, "leaving", 3, 1, 2, 4, 5)
		if !i.Active() {
			t.Error("leaving ended the rules")
		}
	})
}

type fixedClock struct{ env.Clock }

func (fixedClock) Wall() time.Time { return time.Unix(1_000, 0) }

func TestWrongWallClock(t *testing.T) {
	i := NewInjector(func(Change) {})
	defer i.Close()
	e := i.Env(env.Env{Clock: fixedClock{}})
	for _, off := range []time.Duration{0, time.Hour, -time.Hour, 0} {
		set(t, i, Rules{Wall: off}, time.Minute)
		if got := e.Clock.Wall().Sub(time.Unix(1_000, 0)); got != off {
			t.Errorf("off by %v, want %v", got, off)
		}
	}
}
