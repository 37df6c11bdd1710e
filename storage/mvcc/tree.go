package mvcc

import (
	"slices"
	"strings"
	"sync/atomic" //determinism:ok others read while the owner writes, and whether they see the new history changes no answer
	"unsafe"
)

const (
	// maxEntries fills an allocation of Go's to the byte, and keeps nodes small: nearly every put copies the leaf that it
	// changes, once per view.
	maxEntries = 32
	// minEntries is below half of that, so that keys which come and go do not split and join the same nodes for ever.
	minEntries = maxEntries / 4
	// roomStep is by how many entries a node grows. Little is wasted: millions of keys are held.
	roomStep = 4
)

// tree is a B-tree of keys and their histories. Its nodes know how many keys are below them, so that positions are found
// as fast as keys. It belongs to one goroutine, its copies to everybody. The zero value is empty.
type tree struct {
	root *node
	// generation counts the copies taken. Only nodes made since the last one may be changed; others are copied first.
	generation uint64
	// loading is set while very many keys come, one after the other: nodes have room for all that they may hold at once.
	loading bool
}

type entry struct {
	key string
	it  *item
}

// get returns the entry while the owner of the tree may set its history.
func (e *entry) get() entry { return entry{e.key, (*item)(atomic.LoadPointer(e.place()))} }

// set replaces the history while others read it.
func (e *entry) set(it *item) { atomic.StorePointer(e.place(), unsafe.Pointer(it)) }

func (e *entry) place() *unsafe.Pointer { return (*unsafe.Pointer)(unsafe.Pointer(&e.it)) }

// node has one child more than entries, or none. Only a root may be without entries, and never for long.
type node struct {
	generation uint64
	count      int // keys in it and below
	entries    []entry
	children   []*node
}

// copy returns a tree that keeps these keys while t goes on changing; of their histories see put. The copy must not be changed.
func (t *tree) copy() tree {
	t.generation++
	return *t
}

func (t *tree) len() int {
	if t.root == nil {
		return 0
	}
	return t.root.count
}

// search returns the position of the first entry whose key is not below key, and whether it is that key.
func (n *node) search(key string) (int, bool) {
	low, high := 0, len(n.entries)
	for low < high {
		middle := int(uint(low+high) / 2)
		switch c := strings.Compare(n.entries[middle].key, key); {
		case c < 0:
			low = middle + 1
		case c > 0:
			high = middle
		default:
			return middle, true
		}
	}
	return low, false
}

// get returns a key's entry, whose history is nil if there is none.
func (t *tree) get(key string) entry {
	for n := t.root; n != nil; {
		i, found := n.search(key)
		if found {
			return n.entries[i].get()
		}
		if n.children == nil {
			break
		}
		n = n.children[i]
	}
	return entry{}
}

// rank is the number of keys below key.
func (t *tree) rank(key string) int {
	rank := 0
	for n := t.root; n != nil; {
		i, found := n.search(key)
		rank += i
		if n.children == nil {
			break
		}
		for _, c := range n.children[:i] {
			rank += c.count
		}
		if found {
			rank += n.children[i].count
			break
		}
		n = n.children[i]
	}
	return rank
}

// put gives a key the history that next returns, which is told the entry there is, with the tree's own copy of the key; its
// history is nil if the key is new. Copies of the tree may see the new history of a key that they have: it holds what the old one
// does. A key that does not last is copied if it is new.
func (t *tree) put(key string, lasts bool, next func(was entry) *item) {
	if t.root == nil {
		t.root = &node{generation: t.generation}
	}
	n, parted, _ := t.putIn(t.root, key, lasts, next)
	t.root = n
	if parted.right != nil {
		t.root = &node{
			generation: t.generation,
			entries:    []entry{parted.middle},
			children:   []*node{n, parted.right},
		}
		t.root.recount()
	}
}

// parted is what a node lost when it was split: its right neighbour, and the entry that goes between the two. The zero value
// says that it was not.
type parted struct {
	middle entry
	right  *node
}

// putIn is put below n. It returns the node to take n's place, and whether the key is new.
func (t *tree) putIn(n *node, key string, lasts bool, next func(was entry) *item) (own *node, p parted, added bool) {
	i, found := n.search(key)
	switch {
	case found:
		n.entries[i].set(next(n.entries[i]))
		return n, p, false
	case n.children == nil:
		if !lasts {
			key = strings.Clone(key)
		}
		it := next(entry{key: key})
		own = t.own(n)
		own.count++
		return own, t.insert(own, i, entry{key: key, it: it}), true
	}
	child, below, added := t.putIn(n.children[i], key, lasts, next)
	if !added {
		return n, p, false
	}
	own = t.own(n)
	own.children[i] = child
	own.count++
	if below.right != nil {
		own.children = slices.Insert(own.children, i+1, below.right)
		p = t.insert(own, i, below.middle)
	}
	return own, p, true
}

// replace gives a key that is there another history, of which copies of the tree see nothing.
func (t *tree) replace(key string, it *item) {
	t.root = t.own(t.root)
	for n := t.root; ; {
		i, found := n.search(key)
		if found {
			n.entries[i].it = it
			return
		}
		n.children[i] = t.own(n.children[i])
		n = n.children[i]
	}
}

