package memfs

const (
	sectorSize = 512
	pageSize   = 1024
)

type page [pageSize]byte

// cell is one page of a file in its two states.
//
// Invariant: a page is written in place only while it is now's alone, that is while now != disk. A page that disk
// points to is never modified, so clones may share it.
type cell struct {
	now  *page // what the program sees; nil reads as zeros
	disk *page // what is durable; nil reads as zeros
	// dirty has a bit for each sector that the next Sync will make durable.
	dirty uint8
	// lost has a bit for each sector where now and disk differ for good: a failed Sync or a lost write. A Sync after the
	// sector was written again clears it.
	lost uint8
	// bad has a bit for each sector that the device cannot read. Writing the sector again clears it.
	bad uint8
}

// inode is a file without its name.
type inode struct {
	size     int64
	diskSize int64
	cells    []cell // by page number; shorter than the file when the rest is zeros
	touched  []int  // page numbers with dirty sectors, each once
	// early holds, for some sectors that were written more than once since the last Sync, one version in between. A
	// real disk may have taken any of them.
	early map[int64]*[sectorSize]byte
}

func (n *inode) cell(i int) *cell {
	for len(n.cells) <= i {
		n.cells = append(n.cells, cell{})
	}
	return &n.cells[i]
}

// read copies [off, off+len(p)) as the program sees it. The caller has clipped the range to the size.
func (n *inode) read(p []byte, off int64) {
	for len(p) > 0 {
		i, at := int(off/pageSize), int(off%pageSize)
		k := min(len(p), pageSize-at)
		if i < len(n.cells) && n.cells[i].now != nil {
			copy(p[:k], n.cells[i].now[at:])
		} else {
			clear(p[:k])
		}
		p, off = p[k:], off+int64(k)
	}
}

// spoil makes the sectors of a range unreadable.
func (n *inode) spoil(off int64, length int) {
	for s := off / sectorSize; s*sectorSize < off+int64(length); s++ {
		n.cell(int(s / (pageSize / sectorSize))).bad |= 1 << (s % (pageSize / sectorSize))
	}
}

// readable tells whether the device can read all of a range.
func (n *inode) readable(off int64, length int) bool {
	for s := off / sectorSize; s*sectorSize < off+int64(length); s++ {
		i := int(s / (pageSize / sectorSize))
		if i < len(n.cells) && n.cells[i].bad&(1<<(s%(pageSize/sectorSize))) != 0 {
			return false
		}
	}
	return true
}

// write stores p at off. With lost set the sectors never become durable. pick says which intermediate versions to
// remember.
func (n *inode) write(p []byte, off int64, lost bool, pick func() bool) {
	n.size = max(n.size, off+int64(len(p)))
	for len(p) > 0 {
		i, at := int(off/pageSize), int(off%pageSize)
		k := min(len(p), pageSize-at)
		n.writePage(i, at, p[:k], lost, pick)
		p, off = p[k:], off+int64(k)
	}
}

func (n *inode) writePage(i, at int, p []byte, lost bool, pick func() bool) {
	if (i >= len(n.cells) || n.cells[i] == cell{}) && allZero(p) {
		return // zeros over zeros: a preallocated file stays free
	}
	c := n.cell(i)
	mask := sectorMask(at, len(p))
	c.bad &^= mask
	for s := range pageSize / sectorSize {
		if mask&c.dirty&(1<<s) != 0 && pick() {
			n.keepEarly(i, s, c.now)
		}
	}
	if c.now == c.disk { // shared, or both nil
		fresh := new(page)
		if c.disk != nil {
			*fresh = *c.disk
		}
		c.now = fresh
	}
	copy(c.now[at:], p)
	if lost {
		c.lost |= mask &^ c.dirty
		return
	}
	n.markDirty(i, mask)
}

func (n *inode) markDirty(i int, mask uint8) {
	c := &n.cells[i]
	if c.dirty == 0 && mask != 0 {
		n.touched = append(n.touched, i)
	}
	c.dirty |= mask
}

func (n *inode) keepEarly(page, sector int, from *page) {
	if n.early == nil {
		n.early = make(map[int64]*[sectorSize]byte)
	}
	v := new([sectorSize]byte)
	if from != nil {
		copy(v[:], from[sector*sectorSize:])
	}
	n.early[int64(page)*(pageSize/sectorSize)+int64(sector)] = v
}

// truncate empties the file in place and gives it a new size. The old content is gone for the program, not yet for the
// disk.
func (n *inode) truncate(size int64) {
	for i := range n.cells {
		c := &n.cells[i]
		c.bad = 0
		if c.now != nil || c.disk != nil {
			// A page of its own, so that the invariant of cell holds when disk is nil.
			c.now = new(page)
			n.markDirty(i, 0xff)
		}
	}
	n.size = size
}

// sync makes the dirty sectors and the size durable.
func (n *inode) sync() {
	for _, i := range n.touched {
		n.settle(i, n.cells[i].dirty)
	}
	n.touched = n.touched[:0]
	n.early = nil
	n.diskSize = n.size
}

// failSync is a Sync that returned an error: the kernel tried to write each dirty sector once, and forgets that those
// it could not write were dirty.
func (n *inode) failSync(keep func() bool) {
	for _, i := range n.touched {
		dirty := n.cells[i].dirty
		var kept uint8
		for s := range pageSize / sectorSize {
			if bit := uint8(1) << s; dirty&bit != 0 && keep() {
				kept |= bit
			}
		}
		n.settle(i, kept)
		n.cells[i].lost |= dirty &^ kept
	}
	n.touched = n.touched[:0]
	n.early = nil
	if keep() {
		n.diskSize = n.size
	}
}

// settle moves the sectors of mask from now to disk; the page has no dirty sectors afterwards.
func (n *inode) settle(i int, mask uint8) {
	c := &n.cells[i]
	c.lost &^= mask
	stale := (c.dirty &^ mask) | c.lost
	c.dirty = 0
	if stale == 0 {
		c.disk = c.now
		return
	}
	c.disk = mix(c.disk, c.now, mask)
}

// mix returns a new page with the sectors of mask taken from b, the others from a.
func mix(a, b *page, mask uint8) *page {
	out := new(page)
	if a != nil {
		*out = *a
	}
	for s := range pageSize / sectorSize {
		if mask&(1<<s) == 0 {
			continue
		}
		lo, hi := s*sectorSize, (s+1)*sectorSize
		if b != nil {
			copy(out[lo:hi], b[lo:hi])
		} else {
			clear(out[lo:hi])
		}
	}
	return out
}

// sectorMask has a bit for each sector that [at, at+n) of a page touches.
func sectorMask(at, n int) uint8 {
	first, last := at/sectorSize, (at+n-1)/sectorSize
	var mask uint8
	for s := first; s <= last; s++ {
		mask |= 1 << s
	}
	return mask
}

func allZero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
