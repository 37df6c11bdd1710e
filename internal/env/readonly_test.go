package env

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestReadOnlyRefusesToWrite tries every operation that would change something.
func TestReadOnlyRefusesToWrite(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReadOnly(root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_, created := r.FS.Create("b", 1)
	for name, err := range map[string]error{
		"create": created, "reserve": r.FS.Reserve("b", 1), "rename": r.FS.Rename("a", "b"), "remove": r.FS.Remove("a"),
		"mkdir": r.FS.MkdirAll("d"), "syncdir": r.FS.SyncDir(""),
	} {
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f, err := r.FS.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("a file can be written to")
	}
	if b, err := os.ReadFile(filepath.Join(root, "a")); err != nil || string(b) != "content" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	if names, err := r.FS.List(""); err != nil || len(names) != 1 {
		t.Errorf("the directory holds %v, %v", names, err)
	}
}

// TestReadOnlyLock shares the directory with readers and with nobody else.
func TestReadOnlyLock(t *testing.T) {
	root := t.TempDir()
	server, err := NewOS(root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenReadOnly(root); !errors.Is(err, ErrInUse) {
		t.Errorf("beside a server: %v", err)
	}
	server.Close()
	first, err := OpenReadOnly(root)
	if err != nil {
		t.Fatal(err)
	}
	second, err := OpenReadOnly(root)
	if err != nil {
		t.Fatalf("beside another reader: %v", err)
	}
	if _, err := NewOS(root); !errors.Is(err, ErrInUse) {
		t.Errorf("a server beside readers: %v", err)
	}
	if err := errors.Join(first.Close(), second.Close()); err != nil {
		t.Fatal(err)
	}
	if server, err = NewOS(root); err != nil {
		t.Fatalf("after the readers: %v", err)
	}
	server.Close()
	if _, err := OpenReadOnly(filepath.Join(root, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}
