package memfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// CrashClone returns what a power cut at this moment may leave. The original lives on unless it was killed, so one run
// can yield any number of crash images. Mapped files are copied as they are now to newMapRoot, an existing empty
// directory; "" when there are none.
func (m *FS) CrashClone(rng *rand.Rand, newMapRoot string) *FS {
	c := &crash{rng: rng}
	out := New(rng.Uint64(), newMapRoot)
	out.capacity, out.copies = m.capacity, m.copies
	out.root = c.dir(m.root)
	m.copyMapped(newMapRoot)
	return out
}

// ProcessCrash kills the FS and returns it as the next process finds it: the kernel still has every write. What was not
// synced can still be lost later. Mapped files stay where they are.
func (m *FS) ProcessCrash() *FS {
	m.dead = true
	m.unlockMapped()
	out := New(m.rng.Uint64(), m.mapRoot)
	out.capacity, out.copies = m.capacity, m.copies
	seen := map[*inode]*inode{}
	out.root = copyDir(m.root, map[*dir]*dir{}, seen)
	return out
}

// crash holds the choices for one image.
type crash struct {
	rng *rand.Rand
}

// share draws how eager the disk was: nothing unsynced survives, everything does, or anything in between. Drawing once
// per file and not once per sector makes both ends, and single missing sectors, likely.
func (c *crash) share() float64 {
	switch c.rng.IntN(6) {
	case 0:
		return 0
	case 1:
		return 1
	case 2:
		return 0.05
	case 3:
		return 0.95
	default:
		return c.rng.Float64()
	}
}

func (c *crash) chance(p float64) bool { return c.rng.Float64() < p }

func (c *crash) dir(d *dir) *dir {
	names := maps.Clone(d.disk)
	for _, ch := range c.survivors(d.pending) {
		if ch.to == nil {
			delete(names, ch.name)
		} else {
			names[ch.name] = ch.to
		}
	}
	out := newDir()
	for _, name := range slices.Sorted(maps.Keys(names)) { // sorted: the order decides who gets which random number
		var n node
		switch old := names[name].(type) {
		case *dir:
			n = c.dir(old)
		case *inode:
			// A crashed rename can leave both names. They become separate files, as a repair of the file system would
			// make them.
			// A file takes one number, however long it is: what becomes of one does not depend on the others.
			n = (&crash{rng: rand.New(rand.NewPCG(c.rng.Uint64(), 0))}).file(old)
		}
		out.now[name] = n
		out.disk[name] = n
	}
	return out
}

// survivors picks the changes of names that reached the disk. A journaling file system keeps a prefix of them; others
// keep, for each name on its own, the state after any of its changes.
func (c *crash) survivors(pending []change) []change {
	if c.chance(0.5) {
		return pending[:c.rng.IntN(len(pending)+1)]
	}
	stop := map[string]bool{}
	share := c.share()
	var kept []change
	for _, ch := range pending {
		if !stop[ch.name] {
			if c.chance(share) {
				kept = append(kept, ch)
			} else {
				stop[ch.name] = true
			}
		}
	}
	return kept
}

func (c *crash) file(n *inode) *inode {
	out := &inode{cells: make([]cell, len(n.cells))}
	for i := range n.cells {
		out.cells[i].disk, out.cells[i].bad = n.cells[i].disk, n.cells[i].bad
	}
	share := c.share()
	tail := c.chance(0.25) // the disk wrote in order and stopped somewhere
	for _, i := range sortedIfNeeded(n.touched) {
		var mask, early uint8
		for s := range pageSize / sectorSize {
			bit := uint8(1) << s
			if n.cells[i].dirty&bit == 0 {
				continue
			}
			if !c.chance(share) {
				if tail {
					share = 0
				}
				continue
			}
			mask |= bit
			if v := n.early[int64(i)*(pageSize/sectorSize)+int64(s)]; v != nil && c.chance(0.3) {
				early |= bit
			}
		}
		if mask == 0 {
			continue
		}
		p := mix(n.cells[i].disk, n.cells[i].now, mask)
		for s := range pageSize / sectorSize {
			if early&(1<<s) != 0 {
				copy(p[s*sectorSize:], n.early[int64(i)*(pageSize/sectorSize)+int64(s)][:])
			}
		}
		out.cells[i].disk = p
	}
	out.size = c.size(n)
	out.cut()
	for i := range out.cells {
		out.cells[i].now = out.cells[i].disk
	}
	out.diskSize = out.size
	return out
}

// size picks the size on disk: the old one, the new one, or one on the way.
func (c *crash) size(n *inode) int64 {
	if n.size == n.diskSize {
		return n.size
	}
	lo, hi := min(n.size, n.diskSize), max(n.size, n.diskSize)
	switch c.rng.IntN(3) {
	case 0:
		return lo
	case 1:
		return hi
	default:
		return lo + c.rng.Int64N(hi-lo+1)
	}
}

// cut drops content beyond the size, so that a file which grows again reads zeros there.
func (n *inode) cut() {
	pages := int((n.size + pageSize - 1) / pageSize)
	if len(n.cells) > pages {
		n.cells = n.cells[:pages:pages]
	}
	if at := int(n.size % pageSize); at != 0 && len(n.cells) == pages {
		c := &n.cells[pages-1]
		if c.disk != nil {
			fresh := new(page)
			copy(fresh[:at], c.disk[:at])
			c.disk = fresh
		}
	}
}

func sortedIfNeeded(touched []int) []int {
	if slices.IsSorted(touched) {
		return touched
	}
	out := slices.Clone(touched)
	slices.Sort(out)
	return out
}

// copyDir copies both states of a directory. Directories and inodes that have several names, or a name in one state
// only, stay one.
func copyDir(d *dir, dirs map[*dir]*dir, files map[*inode]*inode) *dir {
	if out, ok := dirs[d]; ok {
		return out
	}
	out := newDir()
	dirs[d] = out
	clone := func(n node) node {
		switch n := n.(type) {
		case *dir:
			return copyDir(n, dirs, files)
		case *inode:
			if files[n] == nil {
				files[n] = n.copy()
			}
			return files[n]
		}
		return nil
	}
	//determinism:ok each node is copied once, whoever comes first, and copying draws nothing
	for name, n := range d.now {
		out.now[name] = clone(n)
	}
	//determinism:ok as above
	for name, n := range d.disk {
		out.disk[name] = clone(n)
	}
	for _, ch := range d.pending {
		out.pending = append(out.pending, change{ch.name, clone(ch.to)})
	}
	return out
}

// copy duplicates the pages that the program may still write in place and shares the others.
func (n *inode) copy() *inode {
	out := &inode{
		size:     n.size,
		diskSize: n.diskSize,
		cells:    slices.Clone(n.cells),
		touched:  slices.Clone(n.touched),
		early:    maps.Clone(n.early),
	}
	for i := range out.cells {
		if c := &out.cells[i]; c.now != c.disk {
			p := *c.now
			c.now = &p
		}
	}
	return out
}
