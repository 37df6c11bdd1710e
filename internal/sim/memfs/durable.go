package memfs

// Durable returns what a power cut at this moment is sure to leave: what was synced and nothing else. Mapped files are
// left out. The original lives on.
func (m *FS) Durable() *FS {
	out := New(0, "")
	out.root = durableDir(m.root)
	return out
}

func durableDir(d *dir) *dir {
	out := newDir()
	//determinism:ok every entry is copied by itself
	for name, n := range d.disk {
		var c node
		switch n := n.(type) {
		case *dir:
			c = durableDir(n)
		case *inode:
			c = n.durable()
		}
		out.now[name], out.disk[name] = c, c
	}
	return out
}

func (n *inode) durable() *inode {
	out := &inode{size: n.diskSize, diskSize: n.diskSize, cells: make([]cell, len(n.cells))}
	for i := range n.cells {
		p := n.cells[i].disk
		out.cells[i] = cell{now: p, disk: p, bad: n.cells[i].bad}
	}
	out.cut()
	for i := range out.cells {
		out.cells[i].now = out.cells[i].disk
	}
	return out
}
