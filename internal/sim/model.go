package sim

import (
	"fmt"
	"maps"
	"slices"
	"sort"

	"github.com/cespare/xxhash/v2"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/watch"
)

// model is the store as it should be: a plain replay of the committed log, for the commands that the workload sends. It
// keeps every revision for ever.
type model struct {
	index    uint64            // of the last entry replayed
	hashes   map[uint64]uint64 // index -> hash of its entry
	done     map[apply.RequestID]bool
	epochs   map[uint64]uint64 // newest boot epoch seen of a member: commands of older ones are refused
	revision int64
	compact  int64               // revision of the newest compaction, -1 before the first
	keys     map[string][]change // per key, by revision
	changes  map[int64][]change  // by revision, in order
	leases   map[int64]*modelLease
	// ended is told of the end of a lease: whether a leader's command did it, and at which revision its keys were gone, 0 if
	// it had none.
	ended func(id int64, byLeader bool, revision int64)
}

type modelLease struct {
	seconds int64
	keys    map[string]bool
}

// change is what happened to a key at a revision.
type change struct {
	revision int64
	sub      int64 // place within the revision
	key      string
	value    string
	deleted  bool
	created  int64 // revision at which the key came to be
	lease    int64
}

func newModel() *model {
	return &model{
		index: 1, revision: 1, compact: -1, // as a new cluster starts
		hashes: map[uint64]uint64{}, done: map[apply.RequestID]bool{}, epochs: map[uint64]uint64{},
		keys: map[string][]change{}, changes: map[int64][]change{}, leases: map[int64]*modelLease{},
	}
}

func (c change) String() string {
	if c.deleted {
		return "deletion of " + c.key
	}
	return fmt.Sprintf("put of %s=%s", c.key, c.value)
}

// firstIn returns the first change that a watcher wants from one place in the history on, up to a revision.
func (m *model) firstIn(spec *watch.Spec, from, sub, to int64) (change, bool) {
	for r := from; r <= to; r++ {
		for _, c := range m.changes[r] {
			if r == from && c.sub < sub {
				continue
			}
			if (c.deleted && !spec.Has(watch.NoDelete) || !c.deleted && !spec.Has(watch.NoPut)) && spec.Contains(c.key) {
				return c, true
			}
		}
	}
	return change{}, false
}

// at returns the newest change of a key that is not newer than a revision; false if the key is not there then.
func (m *model) at(key string, revision int64) (change, bool) {
	h := m.keys[key]
	i := sort.Search(len(h), func(i int) bool { return h[i].revision > revision })
	if i == 0 || h[i-1].deleted {
		return change{}, false
	}
	return h[i-1], true
}

// record makes a revision of changes.
func (m *model) record(changes ...change) {
	m.revision++
	for i := range changes {
		c := &changes[i]
		c.revision, c.sub, c.created = m.revision, int64(i), m.revision
		if before, ok := m.at(c.key, m.revision); ok {
			c.created = before.created
			if l := m.leases[before.lease]; l != nil {
				delete(l.keys, c.key)
			}
		}
		if l := m.leases[c.lease]; l != nil {
			l.keys[c.key] = true
		}
		m.keys[c.key] = append(m.keys[c.key], *c)
	}
	m.changes[m.revision] = changes
}

// put makes the change of a put, unless its lease does not exist.
func (m *model) put(r *pb.PutRequest) {
	if r.Lease == 0 || m.leases[r.Lease] != nil {
		m.record(change{key: string(r.Key), value: string(r.Value), lease: r.Lease})
	}
}

// revoke ends a lease: its keys go in order, in one revision.
func (m *model) revoke(id int64, byLeader bool) {
	l := m.leases[id]
	if l == nil {
		return
	}
	var gone []change
	for _, key := range slices.Sorted(maps.Keys(l.keys)) {
		gone = append(gone, change{key: key, deleted: true})
	}
	revision := int64(0)
	if len(gone) > 0 {
		m.record(gone...)
		revision = m.revision
	}
	delete(m.leases, id)
	m.ended(id, byLeader, revision)
}

func (m *model) replay(e *raftpb.Entry) error {
	m.index = e.GetIndex()
	if len(e.GetData()) == 0 {
		return nil
	}
	commands, err := apply.DecodeBatch(e.GetData())
	if err != nil {
		return err
	}
	for _, c := range commands {
		if c.IsCheck() || m.done[c.ID] || c.ID.Epoch < m.epochs[c.ID.Member] {
			continue
		}
		m.done[c.ID], m.epochs[c.ID.Member] = true, c.ID.Epoch
		if c.Term != 0 && c.Term != e.GetTerm() {
			continue
		}
		r := &pb.InternalRaftRequest{}
		if err := proto.Unmarshal(c.Request, r); err != nil {
			return err
		}
		switch {
		case r.Put != nil:
			m.put(r.Put)
		case r.LeaseGrant != nil:
			if m.leases[r.LeaseGrant.ID] == nil {
				m.leases[r.LeaseGrant.ID] = &modelLease{seconds: r.LeaseGrant.TTL, keys: map[string]bool{}}
			}
		case r.LeaseRevoke != nil:
			m.revoke(r.LeaseRevoke.ID, c.Term != 0)
		case r.DeleteRange != nil:
			key := string(r.DeleteRange.Key)
			if _, ok := m.at(key, m.revision); ok {
				m.record(change{key: key, deleted: true})
			}
		case r.Compaction != nil:
			if at := r.Compaction.Revision; at <= m.revision {
				m.compact = max(m.compact, at)
			}
		case r.Txn != nil:
			m.txn(r.Txn)
		}
	}
	return nil
}

