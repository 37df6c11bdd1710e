package backend

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"slices"
	"testing"
)

// TestInspect looks at a directory with what crashes leave in it.
func TestInspect(t *testing.T) {
	fsys := newFS(t)
	if err := fsys.MkdirAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(fsys, dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	mustClose(t, mustCreate(t, fsys, put(Key, "a", "1")))
	s, err := Stage(fsys, dir, options(), bytes.NewReader(snapshot(t, "a", "new")))
	if err != nil {
		t.Fatal(err)
	}
	s.db.abandon()
	g := generation{fs: fsys, dir: dir, number: 1}
	if err := writeFile(fsys, g.file(reopeningName), nil); err != nil {
		t.Fatal(err)
	}
	v, err := Inspect(fsys, dir)
	if err != nil {
		t.Fatal(err)
	}
	if v.File != g.file(dbName) || v.Bytes == 0 || v.Attempts != 2 || !slices.Equal(v.Leftovers, []string{s.g.path()}) {
		t.Errorf("got %+v", v)
	}
	if err := Condemn(fsys, dir, "rotten"); err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(fsys, dir); !errors.Is(err, ErrDamaged) {
		t.Errorf("condemned: %v", err)
	}
	if err := fsys.Remove(g.file(condemnedName)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(g.osPath(), 100); err != nil {
		t.Fatal(err)
	}
	if v, err := Inspect(fsys, dir); !errors.Is(err, ErrDamaged) || v.File != g.file(dbName) {
		t.Errorf("cut off: %+v, %v", v, err)
	}
	if _, err := OpenReadOnly(fsys, dir); !errors.Is(err, ErrDamaged) {
		t.Errorf("open it cut off: %v", err)
	}
}

// TestOpenReadOnly reads and copies without changing a byte, and refuses to commit.
func TestOpenReadOnly(t *testing.T) {
	fsys := newFS(t)
	mustClose(t, mustCreate(t, fsys, put(Key, "a", "1")))
	path := generation{fs: fsys, dir: dir, number: 1}.osPath()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := OpenReadOnly(fsys, dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := content(t, d); got != "key/a=1\n" {
		t.Errorf("content %q", got)
	}
	var out bytes.Buffer
	if _, err := copyTo(d, &out); err != nil || !bytes.Contains(out.Bytes(), []byte("a1")) {
		t.Errorf("copy of %d bytes: %v", out.Len(), err)
	}
	if err := d.Commit(put(Key, "b", "2")); err == nil {
		t.Error("it takes a batch")
	}
	mustClose(t, d)
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file was changed (%v)", err)
	}
}

// TestCheckPages finds keys out of order, which the checksums of values cannot show.
func TestCheckPages(t *testing.T) {
	fsys := newFS(t)
	d := mustCreate(t, fsys, nil)
	b := &Batch{}
	for i := byte(0); i < 100; i++ {
		b.Put(Key, []byte{'k', 'e', 'y', i}, bytes.Repeat([]byte{i}, 50))
	}
	if err := d.Commit(b); err != nil {
		t.Fatal(err)
	}
	mustClose(t, d)
	path := generation{fs: fsys, dir: dir, number: 1}.osPath()
	check := func() (faults []error) {
		if err := CheckPages(path, func(err error) { faults = append(faults, err) }); err != nil {
			t.Fatal(err)
		}
		return faults
	}
	if faults := check(); len(faults) != 0 {
		t.Fatalf("a sound file: %v", faults)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(whole, []byte{'k', 'e', 'y', 50})
	whole[at+3] = 99
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if faults := check(); len(faults) == 0 {
		t.Error("keys out of order are not found")
	}
	if err := CheckPages(path+"-none", func(error) {}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
