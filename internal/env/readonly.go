package env

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// ReadOnly is a data directory that nobody uses, for tools that look at it: its FS changes nothing. Close releases it.
type ReadOnly struct {
	FS   FS
	root *os.File // the data directory, locked
}

// OpenReadOnly takes the lock on a data directory, which it shares with other readers, so that what is read does not
// change meanwhile. The error matches ErrInUse if a server holds it, and fs.ErrNotExist if there is no such directory.
func OpenReadOnly(root string) (*ReadOnly, error) {
	path, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("resolve data directory %s: %w", root, err)
	}
	if info, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("look at data directory: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%s is no directory", path)
	}
	dir, err := lockRoot(path, syscall.LOCK_SH)
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", path, err)
	}
	return &ReadOnly{FS: &readOnlyFS{osFS{root: path}}, root: dir}, nil
}

// Close releases the data directory.
func (r *ReadOnly) Close() error {
	if err := r.root.Close(); err != nil {
		return fmt.Errorf("release data directory: %w", err)
	}
	return nil
}

// readOnlyFS is an osFS without its writing half. Files are opened for reading, so that directories without the right
// to write will do.
type readOnlyFS struct{ osFS }

func (f *readOnlyFS) Open(name string) (File, error) {
	p, err := f.resolve("open", name)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(p)
	if err != nil {
		return nil, unreadable(err)
	}
	return &osFile{file}, nil
}

func (f *readOnlyFS) OpenDirect(name string) (File, error) { return f.Open(name) }

func refuse(op, name string) error {
	return &fs.PathError{Op: op, Path: name, Err: fmt.Errorf("the data directory is open for reading only: %w", fs.ErrPermission)}
}

func (f *readOnlyFS) Create(name string, _ int64) (File, error) { return nil, refuse("create", name) }
func (f *readOnlyFS) Reserve(name string, _ int64) error        { return refuse("reserve", name) }
func (f *readOnlyFS) Rename(oldName, _ string) error            { return refuse("rename", oldName) }
func (f *readOnlyFS) Remove(name string) error                  { return refuse("remove", name) }
func (f *readOnlyFS) MkdirAll(dir string) error                 { return refuse("mkdir", dir) }
func (f *readOnlyFS) SyncDir(dir string) error                  { return refuse("syncdir", dir) }
