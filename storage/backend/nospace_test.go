package backend

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

// onWrite puts itself between bbolt and its file. It is called before each write; an error is the write's result, after
// half of it was carried out.
func onWrite(d *DB, f func(off int64) error) (restore func()) {
	hook := writeHook(d)
	write := *hook
	*hook = func(p []byte, off int64) (int, error) {
		if err := f(off); err != nil {
			n, _ := write(p[:len(p)/2], off)
			return n, err
		}
		return write(p, off)
	}
	return func() { *hook = write }
}

// many is a batch that takes several pages.
func many(generation int) *Batch {
	b := &Batch{}
	for i := range 500 {
		b.Put(Key, fmt.Appendf(nil, "%d-%d", generation, i), make([]byte, 100))
	}
	b.Put(Meta, []byte("index"), fmt.Append(nil, generation))
	return b
}

func keys(t *testing.T, d *DB) (n int, index string) {
	t.Helper()
	err := d.Read(func(tx *bbolt.Tx) error {
		n, index = tx.Bucket(Key).Stats().KeyN, string(tx.Bucket(Meta).Get([]byte("index")))
		for err := range tx.Check() {
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, index
}

// Whichever page finds the disk full, the state stays as it was, for this handle and for one that comes after a crash,
// and the same batch goes in once there is space.
func TestCommitOnAFullDisk(t *testing.T) {
	metaEnd := int64(metaPages * os.Getpagesize())
	full := &os.PathError{Op: "write", Path: "db", Err: syscall.ENOSPC}
	for at := 0; ; at++ {
		fsys := newFS(t)
		d := mustCreate(t, fsys, put(Meta, "index", "0"))
		if err := d.Commit(many(1)); err != nil {
			t.Fatal(err)
		}
		writes, struck := 0, false
		restore := onWrite(d, func(off int64) error {
			if off >= metaEnd {
				if writes++; writes > at {
					struck = true
					return full
				}
			}
			return nil
		})
		err := d.Commit(many(2))
		restore()
		if !struck {
			if at < 2 || err != nil {
				t.Fatalf("a commit of %d pages: %v", at, err)
			}
			d.Close()
			return
		}
		if !errors.Is(err, env.ErrNoSpace) || !d.Usable() {
			t.Fatalf("page %d: %v, usable %t", at, err, d.Usable())
		}
		if n, index := keys(t, d); n != 500 || index != "1" {
			t.Fatalf("page %d: %d keys, index %s", at, n, index)
		}
		if at%2 == 0 { // the process dies
			d.Close()
			if d, err = Open(fsys, dir, options()); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Commit(many(2)); err != nil {
			t.Fatalf("page %d, with space: %v", at, err)
		}
		if n, index := keys(t, d); n != 1000 || index != "2" {
			t.Fatalf("page %d, with space: %d keys, index %s", at, n, index)
		}
		d.Close()
	}
}

// What is staged needs no more space to become the state: an installation that has begun comes to its end.
func TestSwitchOnAFullDisk(t *testing.T) {
	fsys := newFS(t)
	d := mustCreate(t, fsys, put(Meta, "index", "1"))
	var content bytes.Buffer
	if _, err := copyTo(d, &content); err != nil {
		t.Fatal(err)
	}
	fsys.SetCapacity(fsys.Used())
	if _, err := Stage(fsys, dir, options(), bytes.NewReader(content.Bytes())); !errors.Is(err, env.ErrNoSpace) {
		t.Fatalf("staged on a full disk: %v", err)
	}
	fsys.SetCapacity(memfs.Unlimited)
	staged, err := Stage(fsys, dir, options(), &content)
	if err != nil {
		t.Fatal(err)
	}
	fsys.SetCapacity(fsys.Used())
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if d, err = staged.Switch(); err != nil {
		t.Fatal(err)
	}
	d.Close()
}

// A meta page that was written says nothing of whether it is durable: the handle is over, full disk or not.
func TestFullDiskAtTheMetaPage(t *testing.T) {
	d := mustCreate(t, newFS(t), nil)
	defer d.Close()
	metaEnd := int64(metaPages * os.Getpagesize())
	hook := writeHook(d)
	write := *hook
	*hook = func(p []byte, off int64) (int, error) {
		n, err := write(p, off)
		if off < metaEnd {
			return n, syscall.ENOSPC
		}
		return n, err
	}
	if err := d.Commit(many(1)); !errors.Is(err, env.ErrNoSpace) || d.Usable() {
		t.Fatalf("%v, usable %t", err, d.Usable())
	}
	*hook = write
	if err := d.Commit(many(2)); err == nil {
		t.Fatal("a batch was taken by a handle that failed")
	}
}
