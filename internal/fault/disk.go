package fault

import (
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/quorumkv/quorumkv/internal/env"
)

// The log is what the node's lane of this name writes, into these names of its data directory.
const logLane = "wal"

var logNames = []string{"wal", "hardstate"}

// Env returns e with the faults of the disk and of the wall clock in the way.
//
// What is memory mapped goes past an env.FS, and so past the rules: the state file of bbolt. A disk that is full or fails
// does so for the log and, when it is full, for snapshots; the state file can be written as before.
func (i *Injector) Env(e env.Env) env.Env {
	lane := e.Lane
	e.Lane = func(name string) env.Lane {
		if name == logLane {
			return stallLane{Lane: lane(name), i: i}
		}
		return lane(name)
	}
	e.FS = faultFS{FS: e.FS, i: i}
	e.Clock = wrongClock{Clock: e.Clock, i: i}
	return e
}

func (i *Injector) disk() Disk {
	if a := i.active.Load(); a != nil {
		return a.rules.Disk
	}
	return DiskWell
}

// awaitDisk returns once the disk does not stall any more, or the member is leaving.
func (i *Injector) awaitDisk() {
	for a := i.active.Load(); a != nil && a.rules.Disk == DiskStall; a = i.active.Load() {
		select {
		case <-a.over:
		case <-i.leaving:
			return
		}
	}
}

// stallLane starts no job while the disk stalls; those behind it wait with it.
type stallLane struct {
	env.Lane
	i *Injector
}

func (l stallLane) Do(work func() error, done func(error)) {
	l.Lane.Do(func() error {
		l.i.awaitDisk()
		return work()
	}, done)
}

// faultFS is a file system whose disk may be full, or fail to sync the log.
type faultFS struct {
	env.FS
	i *Injector
}

func (f faultFS) Open(name string) (env.File, error) {
	file, err := f.FS.Open(name)
	return f.wrap(name, file), err
}

func (f faultFS) OpenDirect(name string) (env.File, error) {
	file, err := f.FS.OpenDirect(name)
	return f.wrap(name, file), err
}

func (f faultFS) Create(name string, size int64) (env.File, error) {
	if f.i.disk() == DiskFull {
		return nil, noSpace("create", name)
	}
	file, err := f.FS.Create(name, size)
	return f.wrap(name, file), err
}

func (f faultFS) Reserve(name string, size int64) error {
	if f.i.disk() == DiskFull {
		return noSpace("reserve", name)
	}
	return f.FS.Reserve(name, size)
}

func (f faultFS) Free(dir string) (uint64, error) {
	if f.i.disk() == DiskFull {
		return 0, nil
	}
	return f.FS.Free(dir)
}

func (f faultFS) SyncDir(dir string) error {
	if f.i.disk() == DiskFail && ofLog(dir) {
		return syncFailed(dir)
	}
	return f.FS.SyncDir(dir)
}

// wrap leaves no file no file.
func (f faultFS) wrap(name string, file env.File) env.File {
	if file == nil {
		return nil
	}
	return faultFile{File: file, name: name, i: f.i}
}

type faultFile struct {
	env.File
	name string // as it was opened
	i    *Injector
}

// WriteAt refuses what would make the file grow on a full disk. Space that the file has can be written.
func (f faultFile) WriteAt(p []byte, off int64) (int, error) {
	if f.i.disk() == DiskFull {
		size, err := f.Size()
		if err != nil {
			return 0, err
		}
		if off+int64(len(p)) > size {
			return 0, noSpace("write", f.name)
		}
	}
	return f.File.WriteAt(p, off)
}

func (f faultFile) Sync() error {
	if f.i.disk() == DiskFail && ofLog(f.name) {
		return syncFailed(f.name)
	}
	return f.File.Sync()
}

// ofLog reports whether a name is a file or the directory of the log; a file that is being made has its name with a
// suffix.
func ofLog(name string) bool {
	for _, n := range logNames {
		if rest, ok := strings.CutPrefix(name, n); ok && (rest == "" || rest[0] == '/' || rest[0] == '.') {
			return true
		}
	}
	return false
}

func noSpace(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: fmt.Errorf("%w: %w (a drill's fault)", env.ErrNoSpace, syscall.ENOSPC)}
}

func syncFailed(name string) error {
	return &fs.PathError{Op: "sync", Path: name, Err: fmt.Errorf("%w (a drill's fault)", syscall.EIO)}
}

// wrongClock has a wall clock that is off. Monotonic time, which all decisions use, is right.
type wrongClock struct {
	env.Clock
	i *Injector
}

func (c wrongClock) Wall() time.Time {
	if a := c.i.active.Load(); a != nil {
		return c.Clock.Wall().Add(a.rules.Wall)
	}
	return c.Clock.Wall()
}
