package env

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
)

const (
	dirMode  = 0o700
	fileMode = 0o600
)

// osFS is the operating system's FS below one directory.
type osFS struct{ root string }

// resolve turns a name into a path. Names that leave the root are refused; symbolic links are followed, so that an
// operator may place a directory on another disk.
func (f *osFS) resolve(op, name string) (string, error) {
	local := filepath.FromSlash(path.Clean(name))
	if !filepath.IsLocal(local) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return filepath.Join(f.root, local), nil
}

func (f *osFS) Open(name string) (File, error) {
	file, err := f.open(name)
	if err != nil {
		return nil, err
	}
	return &osFile{file}, nil
}

// OpenDirect goes past the page cache where that can be done.
func (f *osFS) OpenDirect(name string) (File, error) {
	file, err := f.open(name)
	if err != nil {
		return nil, err
	}
	d, err := openDirect(file)
	switch {
	case err != nil:
		return nil, errors.Join(err, file.Close())
	case d == nil:
		return &osFile{file}, nil
	}
	return d, nil
}

func (f *osFS) open(name string) (*os.File, error) {
	p, err := f.resolve("open", name)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(p, os.O_RDWR, 0)
	return file, unreadable(err)
}

// Create reserves the space and then really writes the zeros: a reserved block that was never written is still marked
// unwritten, and turning the mark is a metadata change that every later fdatasync would pay for. Nothing is durable
// until the caller syncs. A file that could not be made whole is removed, so that it does not sit on the last of the
// space.
func (f *osFS) Create(name string, size int64) (File, error) {
	p, err := f.resolve("create", name)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(p, os.O_RDWR|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return nil, noSpace(err)
	}
	if err := fill(file, size); err != nil {
		file.Close()
		os.Remove(p)
		return nil, noSpace(fmt.Errorf("preallocate %s: %w", p, err))
	}
	return &osFile{file}, nil
}

// Reserve needs no zeros where the system can reserve blocks without them.
func (f *osFS) Reserve(name string, size int64) error {
	p, err := f.resolve("reserve", name)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(p, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return noSpace(err)
	}
	if err = reserve(file, size); err == nil {
		var st os.FileInfo
		if st, err = file.Stat(); err == nil && st.Size() < size {
			err = fill(file, size)
		}
	}
	if err = errors.Join(err, file.Close()); err != nil {
		os.Remove(p)
		return noSpace(fmt.Errorf("reserve %s: %w", p, err))
	}
	return nil
}

func fill(file *os.File, size int64) error {
	if size <= 0 {
		return nil
	}
	if err := reserve(file, size); err != nil {
		return err
	}
	if done, err := fillDirect(file, size); done || err != nil {
		return err
	}
	for off := int64(0); off < size; {
		n, err := file.WriteAt(zeros[:min(size-off, directChunk)], off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

func (f *osFS) Rename(oldName, newName string) error {
	from, err := f.resolve("rename", oldName)
	if err != nil {
		return err
	}
	to, err := f.resolve("rename", newName)
	if err != nil {
		return err
	}
	return noSpace(os.Rename(from, to))
}

func (f *osFS) Remove(name string) error {
	p, err := f.resolve("remove", name)
	if err != nil {
		return err
	}
	return os.Remove(p)
}

func (f *osFS) List(dir string) ([]string, error) {
	p, err := f.resolve("list", dir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(p) // sorted
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (f *osFS) MkdirAll(dir string) error {
	p, err := f.resolve("mkdir", dir)
	if err != nil {
		return err
	}
	return noSpace(os.MkdirAll(p, dirMode))
}

func (f *osFS) SyncDir(dir string) error {
	p, err := f.resolve("syncdir", dir)
	if err != nil {
		return err
	}
	return syncDir(p)
}

func syncDir(p string) error {
	d, err := os.Open(p)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (f *osFS) Free(dir string) (uint64, error) {
	st, err := f.statfs(dir)
	return uint64(st.Bavail) * uint64(st.Bsize), err
}

func (f *osFS) Capacity(dir string) (uint64, error) {
	st, err := f.statfs(dir)
	return uint64(st.Blocks) * uint64(st.Bsize), err
}

func (f *osFS) statfs(dir string) (st syscall.Statfs_t, err error) {
	p, err := f.resolve("statfs", dir)
	if err != nil {
		return st, err
	}
	for {
		switch err := syscall.Statfs(p, &st); err {
		case nil:
			return st, nil
		case syscall.EINTR:
		default:
			return syscall.Statfs_t{}, &fs.PathError{Op: "statfs", Path: p, Err: err}
		}
	}
}

// MapPath has no error to return, so a name that would leave the root is bent back into it.
func (f *osFS) MapPath(name string) string {
	return filepath.Join(f.root, filepath.FromSlash(path.Clean("/"+name)))
}

// osFile is an os.File with our notion of Sync and of a full disk.
type osFile struct{ file *os.File }

func (f *osFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.file.ReadAt(p, off)
	return n, unreadable(err)
}

// WriteAt reports a full disk as ErrNoSpace only when nothing was written: a write cut in the middle is a failed write
// like any other.
func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.file.WriteAt(p, off)
	if err != nil && n == 0 {
		err = noSpace(err)
	}
	return n, err
}

// Sync never returns ErrNoSpace, even if that is what the volume said (delayed allocation, quotas): something was
// written, and it is unknown how much of it is on the disk.
func (f *osFile) Sync() error {
	if err := datasync(f.file); err != nil {
		return &fs.PathError{Op: "sync", Path: f.file.Name(), Err: err}
	}
	return nil
}

func (f *osFile) Forget(off, length int64) { forget(f.file, off, length) }

func (f *osFile) Size() (int64, error) {
	st, err := f.file.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f *osFile) Close() error { return f.file.Close() }

// unreadable adds ErrUnreadable to what the system says about a sector, or about a file system's own records, that the
// device does not give back as they were written.
func unreadable(err error) error {
	for _, e := range unreadableErrors {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w", ErrUnreadable, err)
		}
	}
	return err
}

// noSpace adds ErrNoSpace to what the system says about a full volume or an exhausted quota.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

// control runs a system call on file's descriptor, again when a signal cut it short, and keeps the descriptor open
// meanwhile.
func control(file *os.File, call func(fd int) error) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var callErr error
	err = conn.Control(func(fd uintptr) {
		for {
			if callErr = call(int(fd)); callErr != syscall.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return callErr
}
