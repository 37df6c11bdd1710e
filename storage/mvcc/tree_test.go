package mvcc

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

var treeSeed = flag.Uint64("tree.seed", 0, "the one seed that TestTree runs with; 0: twenty at random")

// TestTree compares a tree with a map after every few changes, and the copies taken on the way once it has gone on. Runs of
// keys in order, forwards and backwards, and of removals make it split, join and share in every place.
func TestTree(t *testing.T) {
	seeds := []uint64{*treeSeed}
	if *treeSeed == 0 {
		seeds = nil
		for range 20 {
			seeds = append(seeds, rand.Uint64())
		}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Logf("again: go test -run TestTree ./storage/mvcc -tree.seed=%d", seed)
			testTree(t, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

func testTree(t *testing.T, rng *rand.Rand) {
	type held struct {
		tree  tree
		model map[string]*item
	}
	var copies []held
	var tr tree
	now := int64(0) // each change has its own
	model := map[string]*item{}
	keys := 1 + rng.IntN(5000)
	tr.loading = rng.IntN(2) == 0
	for range 60 {
		start, step, removing := rng.IntN(keys), 1+rng.IntN(3)-2*rng.IntN(2), rng.IntN(2) == 0
		scattered := rng.IntN(2) == 0
		for i := range rng.IntN(keys) {
			n := ((start+i*step)%keys + keys) % keys
			if scattered {
				n = rng.IntN(keys)
			}
			key := fmt.Sprintf("%06d", n)
			now++
			if removing {
				if got, want := tr.remove(key), model[key] != nil; got != want {
					t.Fatalf("remove %s: %t, want %t", key, got, want)
				}
				delete(model, key)
				continue
			}
			if was := model[key]; was != nil && rng.IntN(4) == 0 {
				model[key] = &item{created: was.created, version: now, lease: now}
				tr.replace(key, model[key])
				continue
			}
			tr.put(key, i%2 == 0, func(was entry) *item {
				if was.it != model[key] || was.key != key {
					t.Fatalf("put %s finds %v, want %v", key, was, model[key])
				}
				it := &item{created: now, version: now}
				if was.it != nil {
					it.created, it.lease = was.it.created, was.it.lease
				}
				model[key] = it
				return it
			})
		}
		if tr.loading {
			tr.loaded()
			if tr.root != nil {
				fits(t, tr.root)
			}
		}
		sameTree(t, &tr, model, rng, keys, func(got, want *item) bool { return got == want })
		if rng.IntN(3) == 0 {
			copies = append(copies, held{tr.copy(), maps.Clone(model)})
		}
	}
	for _, c := range copies {
		sameTree(t, &c.tree, c.model, rng, keys, seenByCopy)
	}
}

// seenByCopy compares the history that a copy has of a key with the one it had at first, which may have grown since: created is the
// change that put the key there, lease the last one that replaced its history.
func seenByCopy(got, want *item) bool {
	return got == want || got != nil && want != nil && got.created == want.created && got.lease == want.lease && got.version > want.version
}

// fits checks that no node has more room than it is given when it grows.
func fits(t *testing.T, n *node) {
	t.Helper()
	if len(n.entries) > 0 && cap(n.entries) > roomFor(len(n.entries)) {
		t.Fatalf("a node with %d entries has room for %d", len(n.entries), cap(n.entries))
	}
	for _, c := range n.children {
		fits(t, c)
	}
}

// sameTree reads a tree in every way and looks at its form.
func sameTree(t *testing.T, tr *tree, model map[string]*item, rng *rand.Rand, keys int, same func(got, want *item) bool) {
	t.Helper()
	if tr.root != nil {
		wellFormed(t, tr.root)
	}
	sorted := slices.Sorted(maps.Keys(model))
	if tr.len() != len(sorted) {
		t.Fatalf("%d keys, want %d", tr.len(), len(sorted))
	}
	for range 20 {
		key := fmt.Sprintf("%06d", rng.IntN(keys+1))[:4+rng.IntN(3)]
		if got := tr.get(key); !same(got.it, model[key]) {
			t.Fatalf("get %q: %v, want %v", key, got, model[key])
		}
		at, _ := slices.BinarySearch(sorted, key)
		if got := tr.rank(key); got != at {
			t.Fatalf("rank of %q is %d, want %d", key, got, at)
		}
		c := tr.seek(key)
		for i := 0; i < 50 && at < len(sorted); i, at = i+1, at+1 {
			if !c.more() || c.entry().key != sorted[at] || !same(c.entry().it, model[sorted[at]]) {
				t.Fatalf("seek %q does not come to %q", key, sorted[at])
			}
			c.next()
		}
		if at == len(sorted) && c.more() {
			t.Fatalf("seek %q ends with %q", key, c.entry().key)
		}
	}
	n := 0
	for c := tr.seek(""); c.more(); c.next() {
		if n == len(sorted) || c.entry().key != sorted[n] || !same(c.entry().it, model[sorted[n]]) {
			t.Fatalf("key %d is %q", n, c.entry().key)
		}
		n++
	}
	if n != len(sorted) {
		t.Fatalf("%d keys in order, want %d", n, len(sorted))
	}
}

// wellFormed returns the height of a subtree after looking at its counts and sizes.
func wellFormed(t *testing.T, n *node) int {
	t.Helper()
	count, height := len(n.entries), 0
	if len(n.entries) > maxEntries || len(n.entries) == 0 {
		t.Fatalf("node with %d entries", len(n.entries))
	}
	if n.children != nil && len(n.children) != len(n.entries)+1 {
		t.Fatalf("%d entries, %d children", len(n.entries), len(n.children))
	}
	for i, c := range n.children {
		count += c.count
		h := wellFormed(t, c)
		if i > 0 && h != height {
			t.Fatalf("children %d and %d high", height, h)
		}
		height = h
	}
	if n.count != count {
		t.Fatalf("count %d, want %d", n.count, count)
	}
	return height + 1
}

// TestTreeInOrder has keys come in order, as they mostly do: the nodes must be nearly full.
func TestTreeInOrder(t *testing.T) {
	const keys = 10_000
	var tr tree
	for i := range keys {
		tr.put(fmt.Sprintf("%06d", i), true, func(entry) *item { return &item{} })
		if i%7 == 0 {
			tr.copy()
		}
	}
	room := 0
	var visit func(n *node)
	visit = func(n *node) {
		room += cap(n.entries)
		for _, c := range n.children {
			visit(c)
		}
	}
	visit(tr.root)
	if most := keys * 11 / 10; room > most {
		t.Errorf("room for %d entries, want at most %d for %d keys", room, most, keys)
	}
}

// A row of the index costs its place there and nothing else: what every put allocates besides, millions would hold.
func TestRowsAllocateNothing(t *testing.T) {
	var w row
	rev, size := Revision{Main: 1 << 40, Sub: 1 << 20}, 1<<20
	if n := testing.AllocsPerRun(100, func() { w = newRow(rev, size, false) }); n != 0 || w.revision() != rev {
		t.Errorf("%v allocations for row %v", n, w)
	}
}

// TestOverwritesCopyNothing puts keys that are there: views do not make that cost a node.
func TestOverwritesCopyNothing(t *testing.T) {
	const keys = 10_000
	var tr tree
	key := func(i int) string { return fmt.Sprintf("%06d", i) }
	for i := range keys {
		tr.put(key(i), true, func(entry) *item { return &item{} })
	}
	some, it := key(keys/3), &item{}
	if n := testing.AllocsPerRun(100, func() {
		tr.copy()
		tr.put(some, false, func(entry) *item { return it })
	}); n > 0 {
		t.Errorf("%v allocations to put a key that is there", n)
	}
}
