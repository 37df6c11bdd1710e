package memfs

import (
	"errors"
	iofs "io/fs"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"
)

// node is an inode or a dir.
type node any

// dir is a directory in its two states.
type dir struct {
	now  map[string]node
	disk map[string]node
	// pending lists the changes of now since the last SyncDir, oldest first. A crash keeps some of them.
	pending []change
}

// change sets a name, or removes it when to is nil.
type change struct {
	name string
	to   node
}

func newDir() *dir {
	return &dir{now: map[string]node{}, disk: map[string]node{}}
}

func (d *dir) set(name string, to node) {
	d.pending = append(d.pending, change{name, to})
	if to == nil {
		delete(d.now, name)
	} else {
		d.now[name] = to
	}
}

func (d *dir) sync() {
	for _, c := range d.pending {
		if c.to == nil {
			delete(d.disk, c.name)
		} else {
			d.disk[c.name] = c.to
		}
	}
	d.pending = nil
}

// used is the sum of the sizes of the files below d.
func (d *dir) used() uint64 {
	var sum uint64
	//determinism:ok a sum of integers, and used changes nothing
	for _, n := range d.now {
		switch n := n.(type) {
		case *dir:
			sum += n.used()
		case *inode:
			sum += uint64(n.size)
		}
	}
	return sum
}

// split returns a name's elements; the root has none.
func split(name string) ([]string, error) {
	clean := path.Clean(name)
	if name == "" || clean == "." {
		return nil, nil
	}
	if clean == ".." || strings.HasPrefix(clean, "../") || strings.HasPrefix(clean, "/") {
		return nil, iofs.ErrInvalid
	}
	return strings.Split(clean, "/"), nil
}

var (
	errIsDir    = errors.New("is a directory")
	errNotDir   = errors.New("not a directory")
	errNotEmpty = errors.New("directory not empty")
)

// walk finds the node of a name.
func (m *FS) walk(name string) (node, error) {
	elems, err := split(name)
	if err != nil {
		return nil, err
	}
	var n node = m.root
	for _, e := range elems {
		d, ok := n.(*dir)
		if !ok {
			return nil, errNotDir
		}
		if n, ok = d.now[e]; !ok {
			return nil, iofs.ErrNotExist
		}
	}
	return n, nil
}

func (m *FS) walkDir(name string) (*dir, error) {
	n, err := m.walk(name)
	if err != nil {
		return nil, err
	}
	d, ok := n.(*dir)
	if !ok {
		return nil, errNotDir
	}
	return d, nil
}

// parent finds the directory that holds a name, and the name's last element.
func (m *FS) parent(name string) (*dir, string, error) {
	clean := path.Clean(name)
	if elems, err := split(clean); err != nil || len(elems) == 0 {
		return nil, "", iofs.ErrInvalid
	}
	d, err := m.walkDir(path.Dir(clean))
	return d, path.Base(clean), err
}

func pathError(kind Kind, name string, err error) error {
	if err == nil {
		return nil
	}
	return &iofs.PathError{Op: string(kind), Path: name, Err: err}
}

// Rename moves a file or directory, replacing a file of the new name.
func (m *FS) Rename(oldName, newName string) error {
	if err := m.step(Op{Kind: OpRename, Name: oldName}); err != nil {
		return err
	}
	return pathError(OpRename, oldName, m.rename(oldName, newName))
}

func (m *FS) rename(oldName, newName string) error {
	mapped, err := m.renameMapped(oldName, newName)
	if err != nil {
		return err
	}
	err = m.renameInMemory(oldName, newName)
	if mapped && errors.Is(err, iofs.ErrNotExist) {
		return nil
	}
	return err
}

func (m *FS) renameInMemory(oldName, newName string) error {
	from, oldBase, err := m.parent(oldName)
	if err != nil {
		return err
	}
	n, ok := from.now[oldBase]
	if !ok {
		return iofs.ErrNotExist
	}
	to, newBase, err := m.parent(newName)
	if err != nil {
		return err
	}
	if from == to && oldBase == newBase {
		return nil
	}
	if _, isDir := to.now[newBase].(*dir); isDir {
		return errIsDir
	}
	to.set(newBase, n)
	from.set(oldBase, nil)
	return nil
}

// Remove deletes a file or an empty directory. An open file lives on, nameless, until closed.
func (m *FS) Remove(name string) error {
	if err := m.step(Op{Kind: OpRemove, Name: name}); err != nil {
		return err
	}
	return pathError(OpRemove, name, m.remove(name))
}

func (m *FS) remove(name string) error {
	p, base, err := m.parent(name)
	if err != nil && !errors.Is(err, iofs.ErrNotExist) {
		return err
	}
	var n node
	if p != nil {
		n = p.now[base]
	}
	if d, ok := n.(*dir); ok && len(d.now) > 0 {
		return errNotEmpty
	}
	mapped, err := m.removeMapped(name)
	if err != nil {
		return err
	}
	if n != nil {
		p.set(base, nil)
	} else if !mapped {
		return iofs.ErrNotExist
	}
	return nil
}

// List returns the names in a directory, mapped files included, sorted.
func (m *FS) List(name string) ([]string, error) {
	if err := m.step(Op{Kind: OpList, Name: name}); err != nil {
		return nil, err
	}
	names, mappedDir, err := m.listMapped(name)
	if err != nil {
		return nil, pathError(OpList, name, err)
	}
	d, err := m.walkDir(name)
	if err != nil && !(mappedDir && errors.Is(err, iofs.ErrNotExist)) {
		return nil, pathError(OpList, name, err)
	}
	if d != nil {
		for e := range d.now {
			names = append(names, e)
		}
	}
	sort.Strings(names)
	return slices.Compact(names), nil
}

// PeekDir returns the names of the files in a directory that are not mapped, sorted; nil if there is none. Like Peek it is
// not an operation.
func (m *FS) PeekDir(name string) []string {
	d, err := m.walkDir(name)
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(d.now))
}

// MkdirAll creates a directory and its parents. Each new name is durable after SyncDir of the directory above it.
func (m *FS) MkdirAll(name string) error {
	if err := m.step(Op{Kind: OpMkdir, Name: name}); err != nil {
		return err
	}
	elems, err := split(name)
	if err != nil {
		return pathError(OpMkdir, name, err)
	}
	d := m.root
	for _, e := range elems {
		n, ok := d.now[e]
		if !ok {
			n = newDir()
			d.set(e, n)
		}
		if d, ok = n.(*dir); !ok {
			return pathError(OpMkdir, name, errNotDir)
		}
	}
	return nil
}

// SyncDir makes the names in a directory durable, not the files behind them.
func (m *FS) SyncDir(name string) error {
	if err := m.step(Op{Kind: OpSyncDir, Name: name}); err != nil {
		return err
	}
	d, err := m.walkDir(name)
	if err != nil {
		return pathError(OpSyncDir, name, err)
	}
	d.sync()
	return nil
}
