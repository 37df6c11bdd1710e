package memfs

import (
	"errors"
	"io"
	"io/fs"
	"os" //determinism:ok mapped files are real ones, for bbolt; one goroutine, nobody else in the directory
	"path/filepath"

	"github.com/quorumkv/quorumkv/internal/env"
)

// MapPath returns the place of a mapped file below the real directory given to New and creates its parents. It panics
// when there is no such directory, since the caller has no other way on.
func (m *FS) MapPath(name string) string {
	if m.mapRoot == "" {
		panic("memfs: MapPath " + name + ": no directory for mapped files was given to New")
	}
	p := m.realPath(name)
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		panic("memfs: MapPath " + name + ": " + err.Error())
	}
	return p
}

func (m *FS) realPath(name string) string { return filepath.Join(m.mapRoot, filepath.FromSlash(name)) }

// openMapped gives plain access to a mapped file. Its syncs are real and its crashes are not modelled here.
func (m *FS) openMapped(name string) (env.File, error) {
	if m.mapRoot == "" {
		return nil, pathError(OpOpen, name, fs.ErrNotExist)
	}
	f, err := os.OpenFile(m.realPath(name), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &mappedFile{m: m, f: f, name: name}, nil
}

// renameMapped moves a mapped file or directory, if one has that name.
func (m *FS) renameMapped(oldName, newName string) (bool, error) {
	if !m.hasMapped(oldName) {
		return false, nil
	}
	return true, os.Rename(m.realPath(oldName), m.MapPath(newName))
}

func (m *FS) removeMapped(name string) (bool, error) {
	if !m.hasMapped(name) {
		return false, nil
	}
	return true, os.Remove(m.realPath(name))
}

func (m *FS) hasMapped(name string) bool {
	if m.mapRoot == "" {
		return false
	}
	_, err := os.Lstat(m.realPath(name))
	return err == nil
}

// listMapped lists the mapped names of a directory and says whether that directory exists on the real side.
func (m *FS) listMapped(name string) (names []string, exists bool, err error) {
	if m.mapRoot == "" {
		return nil, false, nil
	}
	entries, err := os.ReadDir(m.realPath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, true, nil
}

// copyMapped copies all mapped files. It panics on failure: a crash image that lacks them is no image.
func (m *FS) copyMapped(to string) {
	if m.mapRoot == "" {
		return
	}
	if to == "" {
		panic("memfs: CrashClone: no directory for the mapped files")
	}
	if err := os.CopyFS(to, os.DirFS(m.mapRoot)); err != nil {
		panic("memfs: CrashClone: copy mapped files: " + err.Error())
	}
}

// unlockMapped gives the mapped files new inodes. A process that dies lets go of its file locks; one that a [Crash] ended
// in the middle of opening a file leaves a handle that holds one.
func (m *FS) unlockMapped() {
	if m.mapRoot == "" {
		return
	}
	err := filepath.WalkDir(m.mapRoot, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(name)
		if err == nil {
			err = os.Remove(name)
		}
		if err == nil {
			err = os.WriteFile(name, content, 0o600)
		}
		return err
	})
	if err != nil {
		panic("memfs: ProcessCrash: unlock mapped files: " + err.Error())
	}
}

// mappedFile is an open mapped file.
type mappedFile struct {
	m    *FS
	f    *os.File
	name string
}

var _ io.ReaderAt = (*mappedFile)(nil)

func (f *mappedFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.m.step(Op{OpRead, f.name, off, len(p)}); err != nil {
		return 0, err
	}
	return f.f.ReadAt(p, off)
}

func (f *mappedFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.m.step(Op{OpWrite, f.name, off, len(p)}); err != nil {
		return 0, err
	}
	return f.f.WriteAt(p, off)
}

func (f *mappedFile) Sync() error {
	if err := f.m.step(Op{Kind: OpSync, Name: f.name}); err != nil {
		return err
	}
	return f.f.Sync()
}

func (f *mappedFile) Size() (int64, error) {
	if err := f.m.step(Op{Kind: OpSize, Name: f.name}); err != nil {
		return 0, err
	}
	info, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Forget does nothing: the real file is on a RAM disk.
func (f *mappedFile) Forget(int64, int64) {}

// Close closes the real file even on a dead FS, so that simulated crashes do not leak descriptors.
func (f *mappedFile) Close() error {
	err := f.m.step(Op{Kind: OpClose, Name: f.name})
	return errors.Join(err, f.f.Close())
}

// rotMapped is Rot for a mapped file, which nobody may have open.
func (m *FS) rotMapped(name string, off int64, n int, change func(p []byte)) {
	f, err := os.OpenFile(m.realPath(name), os.O_RDWR, 0)
	if err == nil {
		p := make([]byte, n)
		_, err = f.ReadAt(p, off)
		change(p)
		if err == nil {
			_, err = f.WriteAt(p, off)
		}
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		panic("memfs: rot " + name + ": " + err.Error())
	}
}

func (m *FS) peekMapped(name string) []byte {
	p, err := os.ReadFile(m.realPath(name))
	if err != nil {
		panic("memfs: peek " + name + ": " + err.Error())
	}
	return p
}
