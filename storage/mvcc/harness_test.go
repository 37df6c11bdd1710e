package mvcc

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/storage/backend"
)

const stateDir = "state"

func ramDir(t testing.TB) string {
	t.Helper()
	root, err := os.MkdirTemp("/dev/shm", "mvcc-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	return root
}

func options() backend.Options { return backend.Options{MapBytes: 1 << 30, NoSync: true} }

// rig is a store on a disk of its own.
type rig struct {
	t     testing.TB
	fs    env.FS
	db    *backend.DB
	store *Store
	// recent is how much of the history stays in memory. Nothing at first: then what is flushed is read from the file.
	recent Recent
	batch  backend.Batch
	// sealed is the flush under way, nil if there is none; committed that it is in the file.
	sealed    *Sealed
	committed bool
}

func newRig(t testing.TB) *rig {
	t.Helper()
	fs := memfs.New(1, ramDir(t))
	db, err := backend.Create(fs, stateDir, options(), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, fs: fs, db: db, recent: Recent{Rows: -1, Bytes: -1}}
	r.load()
	t.Cleanup(func() { r.db.Close() })
	return r
}

func (r *rig) load() {
	r.t.Helper()
	r.sealed, r.committed = nil, false
	var err error
	if r.store, err = Open(r.db, r.recent); err != nil {
		r.t.Fatal(err)
	}
}

// flush commits all that is not in the file.
func (r *rig) flush() {
	r.t.Helper()
	for r.sealed != nil {
		r.flushStep()
	}
	for r.flushStep(); r.sealed != nil; {
		r.flushStep()
	}
	if r.store.FreshOps() != 0 || r.store.FreshBytes() != 0 {
		r.t.Fatalf("after a flush %d changes, %d bytes are fresh", r.store.FreshOps(), r.store.FreshBytes())
	}
}

// flushStep takes the next of the three steps of a flush.
func (r *rig) flushStep() {
	r.t.Helper()
	switch {
	case r.sealed == nil:
		fresh := r.store.FreshOps()
		r.sealed = r.store.Seal()
		r.batch.Reset()
		r.sealed.AddTo(&r.batch)
		if r.batch.Len() < fresh {
			r.t.Fatalf("%d changes fresh, %d flushed", fresh, r.batch.Len())
		}
	case !r.committed:
		if err := r.db.Commit(&r.batch); err != nil {
			r.t.Fatal(err)
		}
		r.committed = true
	default:
		r.store.Flushed()
		r.sealed, r.committed = nil, false
	}
}

// giveUp ends a flush that found no space.
func (r *rig) giveUp() {
	r.store.NotFlushed()
	r.sealed = nil
}

// reopen closes the files and starts from them, without what was not flushed.
func (r *rig) reopen() {
	r.t.Helper()
	if err := r.db.Close(); err != nil {
		r.t.Fatal(err)
	}
	var err error
	if r.db, err = backend.Open(r.fs, stateDir, options()); err != nil {
		r.t.Fatal(err)
	}
	r.load()
}

func (r *rig) put(key, value string) {
	w := r.store.Begin()
	w.Put([]byte(key), []byte(value), 0)
	w.End()
}

func (r *rig) delete(key, end string) {
	w := r.store.Begin()
	w.DeleteRange([]byte(key), []byte(end))
	w.End()
}

func (r *rig) compact(rev int64) {
	r.t.Helper()
	if err := r.store.Compact(rev); err != nil {
		r.t.Fatalf("compact at %d: %v", rev, err)
	}
}

// seeds returns the seeds to run: QUORUMKV_SEED alone when it is set, else n new ones.
func seeds(t testing.TB, n int) []uint64 {
	t.Helper()
	if s := os.Getenv("QUORUMKV_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{seed}
	}
	base := uint64(time.Now().UnixNano())
	list := make([]uint64, n)
	for i := range list {
		list[i] = base + uint64(i)
	}
	return list
}

// forSeeds runs f for n seeds and says how to repeat a failed one.
func forSeeds(t *testing.T, n int, f func(t *testing.T, rng *rand.Rand)) {
	t.Helper()
	for _, seed := range seeds(t, n) {
		ok := t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { f(t, rand.New(rand.NewPCG(seed, 0))) })
		if !ok {
			t.Fatalf("repeat with: QUORUMKV_SEED=%d go test ./storage/mvcc -run '^%s$'", seed, t.Name())
		}
	}
}
