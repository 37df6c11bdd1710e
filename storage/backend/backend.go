package backend

import (
	"errors"
	"fmt"
	"math"
	"os" //determinism:ok bbolt maps a real file and takes an *os.File
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/quorumkv/quorumkv/internal/env"
)

// Buckets, named as etcd names them, so that snapshots can travel both ways.
var (
	Key            = []byte("key")
	Meta           = []byte("meta")
	Lease          = []byte("lease")
	Auth           = []byte("auth")
	AuthUsers      = []byte("authUsers")
	AuthRoles      = []byte("authRoles")
	Members        = []byte("members")
	MembersRemoved = []byte("members_removed")
	Cluster        = []byte("cluster")
	Alarm          = []byte("alarm")
)

// buckets are the ones that every state file has.
var buckets = [][]byte{Key, Meta, Lease, Auth, AuthUsers, AuthRoles, Members, MembersRemoved, Cluster, Alarm}

var (
	// ErrDamaged says that the state cannot be trusted: the generation must be dropped and rebuilt.
	ErrDamaged = errors.New("state is damaged")
	// ErrClosed says that the handle was closed, as it is when a newer generation takes over.
	ErrClosed = errors.New("state is closed")
)

const (
	// keyFillPercent is high because the key bucket only grows at its end: pages are split once and stay as full.
	keyFillPercent = 0.9
	// metaPages are the least that a bbolt file has.
	metaPages = 2
	// lockTimeout bounds the wait for the file lock, which a handle that panicked while opening may have left behind.
	lockTimeout = time.Second
	// growBytes bounds the slack by which the file grows; below it grows by an eighth, so that a small store is a small
	// file.
	growBytes = 16 << 20
)

// Options are the settings of a state file.
type Options struct {
	// MapBytes is the address space mapped at the start. Growing past it waits for all reads under way, so it should
	// exceed the size that the store will reach. Default: 10 GiB where addresses have 64 bits. It costs no memory.
	MapBytes int
	// NoSync leaves out every sync of the bbolt file. Only for state on a RAM disk, as in the simulator.
	NoSync bool
	// Insist opens also what two attempts in a row did not survive. Crashes of another cause look the same, so a node that
	// has nobody to fetch another state from must try again.
	Insist bool
}

func (o Options) mapBytes() int {
	if o.MapBytes > 0 {
		return o.MapBytes
	}
	return int(min(int64(10<<30), int64(math.MaxInt/4)))
}

// DB is an open generation.
type DB struct {
	bolt *bbolt.DB
	file *os.File // bbolt's handle; ours only when bbolt can no longer be asked to close it
	// failed is the error of the Commit that ended this handle; see the package comment.
	failed error
	// writing is the id of the last write transaction.
	writing int
	// wedged says that bbolt panicked while it held its write lock and would never return from Close.
	wedged bool
}

// openBolt opens or, with create, makes the bbolt file at an operating-system path. All buckets must be there, or are
// made together with the first batch.
func openBolt(path string, o Options, create bool, first *Batch) (*DB, error) {
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE | os.O_TRUNC
	}
	d := new(DB)
	err := guard(func() (err error) {
		d.bolt, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:         lockTimeout,
			NoFreelistSync:  true,
			FreelistType:    bbolt.FreelistArrayType,
			InitialMmapSize: o.mapBytes(),
			NoSync:          o.NoSync,
			NoGrowSync:      o.NoSync,
			OpenFile: func(name string, _ int, mode os.FileMode) (*os.File, error) {
				file, err := os.OpenFile(name, flags, mode)
				d.file = file
				return file, err
			},
		})
		return err
	})
	if err == nil && create {
		err = d.init(first)
	}
	if err == nil {
		err = d.requireBuckets()
	}
	if err != nil {
		d.abandon()
		return nil, fmt.Errorf("open %s: %w", path, noSpace(classify(err)))
	}
	return d, nil
}

func (d *DB) requireBuckets() error {
	return d.Read(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if tx.Bucket(name) == nil {
				return missingBucket(name)
			}
		}
		return nil
	})
}

// checkFile refuses a file that is gone or that bbolt would take for a new one, and fill with an empty store.
func checkFile(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is gone: %w", path, ErrDamaged)
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", path, classify(err))
	}
	if info.Size() < int64(metaPages*os.Getpagesize()) {
		return fmt.Errorf("%s has %d bytes: %w", path, info.Size(), ErrDamaged)
	}
	return nil
}

// init makes the buckets and writes the first batch, all in one transaction.
func (d *DB) init(first *Batch) error {
	return d.update(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			if _, err := tx.CreateBucket(name); err != nil {
				return fmt.Errorf("create bucket %s: %w", name, err)
			}
		}
		if first == nil {
			return nil
		}
		return first.apply(tx)
	})
}

