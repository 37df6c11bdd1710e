package env

import (
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ErrInUse says that another process, or another OS in this one, holds the data directory.
var ErrInUse = errors.New("data directory is in use")

// OS is the operating system's implementation of an Env. Its life: NewOS, Env (and set Net), Run on a goroutine of the
// caller's choice, Stop from anywhere, and Close once Run has returned.
//
// It owns one goroutine for each lane, and the exclusive lock on the data directory, which keeps two servers from
// appending to the same log. The lock sits on the directory itself and dies with the process.
type OS struct {
	root  *os.File // the data directory, locked
	loop  *loop
	clock *osClock
	fs    *osFS
	rand  *rand.Rand

	running sync.WaitGroup // lane goroutines

	mu     sync.Mutex
	lanes  map[string]*osLane
	closed bool
}

// NewOS makes an Env on the data directory root, which is made, durably, when it does not exist.
func NewOS(root string) (*OS, error) {
	path, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("resolve data directory %s: %w", root, err)
	}
	if err := makeRoot(path); err != nil {
		return nil, fmt.Errorf("make data directory %s: %w", path, err)
	}
	dir, err := lockRoot(path, syscall.LOCK_EX)
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", path, err)
	}
	var seed [32]byte
	cryptorand.Read(seed[:])
	l := newLoop()
	return &OS{
		root:  dir,
		loop:  l,
		clock: &osClock{boot: time.Now(), post: l.post},
		fs:    &osFS{root: path},
		rand:  rand.New(rand.NewChaCha8(seed)),
		lanes: make(map[string]*osLane),
	}, nil
}

// makeRoot makes the directory and syncs the parents that gained a name, lest a power loss take the whole node.
func makeRoot(path string) error {
	existing := path
	for {
		_, err := os.Stat(existing)
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrNotExist) || existing == filepath.Dir(existing) {
			return err
		}
		existing = filepath.Dir(existing)
	}
	if err := os.MkdirAll(path, dirMode); err != nil {
		return err
	}
	for p := path; p != existing; p = filepath.Dir(p) {
		if err := syncDir(filepath.Dir(p)); err != nil {
			return err
		}
	}
	return nil
}

// lockRoot locks a data directory: for one user alone (LOCK_EX) or for any number of readers (LOCK_SH).
func lockRoot(path string, how int) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	err = control(dir, func(fd int) error { return syscall.Flock(fd, how|syscall.LOCK_NB) })
	if err != nil {
		dir.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, err
	}
	return dir, nil
}

// Env returns the Env, with Net left for the caller to set.
func (o *OS) Env() Env {
	return Env{Clock: o.clock, FS: o.fs, Rand: o.rand, Post: o.loop.post, Lane: o.lane, Together: together}
}

func together(jobs ...func()) {
	var running sync.WaitGroup
	for _, job := range jobs {
		running.Go(job)
	}
	running.Wait()
}

func (o *OS) lane(name string) Lane {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l, ok := o.lanes[name]; ok {
		return l
	}
	l := newLane(o.loop.post)
	o.lanes[name] = l
	if o.closed {
		l.close()
		return l
	}
	o.running.Go(l.run)
	return l
}

// Run runs the loop on the calling goroutine until Stop. A panic of a posted function is the caller's to see.
func (o *OS) Run() { o.loop.run() }

// Stop makes Run return after the functions that are already posted. Later ones are dropped. It does not wait and may
// be called from anywhere, more than once.
func (o *OS) Stop() { o.loop.stop() }

// Close lets every lane finish the jobs it has, waits for them, and releases the data directory. Completions are posted
// but, when the loop has stopped, run no more.
func (o *OS) Close() error {
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return nil
	}
	o.closed = true
	for _, l := range o.lanes {
		l.close()
	}
	o.mu.Unlock()
	o.running.Wait()
	if err := o.root.Close(); err != nil {
		return fmt.Errorf("release data directory: %w", err)
	}
	return nil
}
