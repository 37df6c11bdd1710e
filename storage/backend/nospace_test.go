package backend

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"unsafe"

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
		if !errors.Is(err, env.ErrNoSpace) {
			t.Fatalf("page %d: %v", at, err)
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

// A meta page may be there in part or whole when its write, or the sync behind it, finds the disk full. Only when the write
// found it is the page that shows in the cache, or does not, proof of what is on the disk.
func TestFullDiskAtTheMetaPage(t *testing.T) {
	write := &os.PathError{Op: "write", Path: "db", Err: syscall.ENOSPC}
	for _, c := range []struct {
		name    string
		written int // bytes of the meta page
		err     error
		goesOn  bool
	}{
		{"nothing written", 0, write, true},
		{"its header written", 40, write, true},
		{"all written", 4096, write, false},
		{"all written, sync failed", 4096, syscall.ENOSPC, false},
		{"sync failed, and the page fell out of the cache", 0, syscall.ENOSPC, false},
	} {
		d := mustCreate(t, newFS(t), put(Meta, "index", "0"))
		hook := writeHook(d)
		real := *hook
		*hook = func(p []byte, off int64) (int, error) {
			if off >= int64(metaPages*os.Getpagesize()) {
				return real(p, off)
			}
			n, _ := real(p[:min(c.written, len(p))], off)
			return n, c.err
		}
		err := d.Commit(many(1))
		if err == nil || errors.Is(err, env.ErrNoSpace) != c.goesOn {
			t.Errorf("%s: %v", c.name, err)
		}
		*hook = real
		if err := d.Commit(many(2)); (err == nil) != c.goesOn {
			t.Errorf("%s, then with space: %v", c.name, err)
		}
		d.Close()
	}
}

// The sync of the pages is no different: it may have failed for pages of which nobody knows.
func TestFullDiskAtTheSync(t *testing.T) {
	d := mustCreate(t, newFS(t), nil)
	defer d.Close()
	restore := onWrite(d, func(int64) error { return syscall.ENOSPC }) // as fdatasync does, which bbolt calls itself
	err := d.Commit(many(1))
	restore()
	if err == nil || errors.Is(err, env.ErrNoSpace) || d.Commit(many(1)) == nil {
		t.Fatalf("%v, and the handle goes on", err)
	}
}

// bbolt keeps only the text of an error from growing its file.
func TestFullDiskAtTheGrowth(t *testing.T) {
	fsys := newFS(t)
	d := mustCreate(t, fsys, nil)
	defer d.Close()
	file, err := os.Open(d.bolt.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	held := (**os.File)(unsafe.Pointer(reflect.ValueOf(d.bolt).Elem().FieldByName("file").UnsafeAddr()))
	real := *held
	d.bolt.NoGrowSync = false
	*held = file // not writable: it cannot grow
	err = d.Commit(many(1))
	*held = real
	if err == nil || !strings.Contains(err.Error(), growthFailed) || refusedForSpace(err) {
		t.Fatalf("growing a file that cannot be written: %v", err)
	}
	full := &os.PathError{Op: "truncate", Path: "db", Err: syscall.ENOSPC}
	if !refusedForSpace(fmt.Errorf("commit: "+growthFailed+"%s", full)) {
		t.Fatal("a file that cannot grow for want of space")
	}
}
