package backend

import (
	"errors"
	"strings"
	"testing"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

// TestCondemnedIsKept condemns one generation after the other: none is opened again, and the last is kept.
func TestCondemnedIsKept(t *testing.T) {
	fsys := memfs.New(1, t.TempDir())
	o := Options{MapBytes: 1 << 20, NoSync: true}
	for _, reason := range []string{"first", "second"} {
		db, err := Create(fsys, "state", o, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(Condemn(fsys, "state", reason), db.Close()); err != nil {
			t.Fatal(err)
		}
		// Every start that finds it condemns it once more, and says why it was in the first place.
		for range 2 {
			_, err := Open(fsys, "state", o)
			if !errors.Is(err, ErrDamaged) || errors.Is(err, ErrSuspect) || !strings.Contains(err.Error(), reason) {
				t.Fatalf("condemned state opened: %v", err)
			}
			if _, err := OpenReadOnly(fsys, "state"); !errors.Is(err, ErrDamaged) {
				t.Fatalf("condemned state opened for reading: %v", err)
			}
			if err := Condemn(fsys, "state", "again"); err != nil {
				t.Fatal(err)
			}
		}
	}
	db, err := Create(fsys, "state", o, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	names, err := fsys.List("state")
	if err != nil || strings.Join(names, " ") != "0000000000000003 CURRENT damaged" {
		t.Errorf("left are %v, %v", names, err)
	}
	f, err := fsys.Open("state/damaged/condemned")
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	n, _ := f.ReadAt(b, 0)
	if string(b[:n]) != "second\n" {
		t.Errorf("evidence is of %q", b[:n])
	}
}

// TestCondemnWithoutDirectory condemns a generation whose directory is gone: there is nothing left to open or to keep, and
// that must not keep a node from starting.
func TestCondemnWithoutDirectory(t *testing.T) {
	fsys := memfs.New(1, t.TempDir())
	o := Options{MapBytes: 1 << 20, NoSync: true}
	db, err := Create(fsys, "state", o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Close(), removeDirectory(fsys, "state/0000000000000001")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(fsys, "state", o); !errors.Is(err, ErrDamaged) {
		t.Fatalf("a state without its directory: %v", err)
	}
	if err := Condemn(fsys, "state", "gone"); err != nil {
		t.Error(err)
	}
}
