// Package lease owns the set of leases as the log decides it: which exist, with what time to live, and which keys they
// hold. When a lease ends is not known here; that is the business of raftnode, which owns the clock.
//
// A [Set] belongs to one goroutine, the apply lane. It is deterministic: keys come in byte order, leases in order of ids.
//
// What is stored are the leases alone. Which keys they hold follows from the pairs of the key space, so it is gathered
// again at each start ([Set.Attach]) and cannot contradict them.
//
// # Format
//
// Bucket lease, as in etcd:
//
//	key     bytes  content
//	   0        8  id, big endian
//
//	value   bytes  content
//	   0        n  leasepb.Lease, the bytes that etcd stores: ID = 1, TTL = 2 (varints); RemainingTTL = 3 is never
//	               written, and passed over when read
//	   n        1  0x7d: protobuf field 15, fixed32, which etcd skips as unknown
//	 n+1        4  CRC32C of the key and the first n bytes, little endian
//
// How many records there are stands in apply's own record, so a lost one is noticed too.
package lease

import (
	"maps"
	"slices"

	"github.com/tidwall/btree"

	"github.com/quorumkv/quorumkv/internal/invariant"
	"github.com/quorumkv/quorumkv/storage/backend"
)

// MaxTTL is the longest time to live, in seconds, that a lease may be granted, as in etcd.
const MaxTTL = 9_000_000_000

// Lease is what a lease was granted with.
type Lease struct {
	ID int64
	// TTL is in seconds.
	TTL int64
}

// Set is the set of leases.
type Set struct {
	leases btree.Map[int64, *held]
	// changes are the grants and revocations that are not in the state file yet, oldest first: those of the flush under way,
	// sealed many, and then the fresh ones.
	changes []change
	sealed  int
}

// held is a lease with the keys attached to it; keys is nil as long as there are none.
type held struct {
	Lease
	keys map[string]struct{}
}

type change struct {
	Lease
	revoked bool
}

// Len is the number of leases.
func (s *Set) Len() int { return s.leases.Len() }

// Has reports whether a lease exists.
func (s *Set) Has(id int64) bool {
	_, ok := s.leases.Get(id)
	return ok
}

// All lists the leases in order of ids.
func (s *Set) All() []Lease {
	all := make([]Lease, 0, s.leases.Len())
	s.leases.Scan(func(_ int64, h *held) bool {
		all = append(all, h.Lease)
		return true
	})
	return all
}

// Grant adds a lease, which must not exist yet.
func (s *Set) Grant(l Lease) {
	_, exists := s.leases.Set(l.ID, &held{Lease: l})
	invariant.Check(!exists, "lease %x is granted twice", l.ID)
	s.changes = append(s.changes, change{Lease: l})
}

// Revoke removes a lease, which must exist and hold no key any more.
func (s *Set) Revoke(id int64) {
	h, exists := s.leases.Delete(id)
	invariant.Check(exists, "lease %x is revoked and does not exist", id)
	invariant.Check(len(h.keys) == 0, "lease %x is revoked and holds %d keys", id, len(h.keys))
	s.changes = append(s.changes, change{Lease: h.Lease, revoked: true})
}

// Attach makes a lease, if there is one of that id, hold a key. It reports whether there is.
func (s *Set) Attach(id int64, key string) bool {
	h, ok := s.leases.Get(id)
	if !ok {
		return false
	}
	if h.keys == nil {
		h.keys = map[string]struct{}{}
	}
	h.keys[key] = struct{}{}
	return true
}

// Detach makes a lease let go of a key.
func (s *Set) Detach(id int64, key string) {
	h, ok := s.leases.Get(id)
	invariant.Check(ok, "key %q is detached from lease %x, which does not exist", key, id)
	delete(h.keys, key)
	if len(h.keys) == 0 {
		h.keys = nil
	}
}

// Keys lists the keys of a lease in order. ok is false when there is no such lease.
func (s *Set) Keys(id int64) (keys []string, ok bool) {
	h, ok := s.leases.Get(id)
	if !ok {
		return nil, false
	}
	return slices.Sorted(maps.Keys(h.keys)), true
}

// Holds reports whether a lease holds a key.
func (s *Set) Holds(id int64, key string) bool {
	h, ok := s.leases.Get(id)
	if !ok {
		return false
	}
	_, ok = h.keys[key]
	return ok
}

// Fresh is the number of changes that the next Seal makes.
func (s *Set) Fresh() int { return len(s.changes) - s.sealed }

// Seal adds to b what the state file does not hold yet. The set may change at once, but the next Seal comes only after
// Flushed or NotFlushed.
func (s *Set) Seal(b *backend.Batch) {
	for i := range s.changes {
		c := &s.changes[i]
		if c.revoked {
			b.Delete(backend.Lease, recordKey(c.ID))
		} else {
			b.Put(backend.Lease, recordKey(c.ID), c.encode())
		}
	}
	s.sealed = len(s.changes)
}

// Flushed says that the batch of the last Seal was committed.
func (s *Set) Flushed() { s.changes, s.sealed = slices.Clone(s.changes[s.sealed:]), 0 }

// NotFlushed says that the batch of the last Seal was not committed, and never will be: the next one makes its changes again.
func (s *Set) NotFlushed() { s.sealed = 0 }
