package backend

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

const dir = "state"

// ramDir is a directory that lives in memory where the machine has one.
func ramDir(t testing.TB) string {
	t.Helper()
	root, err := os.MkdirTemp("/dev/shm", "backend-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	return root
}

func newFS(t testing.TB) *memfs.FS {
	t.Helper()
	return memfs.New(1, ramDir(t))
}

func options() Options { return Options{MapBytes: 1 << 20, NoSync: true} }

func put(bucket []byte, pairs ...string) *Batch {
	b := new(Batch)
	for i := 0; i < len(pairs); i += 2 {
		b.Put(bucket, []byte(pairs[i]), []byte(pairs[i+1]))
	}
	return b
}

// content reads everything, as "bucket/key=value" lines.
func content(t testing.TB, d *DB) string {
	t.Helper()
	var out bytes.Buffer
	err := d.Read(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				fmt.Fprintf(&out, "%s/%s=%s\n", name, k, v)
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func mustCreate(t testing.TB, fsys env.FS, first *Batch) *DB {
	t.Helper()
	d, err := Create(fsys, dir, options(), first)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustOpen(t testing.TB, fsys env.FS) *DB {
	t.Helper()
	d, err := Open(fsys, dir, options())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustClose(t testing.TB, d *DB) {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestLifeOfAState(t *testing.T) {
	fsys := newFS(t)
	if ok, err := Exists(fsys, dir); ok || err != nil {
		t.Fatalf("before create: exists %t, %v", ok, err)
	}
	d := mustCreate(t, fsys, put(Meta, "index", "1"))
	if ok, err := Exists(fsys, dir); !ok || err != nil {
		t.Fatalf("after create: exists %t, %v", ok, err)
	}
	b := put(Key, "a", "1", "b", "2", "a", "3")
	b.Delete(Key, []byte("b"))
	b.Delete(Key, []byte("never there"))
	b.Put(Meta, []byte("index"), []byte("2"))
	if b.Len() != 6 || b.Bytes() != 6+1+11+6 {
		t.Fatalf("batch has %d changes, %d bytes", b.Len(), b.Bytes())
	}
	if err := d.Commit(b); err != nil {
		t.Fatal(err)
	}
	if b.Reset(); b.Len() != 0 || b.Bytes() != 0 {
		t.Fatalf("reset batch has %d changes, %d bytes", b.Len(), b.Bytes())
	}
	want := "key/a=3\nmeta/index=2\n"
	if got := content(t, d); got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	mustClose(t, d)
	if err := d.Read(func(*bbolt.Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Fatalf("read after close: %v", err)
	}
	if err := d.Commit(b); !errors.Is(err, ErrClosed) {
		t.Fatalf("commit after close: %v", err)
	}
	if d.Size() != 0 || d.InUse() != 0 {
		t.Fatal("a closed state has a size")
	}

	d = mustOpen(t, fsys)
	if got := content(t, d); got != want {
		t.Fatalf("reopened: got %q, want %q", got, want)
	}
	mustClose(t, d)
}

func TestEmptyStoreIsSmall(t *testing.T) {
	const limit = 53248
	fsys := newFS(t)
	d, err := Create(fsys, dir, Options{NoSync: false}, put(Meta, "index", "1"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := range 20 {
		info, err := os.Stat(fsys.MapPath(dir + "/0000000000000001/db"))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() >= limit || d.Size() >= limit {
			t.Fatalf("after %d commits the file has %d bytes, the state %d", i, info.Size(), d.Size())
		}
		if err := d.Commit(put(Meta, "index", fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSizeAndInUse(t *testing.T) {
	d := mustCreate(t, newFS(t), nil)
	defer d.Close()
	if err := d.Commit(put(Key, "big", string(make([]byte, 1<<20)))); err != nil {
		t.Fatal(err)
	}
	full, used := d.Size(), d.InUse()
	if full < 1<<20 || used < 1<<20 || used > full {
		t.Fatalf("size %d, in use %d", full, used)
	}
	b := new(Batch)
	b.Delete(Key, []byte("big"))
	if err := d.Commit(b); err != nil {
		t.Fatal(err)
	}
	if d.Size() < full || d.InUse() > used-1<<20 {
		t.Fatalf("after delete: size %d, in use %d", d.Size(), d.InUse())
	}
}

func TestFailedCommitEndsTheHandle(t *testing.T) {
	fsys := newFS(t)
	d := mustCreate(t, fsys, put(Key, "a", "1"))
	d.file.Close() // every write fails from now on
	err := d.Commit(put(Key, "a", "2"))
	if !errors.Is(err, os.ErrClosed) {
		t.Fatalf("commit: %v", err)
	}
	if again := d.Commit(put(Key, "a", "3")); !errors.Is(again, err) {
		t.Fatalf("second commit: %v", again)
	}
	if got := content(t, d); got != "key/a=1\n" {
		t.Fatalf("readers see %q", got)
	}
	d.Close() // may complain about the file, must not hang
}

func TestUnknownBucketIsDamage(t *testing.T) {
	d := mustCreate(t, newFS(t), nil)
	defer d.Close()
	if err := d.Commit(put([]byte("nonsense"), "a", "1")); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
}

func TestPanicsOfBolt(t *testing.T) {
	d := mustCreate(t, newFS(t), nil)
	err := d.update(func(*bbolt.Tx) error { panic("assertion failed: page 7 already freed") })
	if !errors.Is(err, ErrDamaged) {
		t.Fatalf("write: %v", err)
	}
	err = d.Read(func(*bbolt.Tx) error { var b []byte; _ = b[len(b)]; return nil })
	if !errors.Is(err, ErrDamaged) {
		t.Fatalf("read: %v", err)
	}
	for _, own := range []any{"invariant violated: 1 is 2", memfs.Crash{}} {
		func() {
			defer func() {
				if got := recover(); got != own {
					t.Errorf("recovered %v, want %v", got, own)
				}
			}()
			d.Read(func(*bbolt.Tx) error { panic(own) })
		}()
	}
	if err := d.Commit(put(Key, "a", "1")); err != nil {
		t.Fatalf("the write lock was lost: %v", err)
	}
	mustClose(t, d)
}

// TestFaultOnTheMapping cuts the file short below its mapping, which is what a bad sector looks like to a reader.
func TestFaultOnTheMapping(t *testing.T) {
	fsys := newFS(t)
	d := mustCreate(t, fsys, put(Key, "a", string(make([]byte, 100_000))))
	defer d.Close()
	if err := d.file.Truncate(2 * int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	err := d.Read(func(tx *bbolt.Tx) error {
		sum := 0
		for _, c := range tx.Bucket(Key).Get([]byte("a")) {
			sum += int(c)
		}
		return nil
	})
	if !errors.Is(err, ErrDamaged) {
		t.Fatalf("read: %v", err)
	}
	if _, err := copyTo(d, io.Discard); !errors.Is(err, ErrDamaged) {
		t.Fatalf("copy: %v", err)
	}
}

// copyTo copies the state as it is now.
func copyTo(d *DB, w io.Writer) (int64, error) {
	p, err := d.Pin()
	if err != nil {
		return 0, err
	}
	defer p.Close()
	return p.WriteTo(w)
}

// TestPinHoldsItsState copies a state that later commits have long changed.
func TestPinHoldsItsState(t *testing.T) {
	fsys := newFS(t)
	d := mustCreate(t, fsys, put(Key, "a", "1"))
	p, err := d.Pin()
	if err != nil {
		t.Fatal(err)
	}
	size := p.Size()
	for i := range 20 {
		if err := d.Commit(put(Key, "a", strings.Repeat("2", 1000*i), "b", "2")); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if n, err := p.WriteTo(&out); err != nil || n != size || out.Len() != int(size) {
		t.Fatalf("copied %d bytes, announced %d: %v", n, size, err)
	}
	p.Close()
	p.Close()
	mustClose(t, d)

	staged, err := Stage(fsys, dir, options(), &out)
	if err != nil {
		t.Fatal(err)
	}
	if d, err = staged.Switch(); err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, d)
	if got := content(t, d); got != content(t, mustCreate(t, newFS(t), put(Key, "a", "1"))) {
		t.Errorf("the copy holds %s", got)
	}
	if _, err := func() (*Pin, error) { mustClose(t, d); return d.Pin() }(); !errors.Is(err, ErrClosed) {
		t.Errorf("pin of a closed state: %v", err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestTargetOfACopyFails(t *testing.T) {
	d := mustCreate(t, newFS(t), nil)
	defer d.Close()
	full := errors.New("the other disk is full")
	if _, err := copyTo(d, failingWriter{full}); !errors.Is(err, full) || errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
}

func TestClassify(t *testing.T) {
	if err := noSpace(fmt.Errorf("write: %w", syscall.ENOSPC)); !errors.Is(err, env.ErrNoSpace) {
		t.Error(err)
	}
	if err := classify(fmt.Errorf("read: %w", syscall.EIO)); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
	if err := classify(nil); err != nil {
		t.Error(err)
	}
}

func BenchmarkCommit(b *testing.B) {
	d := mustCreate(b, newFS(b), nil)
	defer d.Close()
	const rows = 1000
	var batch Batch
	value := make([]byte, 256)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		for range rows {
			n++
			batch.Put(Key, fmt.Appendf(nil, "%017d", n), value)
		}
		if err := d.Commit(&batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/row")
}