// Commit carries out all changes of b in one transaction and returns once they are durable. After an error the handle
// refuses all further batches. The exception is env.ErrNoSpace: nothing was committed, and a later Commit tries again.
func (d *DB) Commit(b *Batch) error {
	if d.failed != nil {
		return fmt.Errorf("commit after a failed one: %w", d.failed)
	}
	err := d.update(b.apply)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("commit %d changes, %d bytes: %w", b.Len(), b.Bytes(), classify(err))
	if refusedForSpace(err) && d.untouched() {
		return fmt.Errorf("%w: %w", env.ErrNoSpace, err)
	}
	d.failed = err
	return err
}

// refusedForSpace reports whether a full disk has refused a write or the file's growth. A sync that says the same leaves
// doubt: what it was to make durable is written, the meta page perhaps among it.
func refusedForSpace(err error) bool {
	if op := (*os.PathError)(nil); errors.As(err, &op) {
		return op.Op == "write" && full(op)
	}
	// Of an error in growing the file bbolt keeps the text only.
	_, growth, ok := strings.Cut(err.Error(), growthFailed)
	return ok && (strings.HasSuffix(growth, syscall.ENOSPC.Error()) || strings.HasSuffix(growth, syscall.EDQUOT.Error()))
}

const growthFailed = "file resize error: "

func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// untouched reports whether the last write transaction, which failed, has left the committed meta page the newest. Then it
// has written nothing but pages that the committed state does not refer to, and the next transaction writes all of its own
// again, its meta page over what may be there of the failed one's.
func (d *DB) untouched() bool {
	committed := d.writing
	err := d.Read(func(tx *bbolt.Tx) error { committed = tx.ID(); return nil })
	return err == nil && !d.wedged && committed < d.writing
}

// update runs one write transaction.
func (d *DB) update(change func(tx *bbolt.Tx) error) error {
	var tx *bbolt.Tx
	err := guard(func() (err error) {
		if tx, err = d.bolt.Begin(true); err != nil {
			return err
		}
		d.writing = tx.ID()
		d.bolt.AllocSize = int(min(tx.Size()/8, growBytes))
		if err = change(tx); err != nil {
			return err
		}
		return tx.Commit()
	})
	if err == nil || tx == nil {
		return err
	}
	// Rollback gives the write lock back, unless Commit did so before it failed.
	undo := guard(func() error {
		if err := tx.Rollback(); !errors.Is(err, berrors.ErrTxClosed) {
			return err
		}
		return nil
	})
	d.wedged = undo != nil
	return err
}

// Read runs f in a read transaction, on the state as of the last Commit. Memory that f gets from bbolt is valid only
// until f returns.
func (d *DB) Read(f func(tx *bbolt.Tx) error) error {
	err := guard(func() error { return d.bolt.View(f) })
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// Size is the number of bytes that the state takes in its file, free pages included.
func (d *DB) Size() int64 {
	var size int64
	if err := d.Read(func(tx *bbolt.Tx) error { size = tx.Size(); return nil }); err != nil {
		return 0
	}
	return size
}

// InUse is Size without the pages that the next commits may reuse.
func (d *DB) InUse() int64 {
	size := d.Size()
	if size == 0 {
		return 0
	}
	stats := d.bolt.Stats()
	return max(0, size-int64(stats.FreePageN+stats.PendingPageN)*int64(d.bolt.Info().PageSize))
}

// Close waits for reads under way and closes the file. Reads that come later get ErrClosed.
func (d *DB) Close() error {
	if d.wedged {
		d.abandon()
		return nil
	}
	if err := guard(d.bolt.Close); err != nil {
		return fmt.Errorf("close state: %w", err)
	}
	return nil
}

// abandon lets go of a file whose handle may hang or panic. Its lock is freed; the mapping stays until the process
// ends.
func (d *DB) abandon() {
	if d.bolt != nil && !d.wedged {
		if guard(d.bolt.Close) == nil {
			return
		}
	}
	if d.file != nil {
		d.file.Close()
	}
}

func missingBucket(name []byte) error {
	return fmt.Errorf("bucket %s is missing: %w", name, ErrDamaged)
}

// classify puts bbolt's errors in our terms.
func classify(err error) error {
	switch {
	case errors.Is(err, ErrDamaged):
		return err
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum),
		errors.Is(err, berrors.ErrVersionMismatch), errors.Is(err, syscall.EIO):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return ErrClosed
	}
	return err
}

// noSpace is for files that are made and, after an error, removed: it does not matter what of them was written.
func noSpace(err error) error {
	if full(err) {
		return fmt.Errorf("%w: %w", env.ErrNoSpace, err)
	}
	return err
}