// txn carries out a transaction: all that it reads can be read, and what it puts has a lease, or nothing happens.
func (m *model) txn(r *pb.TxnRequest) {
	for _, c := range r.Compare {
		if !m.holds(c) {
			return
		}
	}
	for _, op := range r.Success {
		if at := op.GetRequestRange().GetRevision(); at != 0 && (at > m.revision || at < m.compact) {
			return
		}
	}
	var all []change
	for _, op := range r.Success {
		if put := op.GetRequestPut(); put != nil {
			if put.Lease != 0 && m.leases[put.Lease] == nil {
				return
			}
			all = append(all, change{key: string(put.Key), value: string(put.Value), lease: put.Lease})
		}
	}
	m.record(all...)
}

// holds evaluates the compares that clients here use.
func (m *model) holds(c *pb.Compare) bool {
	now, _ := m.at(string(c.Key), m.revision)
	if c.Target == pb.Compare_CREATE {
		return now.created == c.GetCreateRevision()
	}
	return now.revision == c.GetModRevision()
}

// applied takes what a node applied. The first node to reach an index feeds the model; all others must have applied the
// same entry there.
func (c *checker) applied(n *node, entries []*raftpb.Entry) {
	for _, e := range entries {
		index, hash := e.GetIndex(), xxhash.Sum64(e.GetData())^e.GetTerm()
		if first, ok := c.model.hashes[index]; ok {
			if first != hash {
				c.w.violation("node %d applied another entry at index %d than a node before it", n.index+1, index)
			}
			continue
		}
		if index != c.model.index+1 {
			c.w.violation("node %d applied index %d, and nobody has applied index %d", n.index+1, index, c.model.index+1)
			return
		}
		c.model.hashes[index] = hash
		if err := c.model.replay(e); err != nil {
			c.w.violation("entry %d: %v", index, err)
			return
		}
	}
}

// answersFit holds every answer against the model at the answer's revision.
func (c *checker) answersFit() {
	for _, o := range c.w.load.ops {
		if o.kind == opPast && o.pastRefused() &&
			slices.ContainsFunc(c.model.keys[o.key], func(made change) bool { return made.value == o.value }) {
			c.w.violation("%s of %s=%s was refused: %v, but the log has it", o.kind, o.key, o.value, o.err)
			return
		}
		if !o.acked {
			continue
		}
		if why := c.model.contradicts(o); why != "" {
			c.w.violation("%s of %s=%.40s was answered at revision %d, but %s", o.kind, o.key, o.value, o.revision, why)
			return
		}
	}
}

// contradicts says what the log tells against an answer, or "".
func (m *model) contradicts(o *operation) string {
	now, found := m.at(o.key, o.revision)
	var made change
	if all := m.changes[o.revision]; len(all) == 1 { // of the clients' own writes, each makes one change
		made = all[0]
	}
	wrote := made.key == o.key && !made.deleted && made.value == o.value
	switch {
	case o.revision > m.revision:
		return "no such revision is in the log"
	case (o.kind == opPut || o.kind == opUnique || o.kind == opAttach || o.kind == opPast || o.swapped && o.kind != opMany) && !wrote:
		return "the log made another change there"
	case o.kind == opPast:
		if then, ok := m.at(o.pastKey, o.past); !o.excused && (o.found != ok || o.modRevision != then.revision || o.got != then.value) {
			return fmt.Sprintf("what it read of %s at %d is not what was there", o.pastKey, o.past)
		}
	case o.kind == opMany:
		all := m.changes[o.revision]
		if len(all) != o.puts {
			return fmt.Sprintf("the log made %d changes there, not %d", len(all), o.puts)
		}
		for i, c := range all {
			if c.key != manyKey(o.key, i) || c.value != o.value {
				return "the log made another change there"
			}
		}
	case o.kind == opTake && !o.swapped && !found:
		return "nobody had the lock"
	case o.kind == opGuarded:
		if lock, _ := m.at(o.lock, o.revision); o.swapped != (lock.created == o.expected) {
			return fmt.Sprintf("the lock guarded by revision %d was made at %d then", o.expected, lock.created)
		}
	case o.kind == opSwap && !o.swapped && now.revision == o.expected:
		return "the key was as the compare wanted it"
	case o.kind == opDelete && o.deleted && !(made.key == o.key && made.deleted):
		return "the log deleted nothing there"
	case o.kind == opDelete && !o.deleted && found:
		return "the key was there"
	case o.kind == opGet && (o.found != found || o.modRevision != now.revision || o.got != now.value):
		return "the read saw something else than was there"
	}
	return ""
}
