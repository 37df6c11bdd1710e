package snap

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"path"

	"github.com/quorumkv/quorumkv/internal/env"
)

func list(fs env.FS, dir string) ([]string, error) {
	names, err := fs.List(dir)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	return names, nil
}

func syncDir(fs env.FS, dir string) error {
	if err := fs.SyncDir(dir); err != nil {
		return fmt.Errorf("sync snapshot directory: %w", err)
	}
	return nil
}

// unfinished is a snapshot file that has not got its name yet.
type unfinished struct {
	fs        env.FS
	dir       string
	tmp, name string
	file      env.File // nil once closed
}

// create makes the file. want is what it is going to need on disk: a lack of space shows before anything is written.
func create(fs env.FS, dir, kind string, m Meta, want int64) (unfinished, error) {
	u := unfinished{fs: fs, dir: dir, name: FileName(dir, m.Index, m.Term)}
	u.tmp = u.name + kind + tmpSuffix
	if err := fs.MkdirAll(dir); err != nil {
		return u, fmt.Errorf("create snapshot directory: %w", err)
	}
	if err := fs.SyncDir(path.Dir(dir)); err != nil {
		return u, fmt.Errorf("sync directory above the snapshots: %w", err)
	}
	free, err := fs.Free(dir)
	if err != nil {
		return u, fmt.Errorf("look for free space: %w", err)
	}
	if want > 0 && free < uint64(want) {
		return u, fmt.Errorf("snapshot at index %d needs %d bytes, %d are free: %w", m.Index, want, free, env.ErrNoSpace)
	}
	if u.file, err = fs.Create(u.tmp, 0); err != nil {
		return u, fmt.Errorf("create snapshot file: %w", err)
	}
	return u, nil
}

func (u *unfinished) writeAt(p []byte, off int64) error {
	if u.file == nil {
		return fmt.Errorf("write snapshot %s: %w", u.name, iofs.ErrClosed)
	}
	if _, err := u.file.WriteAt(p, off); err != nil {
		return fmt.Errorf("write snapshot %s at offset %d: %w", u.name, off, err)
	}
	return nil
}

// publish closes the synced file and gives it its name, durably.
func (u *unfinished) publish() error {
	if err := u.close(); err != nil {
		return err
	}
	if err := u.fs.Rename(u.tmp, u.name); err != nil {
		return fmt.Errorf("rename snapshot: %w", err)
	}
	return syncDir(u.fs, u.dir)
}

func (u *unfinished) sync() error {
	if u.file == nil {
		return fmt.Errorf("sync snapshot %s: %w", u.name, iofs.ErrClosed)
	}
	if err := u.file.Sync(); err != nil {
		return fmt.Errorf("sync snapshot %s: %w", u.name, err)
	}
	return nil
}

func (u *unfinished) close() error {
	if u.file == nil {
		return nil
	}
	file := u.file
	u.file = nil
	if err := file.Close(); err != nil {
		return fmt.Errorf("close snapshot %s: %w", u.name, err)
	}
	return nil
}

// discard closes and removes the file; it may be called at any time, more than once.
func (u *unfinished) discard() error {
	err := u.close()
	if rm := u.fs.Remove(u.tmp); rm != nil && !errors.Is(rm, iofs.ErrNotExist) {
		err = errors.Join(err, fmt.Errorf("remove unfinished snapshot: %w", rm))
	}
	return err
}

// readAt fills p or fails.
func readAt(f io.ReaderAt, p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