// insert adds an entry to a node that may be changed and has the child for it already, if it has any.
func (t *tree) insert(n *node, i int, e entry) parted {
	if len(n.entries) < maxEntries {
		if len(n.entries) == cap(n.entries) {
			n.entries = t.withRoom(n.entries)
		}
		n.entries = slices.Insert(n.entries, i, e)
		return parted{}
	}
	var room [maxEntries + 1]entry
	all := append(append(append(room[:0], n.entries[:i]...), e), n.entries[i:]...)
	if i < maxEntries {
		return t.split(n, all, len(all)/2)
	}
	// Keys that come in order leave full nodes behind. The next one will be full as well, and need not grow step by step.
	p := t.split(n, all, maxEntries-1)
	p.right.entries = append(make([]entry, 0, maxEntries), p.right.entries...)
	return p
}

// split leaves to n what is before a position among all its entries, and moves what follows to a new node.
func (t *tree) split(n *node, all []entry, at int) parted {
	p := parted{middle: all[at], right: &node{generation: t.generation, entries: t.withRoom(all[at+1:])}}
	n.entries = t.withRoom(all[:at])
	if n.children != nil {
		p.right.children = slices.Clone(n.children[at+1:])
		n.children = slices.Clone(n.children[:at+1])
	}
	n.recount()
	p.right.recount()
	return p
}

// loaded ends loading: no node keeps more room than usual.
func (t *tree) loaded() {
	t.loading = false
	if t.root != nil {
		t.fit(t.root)
	}
}

// fit gives back what nodes do not need.
func (t *tree) fit(n *node) {
	if cap(n.entries) > roomFor(len(n.entries)) {
		n.entries = t.withRoom(n.entries)
	}
	for _, c := range n.children {
		t.fit(c)
	}
}

// remove removes a key. It reports whether it was there.
func (t *tree) remove(key string) bool {
	if t.get(key).it == nil {
		return false
	}
	n := t.own(t.root)
	t.removeIn(n, key)
	switch {
	case len(n.entries) > 0:
		t.root = n
	case n.children != nil:
		t.root = n.children[0]
	default:
		t.root = nil
	}
	return true
}

// removeIn removes a key that is in n or below it; n may be changed.
func (t *tree) removeIn(n *node, key string) {
	n.count--
	i, found := n.search(key)
	switch {
	case n.children == nil:
		n.entries = slices.Delete(n.entries, i, i+1)
		return
	case found: // its place is taken by the key before it
		last := n.children[i]
		for last.children != nil {
			last = last.children[len(last.children)-1]
		}
		n.entries[i] = last.entries[len(last.entries)-1]
		key = n.entries[i].key
	}
	child := t.own(n.children[i])
	n.children[i] = child
	t.removeIn(child, key)
	if len(child.entries) < minEntries {
		t.refill(n, i)
	}
}

// refill joins a child that has become small with one beside it, or shares their entries evenly.
func (t *tree) refill(n *node, i int) {
	i = max(i, 1) // of the right one
	left, right := t.own(n.children[i-1]), n.children[i]
	all := append(append(slices.Clone(left.entries), n.entries[i-1]), right.entries...)
	left.children = append(left.children, right.children...)
	n.children[i-1] = left
	if len(all) <= maxEntries {
		left.entries = t.withRoom(all)
		left.recount()
		n.entries = slices.Delete(n.entries, i-1, i)
		n.children = slices.Delete(n.children, i, i+1)
		return
	}
	p := t.split(left, all, len(all)/2)
	n.entries[i-1], n.children[i] = p.middle, p.right
}

// own returns n if it may be changed, else a copy.
func (t *tree) own(n *node) *node {
	if n.generation == t.generation {
		return n
	}
	return &node{
		generation: t.generation,
		count:      n.count,
		entries:    t.withRoom(n.entries),
		children:   slices.Clone(n.children),
	}
}

func (n *node) recount() {
	n.count = len(n.entries)
	for _, c := range n.children {
		n.count += c.count
	}
}

// withRoom copies entries to a place with room for a few more, while more may be in a node.
func (t *tree) withRoom(entries []entry) []entry {
	room := roomFor(len(entries))
	if t.loading {
		room = maxEntries
	}
	return append(make([]entry, 0, room), entries...)
}

func roomFor(entries int) int { return min((entries/roomStep+1)*roomStep, maxEntries) }

// cursor is a position among the keys of a tree that does not change.
type cursor struct {
	// path leads from the root to the next key. What is left of each node comes after what is left of the nodes behind it.
	path []place
}

type place struct {
	n  *node
	at int
}

// seek returns a cursor at the first key that is not below from.
func (t *tree) seek(from string) cursor {
	c := cursor{path: make([]place, 0, 8)}
	for n := t.root; n != nil; {
		i, found := n.search(from)
		c.path = append(c.path, place{n, i})
		if found || n.children == nil {
			break
		}
		n = n.children[i]
	}
	c.settle()
	return c
}

// settle leaves the nodes that have nothing left.
func (c *cursor) settle() {
	for c.more() {
		if p := c.path[len(c.path)-1]; p.at < len(p.n.entries) {
			return
		}
		c.path = c.path[:len(c.path)-1]
	}
}

// more reports whether the cursor is at a key.
func (c *cursor) more() bool { return len(c.path) > 0 }

// entry returns the key that the cursor is at, and its history.
func (c *cursor) entry() entry {
	p := c.path[len(c.path)-1]
	return p.n.entries[p.at].get()
}

// next goes to the next key.
func (c *cursor) next() {
	p := &c.path[len(c.path)-1]
	p.at++
	if p.n.children != nil {
		for n := p.n.children[p.at]; n != nil; n = n.children[0] {
			c.path = append(c.path, place{n: n})
			if n.children == nil {
				break
			}
		}
	}
	c.settle()
}
