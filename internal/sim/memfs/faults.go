package memfs

import "errors"

// Crash is the panic value for "the machine stopped here". [Catch] receives it.
type Crash struct {
	Op Op // the operation that did not happen any more
}

func (c Crash) String() string { return "memfs: crash before " + c.Op.String() }

// CrashAt returns a hook that panics with a Crash at the n-th operation from now, counting from 1.
func CrashAt(n int) func(Op) error {
	return func(op Op) error {
		n--
		if n == 0 {
			panic(Crash{Op: op})
		}
		return nil
	}
}

// Catch runs f and reports whether a Crash ended it. Other panics pass through.
func Catch(f func() error) (crashed bool, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case Crash:
			crashed = true
		default:
			panic(r)
		}
	}()
	return false, f()
}

// Short is a hook's result for a write that stops half-way: the first N bytes are written, then Err is returned.
type Short struct {
	N   int
	Err error
}

func (s *Short) Error() string { return "short write: " + s.Err.Error() }

func (s *Short) Unwrap() error { return s.Err }

// ErrLost is a hook's result for a write that the device acknowledges and never performs: the program goes on, reads
// show the new bytes until the machine dies, and no Sync makes them durable.
var ErrLost = errors.New("lost write")

// Astray is a hook's result for a write that the device acknowledges and performs elsewhere: what was to be written is
// lost as with [ErrLost], and the sectors that it fills replace those of another place on the disk. The program's reads
// of that place go on to show what it wrote there, until the machine dies or the place is written again.
type Astray struct {
	Name string // the file that is hit, which must exist
	// By is how far from its own place, in whole sectors, the write lands.
	By int64
}

func (a *Astray) Error() string { return "write astray, into " + a.Name }

// LostSectors returns where the sectors of a file begin that reads show and no power cut will leave: those that a lost write, or
// one gone astray, was to fill or has hit. Like Rot it is not an operation.
func (m *FS) LostSectors(name string) []int64 {
	found, err := m.walk(name)
	f, ok := found.(*inode)
	if err != nil || !ok {
		return nil
	}
	var sectors []int64
	for i := range f.cells {
		for s := range pageSize / sectorSize {
			if f.cells[i].lost&(1<<s) != 0 {
				sectors = append(sectors, int64(i)*pageSize+int64(s)*sectorSize)
			}
		}
	}
	return sectors
}

// strike performs a write that went astray.
func (m *FS) strike(src *inode, a *Astray, off int64, n int) {
	found, err := m.walk(a.Name)
	if f, ok := found.(*inode); ok && err == nil {
		f.strike(src, off, n, a.By)
	}
}

// strike puts the sectors of src that a write of n bytes at off has filled into another place on the disk, as far as that
// lies inside the file.
func (f *inode) strike(src *inode, off int64, n int, by int64) {
	for at := off / sectorSize * sectorSize; at < off+int64(n); at += sectorSize {
		to := at + by
		if to < 0 || to+sectorSize > f.size {
			continue
		}
		var p [sectorSize]byte
		src.read(p[:], at)
		i, within := int(to/pageSize), int(to%pageSize)
		c := f.cell(i)
		if c.now == c.disk { // the program goes on to see what is its own
			seen := new(page)
			if c.disk != nil {
				*seen = *c.disk
			}
			c.now = seen
		}
		c.disk = rotted(c.disk, within, p[:])
		c.lost |= sectorMask(within, sectorSize) &^ c.dirty
	}
}
