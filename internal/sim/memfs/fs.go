// Package memfs is an [env.FS] in memory that knows the difference between what a program wrote and what a disk keeps.
// Tests and the simulator use it to ask one question: what may be left when the power goes out now?
//
// Every file has two contents, and every directory two lists of names:
//
//	            what the running program sees    what a power cut leaves for certain
//	content     all writes                       as of the last File.Sync, per 512-byte sector
//	size        the last size                    as of the last File.Sync
//	names       all creates, renames, removes    as of the last FS.SyncDir of that directory
//
// [FS.CrashClone] mixes the two: each unsynced sector, size and name independently may or may not have reached the
// disk, and a sector written twice may hold the version in between. Sectors are atomic. What was synced always
// survives. [FS.ProcessCrash] is the milder death (SIGKILL): the kernel still has every write, so nothing is lost.
//
// Faults enter through one hook, called before each operation (see [FS.SetHook]). A failed File.Sync behaves as on
// Linux: some of the unsynced sectors are dropped although reads still show them, and a later Sync that succeeds does
// not bring them back.
//
// Memory: content is kept in 4 KiB pages that exist only once something other than zeros was written, and clones share
// pages until one of them writes. A preallocated 64 MiB file costs nothing.
//
// Files that bbolt maps cannot live here. [FS.MapPath] gives them a place under a real directory; Open, List, Rename
// and Remove see them, CrashClone copies them as they are (whoever maps them models their crashes).
//
// There are no goroutines and no locks: an FS belongs to one logical thread. Equal seeds and equal calls give equal
// results.
package memfs

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/quorumkv/quorumkv/internal/env"
)

// FS is the file system of one node during one life of its machine. After a crash it is dead: every operation on it and
// on its open files returns [ErrCrashed], and life goes on in the FS that CrashClone or ProcessCrash returned.
type FS struct {
	root     *dir
	mapRoot  string // "" when no file may be mapped
	rng      *rand.Rand
	hook     func(Op) error
	ops      int
	dead     bool
	inHook   bool // stays set if the hook panics
	capacity uint64
	copies   bool
}

var _ env.FS = (*FS)(nil)

// ErrCrashed is returned by every operation after the crash. Code that sees it has outlived its machine.
var ErrCrashed = errors.New("memfs: machine has crashed")

// Unlimited is a capacity far from any test's needs, and far from overflow.
const Unlimited = 1 << 50

// New returns an empty file system. The seed decides which intermediate versions and failed syncs leave traces; mapRoot
// is an existing directory of the real file system for mapped files, or "" if there will be none.
func New(seed uint64, mapRoot string) *FS {
	return &FS{
		root:     newDir(),
		mapRoot:  mapRoot,
		rng:      rand.New(rand.NewPCG(seed, 0x6d656d6673)),
		capacity: Unlimited,
	}
}

// Kind names an operation. The set is closed; see the constants.
type Kind string

// The operations that a hook sees. Free, Size and List are included so that a script can be crashed between any two
// steps, but they change nothing.
const (
	OpOpen    Kind = "open"
	OpCreate  Kind = "create"
	OpRename  Kind = "rename"
	OpRemove  Kind = "remove"
	OpList    Kind = "list"
	OpMkdir   Kind = "mkdir"
	OpSyncDir Kind = "syncdir"
	OpWrite   Kind = "write"
	OpRead    Kind = "read"
	OpSync    Kind = "sync"
	OpSize    Kind = "size"
	OpClose   Kind = "close"
	OpFree    Kind = "free"
)

// Op describes an operation that is about to happen. Name is the old name for a rename. Offset and Len are set for
// reads and writes; for create, Len is the size.
type Op struct {
	Kind   Kind
	Name   string
	Offset int64
	Len    int
}

func (o Op) String() string {
	switch o.Kind {
	case OpRead, OpWrite:
		return fmt.Sprintf("%s %s [%d,+%d)", o.Kind, o.Name, o.Offset, o.Len)
	default:
		return fmt.Sprintf("%s %s", o.Kind, o.Name)
	}
}

// SetHook makes h run before each operation; nil removes it. An error from h is the operation's result, and the
// operation does not happen, with four exceptions: [Short], [ErrLost] and [Astray] from a write, and any error from a sync
// (see the package comment). A panic in h, by convention with a [Crash], kills the FS before it passes on.
func (m *FS) SetHook(h func(Op) error) { m.hook = h }

// Ops counts the operations so far, the current one included.
func (m *FS) Ops() int { return m.ops }

// SetCapacity bounds the sum of all file sizes, mapped files excepted: growth beyond it is refused with env.ErrNoSpace.
func (m *FS) SetCapacity(bytes uint64) { m.capacity = bytes }

// SetCopyOnWrite makes it a file system that never writes in place: as long as a write goes on it needs space for what it
// writes, also where that is preallocated.
func (m *FS) SetCopyOnWrite() { m.copies = true }

// Kill makes the FS and all its open files dead, without saying what is left. CrashClone may be called afterwards.
func (m *FS) Kill() { m.dead = true }

// step is the gate before every operation.
func (m *FS) step(op Op) error {
	if m.dead || m.inHook {
		return fmt.Errorf("%s: %w", op, ErrCrashed)
	}
	m.ops++
	if m.hook == nil {
		return nil
	}
	m.inHook = true // and dead for good if the hook panics: deferred cleanup in the crashed code must not touch the disk
	err := m.hook(op)
	m.inHook = false
	return err
}

// Free reports the capacity that no file has reserved.
func (m *FS) Free(dir string) (uint64, error) {
	if err := m.step(Op{Kind: OpFree, Name: dir}); err != nil {
		return 0, err
	}
	return m.free(), nil
}

// Capacity reports what SetCapacity said.
func (m *FS) Capacity(dir string) (uint64, error) {
	if err := m.step(Op{Kind: OpFree, Name: dir}); err != nil {
		return 0, err
	}
	return m.capacity, nil
}

// Used is the sum of all file sizes, mapped files excepted.
func (m *FS) Used() uint64 { return m.root.used() }

func (m *FS) free() uint64 {
	used := m.root.used()
	if used > m.capacity {
		return 0
	}
	return m.capacity - used
}

// reserve refuses growth that the capacity does not allow.
func (m *FS) reserve(op Op, grow int64) error {
	// The sum is taken only when someone set a limit: it walks all files.
	if grow > 0 && m.capacity != Unlimited && uint64(grow) > m.free() {
		return fmt.Errorf("%s: %w", op, env.ErrNoSpace)
	}
	return nil
}
