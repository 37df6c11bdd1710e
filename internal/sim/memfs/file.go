package memfs

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"

	"github.com/quorumkv/quorumkv/internal/env"
)

// file is an open file. Several may share an inode.
type file struct {
	m      *FS
	n      *inode
	name   string // as given to Open or Create; a later rename does not change it
	closed bool
}

// Open opens an existing file, in memory or mapped.
func (m *FS) Open(name string) (env.File, error) {
	if err := m.step(Op{Kind: OpOpen, Name: name}); err != nil {
		return nil, err
	}
	n, err := m.walk(name)
	if errors.Is(err, iofs.ErrNotExist) {
		return m.openMapped(name)
	}
	if err != nil {
		return nil, pathError(OpOpen, name, err)
	}
	f, ok := n.(*inode)
	if !ok {
		return nil, pathError(OpOpen, name, errIsDir)
	}
	return &file{m: m, n: f, name: name}, nil
}

// OpenDirect is Open.
func (m *FS) OpenDirect(name string) (env.File, error) { return m.Open(name) }

// Create makes a file, or empties an existing one in place.
func (m *FS) Create(name string, size int64) (env.File, error) {
	op := Op{Kind: OpCreate, Name: name, Len: int(size)}
	if err := m.step(op); err != nil {
		return nil, err
	}
	d, base, err := m.parent(name)
	if err != nil {
		return nil, pathError(OpCreate, name, err)
	}
	n, ok := d.now[base].(*inode)
	if !ok && d.now[base] != nil {
		return nil, pathError(OpCreate, name, errIsDir)
	}
	grow := size
	if ok {
		grow -= n.size
	}
	if err := m.reserve(op, grow); err != nil {
		return nil, err
	}
	if !ok {
		n = new(inode)
		d.set(base, n)
	}
	n.truncate(size)
	return &file{m: m, n: n, name: name}, nil
}

// Reserve is Create for a file that nobody opens.
func (m *FS) Reserve(name string, size int64) error {
	if _, err := m.walk(name); err == nil {
		return nil
	}
	f, err := m.Create(name, size)
	if err != nil {
		return err
	}
	return f.Close()
}

func (f *file) step(op Op) error {
	if f.closed {
		return pathError(op.Kind, f.name, iofs.ErrClosed)
	}
	return f.m.step(op)
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.step(Op{OpRead, f.name, off, len(p)}); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError(OpRead, f.name, iofs.ErrInvalid)
	}
	if off >= f.n.size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	k := int(min(int64(len(p)), f.n.size-off))
	if !f.n.readable(off, k) {
		return 0, pathError(OpRead, f.name, env.ErrUnreadable)
	}
	f.n.read(p[:k], off)
	if k < len(p) {
		return k, io.EOF
	}
	return k, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	op := Op{OpWrite, f.name, off, len(p)}
	err := f.step(op)
	lost := err == ErrLost
	var short *Short
	var astray *Astray
	switch {
	case lost:
	case errors.As(err, &astray):
		lost = true
	case errors.As(err, &short):
		p = p[:min(max(short.N, 0), len(p))]
	case err != nil:
		return 0, err
	}
	if off < 0 {
		return 0, pathError(OpWrite, f.name, iofs.ErrInvalid)
	}
	grow := off + int64(len(p)) - f.n.size
	if f.m.copies {
		grow = int64(len(p))
	}
	if err := f.m.reserve(op, grow); err != nil {
		return 0, err
	}
	if len(p) > 0 {
		f.n.write(p, off, lost, f.m.coin)
	}
	if astray != nil {
		f.m.strike(f.n, astray, off, len(p))
	}
	if short != nil {
		return len(p), fmt.Errorf("%s: %w", op, short.Err)
	}
	return len(p), nil
}

func (f *file) Sync() error {
	if err := f.step(Op{Kind: OpSync, Name: f.name}); err != nil {
		if !errors.Is(err, ErrCrashed) && !f.closed {
			f.n.failSync(f.m.coin)
		}
		return err
	}
	f.n.sync()
	return nil
}

func (f *file) Size() (int64, error) {
	if err := f.step(Op{Kind: OpSize, Name: f.name}); err != nil {
		return 0, err
	}
	return f.n.size, nil
}

// Forget does nothing: Rot shows at once.
func (f *file) Forget(int64, int64) {}

// Close never loses anything: what was written stays in the page cache.
func (f *file) Close() error {
	if err := f.step(Op{Kind: OpClose, Name: f.name}); err != nil {
		return err
	}
	f.closed = true
	return nil
}

func (m *FS) coin() bool { return m.rng.Uint64()&1 == 0 }

// Rot changes what a file holds, now and on disk, behind everyone's back: bit rot. It is not an operation: no hook sees
// it. It panics when the range is not inside the file.
func (m *FS) Rot(name string, off int64, n int, change func(p []byte)) {
	found, err := m.walk(name)
	if errors.Is(err, iofs.ErrNotExist) && m.hasMapped(name) {
		m.rotMapped(name, off, n, change)
		return
	}
	if err != nil {
		panic(fmt.Sprintf("memfs: rot %s: %v", name, err))
	}
	f, ok := found.(*inode)
	if !ok || off < 0 || off+int64(n) > f.size {
		panic(fmt.Sprintf("memfs: rot %s: no bytes [%d,+%d)", name, off, n))
	}
	p := make([]byte, n)
	f.read(p, off)
	change(p)
	for len(p) > 0 {
		i, at := int(off/pageSize), int(off%pageSize)
		k := min(len(p), pageSize-at)
		c := f.cell(i)
		shared := c.now == c.disk
		c.disk = rotted(c.disk, at, p[:k])
		if shared {
			c.now = c.disk
		} else {
			c.now = rotted(c.now, at, p[:k])
		}
		p, off = p[k:], off+int64(k)
	}
}

// Spoil makes the sectors of a range unreadable, for every life to come, until they are written again. A mapped file has no
// such sectors. Like Rot it is not an operation.
func (m *FS) Spoil(name string, off int64, n int) {
	found, err := m.walk(name)
	f, ok := found.(*inode)
	if err != nil || !ok || off < 0 || off+int64(n) > f.size {
		panic(fmt.Sprintf("memfs: spoil %s: no bytes [%d,+%d) in memory (%v)", name, off, n, err))
	}
	f.spoil(off, n)
}

// Readable tells whether a range of a file in memory can be read. Like Peek it is not an operation.
func (m *FS) Readable(name string, off int64, n int) bool {
	found, err := m.walk(name)
	f, ok := found.(*inode)
	return err == nil && ok && f.readable(off, n)
}

func rotted(old *page, at int, p []byte) *page {
	fresh := new(page)
	if old != nil {
		*fresh = *old
	}
	copy(fresh[at:], p)
	return fresh
}

// Peek returns what a program would read from a file, nil if there is none. Like Rot it is not an operation.
func (m *FS) Peek(name string) []byte {
	found, err := m.walk(name)
	if f, ok := found.(*inode); ok && err == nil {
		p := make([]byte, f.size)
		f.read(p, 0)
		return p
	}
	if !m.hasMapped(name) {
		return nil
	}
	return m.peekMapped(name)
}
