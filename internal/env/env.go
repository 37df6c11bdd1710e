// Package env is the only door between QuorumKV's deterministic packages (raftnode, storage) and the world: time,
// files, the network, background work and randomness all pass through an [Env].
//
// Two implementations exist: the operating system's in this package ([NewOS]), and the simulator's in internal/sim.
// Code that uses only an Env replays bit for bit from a seed, so the rules are strict: inside the deterministic
// packages there is no go statement, no select, no channel, no sync, no clock and no global randomness.
//
// The model has two kinds of places where code runs:
//
//   - the loop: one logical thread that owns all decisions. Everything enters it through [Env.Post]; functions posted
//     run one at a time, in the order posted.
//   - lanes: FIFO queues for work that blocks (files, bbolt). A lane runs one job at a time; its completion is posted to
//     the loop.
//
// Invariant: the loop never blocks and never touches a file; a lane never touches state that the loop owns.
package env

import (
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// Env holds every effect that a node may have. It is a value: copy it freely.
type Env struct {
	Clock Clock
	FS    FS
	Net   Net
	// Rand is used on the loop only.
	Rand *rand.Rand
	// Post queues f to run on the loop. It never blocks and may be called from anywhere, the loop included.
	Post func(f func())
	// Lane returns the lane of that name, creating it at the first call.
	Lane func(name string) Lane
	// Together runs jobs, perhaps at the same time, and returns when all have ended. It blocks, so it is for what comes before
	// the loop runs. No job may touch what another changes.
	Together func(jobs ...func())
}

// OneByOne is Together for an Env that replays.
func OneByOne(jobs ...func()) {
	for _, job := range jobs {
		job()
	}
}

// Clock tells time.
type Clock interface {
	// Now is monotonic since boot: the only time that decisions may use.
	Now() time.Duration
	// Wall is for logs and API timestamps only.
	Wall() time.Time
	// After runs f on the loop once d has passed, unless stop is called first (on the loop).
	After(d time.Duration, f func()) (stop func())
}

// Lane runs blocking work, one job at a time, first in first out.
type Lane interface {
	// Do queues work to run on the lane and then done, with work's error, on the loop. It never blocks.
	Do(work func() error, done func(error))
}

// Net sends messages to peers. Receipt arrives on the loop by a path that the owner of the Env wires.
type Net interface {
	// Send never blocks and may drop, duplicate, delay and reorder. m and all it points to must not change afterwards.
	Send(to uint64, m *peerpb.Message)
}

// FS is what the log, snapshots and identity need of a file system, and no more. Names are slash-separated and relative
// to the node's data directory. Errors for a missing name match io/fs.ErrNotExist; a full disk matches [ErrNoSpace].
//
// Nothing is durable before the right sync: file content and size after File.Sync, a created, renamed or removed name
// after SyncDir of its directory.
type FS interface {
	// Open opens an existing file for reading and writing.
	Open(name string) (File, error)
	// OpenDirect opens a file that the system need not keep in memory: one that is written once, in ascending order from its
	// start, over the zeros that Create left, and hardly read. Such writes, and reads of whole blocks, go to the disk.
	OpenDirect(name string) (File, error)
	// Create makes (or empties) a file and sets its size, reading as zeros, with the space reserved.
	Create(name string, size int64) (File, error)
	// Reserve makes a file, unless it exists, whose only use is that nobody else can have its space. What it reads as is
	// not said.
	Reserve(name string, size int64) error
	// Rename replaces the target when it exists.
	Rename(oldName, newName string) error
	// Remove deletes a file or an empty directory.
	Remove(name string) error
	// List returns the names in a directory, sorted, without their path.
	List(dir string) ([]string, error)
	// MkdirAll creates a directory and its parents; an existing one is fine.
	MkdirAll(dir string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
	// Free reports the bytes that an unprivileged writer may still use on the volume of dir.
	Free(dir string) (bytes uint64, err error)
	// Capacity reports the size of the volume of dir.
	Capacity(dir string) (bytes uint64, err error)
	// MapPath returns the operating-system path behind a name, for files that must be memory mapped (bbolt). Such files
	// are synced by whoever maps them; List, Rename and Remove see them like any other.
	MapPath(name string) string
}

// File is an open file. It is used by one lane at a time.
type File interface {
	// ReadAt returns [ErrUnreadable] for what the disk does not give back.
	io.ReaderAt
	io.WriterAt
	// Sync makes content and size durable (fdatasync). After an error nothing written since the last successful Sync
	// can be trusted, whatever a later Sync says.
	Sync() error
	Size() (int64, error)
	// Forget lets the system drop what memory holds of a range that is synced, so that the next read asks the disk. It is a
	// hint: not every system takes it, and none does for what is mapped.
	Forget(off, length int64)
	io.Closer
}

// ErrNoSpace says that the disk is full. It is returned before anything was written.
var ErrNoSpace = errors.New("no space left on device")

// ErrUnreadable says that the disk failed to read. What was to be read is lost, at least for now; other parts of the file
// may be fine.
var ErrUnreadable = errors.New("the disk cannot read it")
