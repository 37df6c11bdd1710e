package check

import (
	"maps"
	"slices"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// replicas holds what each member has in the end against the model, and the members against each other.
func (c *checker) replicas() {
	for _, member := range slices.Sorted(maps.Keys(c.h.Dumps)) {
		if c.store.known {
			c.dump(member, c.h.Dumps[member])
		}
	}
	type state struct{ revision, compact int64 }
	first := map[state]history.Hash{}
	for _, h := range c.h.Hashes {
		at := state{h.Revision, h.Compact}
		other, ok := first[at]
		if !ok {
			first[at] = h
		} else if other.Hash != h.Hash {
			c.broken(ReplicasAgree, nil, nil,
				"%s and %s have the hashes %08x and %08x of their history up to revision %d, compacted at %d", other.Member,
				h.Member, other.Hash, h.Hash, h.Revision, h.Compact)
		}
	}
	c.look(ReplicasAgree, "%d hashes of whole histories, and the keys of %d of %d members", len(c.h.Hashes), len(c.h.Dumps),
		len(c.h.Members))
}

// dump holds the keys of one member against the model: a key that it should have and has not, or as it was before, is a lost
// write; one that it should not have is none of the store's history.
func (c *checker) dump(member string, keys []history.Event) {
	held := map[string]history.Event{}
	for _, e := range keys {
		held[e.Key] = e
	}
	for _, key := range slices.Sorted(maps.Keys(c.store.keys)) {
		want, found, _ := c.store.at(key, c.h.Last)
		got, has := held[key]
		delete(held, key)
		ops := []*history.Op{c.maker(want)}
		switch {
		case found && !has:
			c.broken(NoLostWrite, ops, []history.Event{want}, "%s has no key %s in the end, the store's history has the %s", member, key,
				change(want))
		case !found && has:
			c.broken(NoInventedWrite, ops, []history.Event{want, got}, "%s has the key %s in the end, %s, and the store's history the %s",
				member, key, full(got), change(want))
		case !found:
		case got.Revision < want.Revision:
			c.broken(NoLostWrite, ops, []history.Event{want, got}, "%s has %s in the end as of the %s, and the store's history has the %s",
				member, key, full(got), full(want))
		case got.Revision > want.Revision || got.Value != want.Value:
			c.broken(NoInventedWrite, append(ops, c.writers[got.Value]), []history.Event{want, got},
				"%s has %s in the end as of the %s, and the store's history ends with the %s", member, key, full(got), full(want))
		case !same(want, got):
			c.broken(ReplicasAgree, ops, []history.Event{want, got}, "%s has %s in the end as %s, and the store's history as %s", member,
				key, full(got), full(want))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(held)) {
		if e := held[key]; !c.store.compacted {
			c.broken(NoInventedWrite, []*history.Op{c.writers[e.Value]}, []history.Event{e},
				"%s has the key %s in the end, %s, and the store's history has no change of it", member, key, full(e))
		}
	}
}
