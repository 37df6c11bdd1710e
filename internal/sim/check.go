package sim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/raft/v3"

	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// checker holds what must be true, looked at while the run goes on and at its end.
//
//   - one leader per term, as the nodes themselves report it
//   - term, commit and applied never go back within one life
//   - equal history hash, and as many bytes that are not compacted, at equal applied index, whenever two nodes were seen at
//     the same index, but for those that are made to diverge: they are found, nobody else is, they stop serving, do not give
//     their state away, and are healed
//   - linearizability, exactly: entries applied at an index are the same on every node and go through a reference model
//     once; every answer must be the model's at the answer's revision, and of two operations of which one ended before
//     the other began, the later must not have the lower revision
//   - every acknowledged write is in the store in the end, under its revision; a unique put was applied once
//   - entries of equal index and term are equal, and so are the terms before them (log matching), in all that is sent
//   - no node votes twice in a term, or acknowledges in an older term than before, whatever crashes lie in between
//   - every file is changed by the lane that owns it, see owner.go
//   - a sample of acknowledgements and votes: what they say is synced on the sender's disk at that moment
//   - every watcher sees every change once and in order, see watchers
//   - leases live as long as was promised and no longer, see leaseChecker
//   - waiting writes stay within their bound
//   - no node finds damage where no disk did any, but for a state that two attempts to open did not survive
//   - no node ends because its disk is full; writes go on soon beside a log that hangs, and once there is space again: see
//     trials
//   - small histories also satisfy porcupine, which knows nothing of revisions
//   - a healthy quorum takes a write while the others stay away
//   - in the end all nodes reach the same index with the same hash and the same dump, within the healing phase
//
// Writes with unknown outcome may or may not appear; the log tells which, and reads are held against it.
type checker struct {
	w       *world
	leaders map[uint64]uint64 // term -> leader
	hashes  map[uint64]uint64 // applied index -> history hash
	sizes   map[uint64]int64  // applied index -> bytes of all that is not compacted
	last    []raftnode.Status // per node, of this life
	lives   []int

	newest  int64 // highest revision in any answer so far
	acked   map[int64]*operation
	probe   *operation // the write that must succeed after healing
	entries map[entryID]entrySeen
	model   *model
	replies int // acknowledgements and votes sent, for sampling
	// promises are what the nodes have said, whatever became of their processes.
	promises []promise
}

func newChecker(w *world) *checker {
	c := &checker{
		w: w, leaders: map[uint64]uint64{}, hashes: map[uint64]uint64{}, sizes: map[uint64]int64{},
		acked: map[int64]*operation{}, entries: map[entryID]entrySeen{}, model: newModel(),
		last: make([]raftnode.Status, w.opt.Nodes), lives: make([]int, w.opt.Nodes), promises: make([]promise, w.opt.Nodes),
	}
	c.model.ended = func(id int64, byLeader bool, revision int64) { w.hold.check.ended(id, byLeader, revision) }
	return c
}

// published looks at every state that a node publishes.
func (c *checker) published(n *node, s raftnode.Status, v *apply.View) {
	// The size of bbolt's file is no part of the trace: it depends on how bbolt walks its maps.
	s.FileBytes, s.FileBytesInUse = 0, 0
	if s != c.last[n.index] || n.life != c.lives[n.index] {
		c.w.trace.event(c.w.queue.now, n.index+1, "state "+s.Role.String(), s.Term, s.Leader, s.Commit, s.Applied, s.HistoryHash)
	}
	if s.Role == raft.StateLeader {
		other, ok := c.leaders[s.Term]
		if ok && other != s.MemberID {
			c.w.violation("nodes %d and %d both lead in term %d", other, s.MemberID, s.Term)
		}
		if !ok {
			c.leaders[s.Term] = s.MemberID
			c.w.count.Elections++
			c.w.hold.elected(n)
		}
	}
	if old := c.last[n.index]; c.lives[n.index] == n.life {
		if s.Role != old.Role {
			c.w.count.RoleChanges[old.Role.String()+" to "+s.Role.String()]++
		}
		if s.Term < old.Term || s.Commit < old.Commit || s.Applied < old.Applied {
			c.w.violation("node %d went back: term %d to %d, commit %d to %d, applied %d to %d", n.index+1,
				old.Term, s.Term, old.Commit, s.Commit, old.Applied, s.Applied)
		}
	}
	if limit := c.w.opt.MaxPending; limit > 0 && s.Pending > limit {
		c.w.violation("node %d holds %d waiting writes, its bound is %d", n.index+1, s.Pending, limit)
	}
	if c.w.count.intact() && s.Damage != "" && !strings.Contains(s.Damage, backend.ErrSuspect.Error()) {
		c.w.violation("node %d takes what a crash left for damage: %s", n.index+1, s.Damage)
	}
	c.last[n.index], c.lives[n.index] = s, n.life
	if s.Applied == 0 {
		return
	}
	if hash, ok := c.hashes[s.Applied]; n.diverged(s.Applied) {
		c.compareTwisted()
		return
	} else if ok && hash != s.HistoryHash {
		c.w.violation("node %d has history hash %x at index %d, another node had %x", n.index+1, s.HistoryHash, s.Applied, hash)
	}
	c.hashes[s.Applied] = s.HistoryHash
	c.compareTwisted()
	if v == nil {
		return
	}
	if v.Index != s.Applied {
		c.w.violation("node %d publishes a view of index %d with applied index %d", n.index+1, v.Index, s.Applied)
	}
	size := v.KV.LiveBytes()
	if other, ok := c.sizes[s.Applied]; ok && size != other {
		c.w.violation("node %d holds %d bytes at index %d, another node held %d", n.index+1, size, s.Applied, other)
	}
	c.sizes[s.Applied] = size
}

// wrote takes an acknowledged write.
func (c *checker) wrote(op *operation, r apply.Response) {
	changed := true
	switch op.kind {
	case opDelete:
		changed = r.DeleteRange.GetDeleted() > 0
	case opSwap, opTake, opGuarded:
		changed = r.Txn.GetSucceeded()
	case opCompact:
		changed = false
	}
	if changed {
		if other, ok := c.acked[op.revision]; ok {
			c.w.violation("revision %d was acknowledged to %s %s=%s and to %s %s=%s", op.revision,
				other.kind, other.key, other.value, op.kind, op.key, op.value)
		}
		c.acked[op.revision] = op
	}
	c.newest = max(c.newest, op.revision)
}

// read takes an answered linearizable read.
func (c *checker) read(op *operation) {
	c.newest = max(c.newest, op.revision)
	if op.found && op.modRevision > op.revision {
		c.w.violation("read of %s at revision %d found mod revision %d", op.key, op.revision, op.modRevision)
	}
	if w := c.acked[op.modRevision]; op.found && w != nil && (w.key != op.key || w.value != op.got) {
		c.w.violation("read of %s found %q with mod revision %d, which was acknowledged to %s=%s", op.key, op.got,
			op.modRevision, w.key, w.value)
	}
}

// realTime checks the order of all answered operations: one that ended before another began must not have the higher
// revision. Only the running maximum of ended operations matters.
func (c *checker) realTime() {
	ops := slices.DeleteFunc(slices.Clone(c.w.load.ops), func(o *operation) bool { return !o.acked })
	byBegin := slices.Clone(ops)
	slices.SortStableFunc(byBegin, func(a, b *operation) int { return compare(a.begin, b.begin) })
	slices.SortStableFunc(ops, func(a, b *operation) int { return compare(a.end, b.end) })
	ended, newest := 0, &operation{}
	for _, op := range byBegin {
		for ended < len(ops) && ops[ended].end < op.begin {
			if ops[ended].revision > newest.revision {
				newest = ops[ended]
			}
			ended++
		}
		if op.revision < newest.revision {
			c.w.violation("%s of %s, begun at %v, answered with revision %d; %s of %s had ended at %v with revision %d",
				op.kind, op.key, op.begin, op.revision, newest.kind, newest.key, newest.end, newest.revision)
			return
		}
	}
}

func compare[T ~int64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// demandProgress starts the second phase: a write must succeed on the core.
func (c *checker) demandProgress() { c.probe = nil }

func (c *checker) progressed() bool {
	var core []*node
	for i, in := range c.w.core {
		if in {
			core = append(core, c.w.nodes[i])
		}
	}
	return c.probed(core)
}

// probed tells whether a write sent after healing has succeeded; it sends one if none is on its way.
func (c *checker) probed(among []*node) bool {
	switch {
	case c.probe == nil:
		c.probe = c.w.load.probe(among)
	case c.probe.acked:
		return true
	case c.probe.end != 0:
		c.probe = c.w.load.probe(among) // refused or timed out: an election may still be on
	}
	return false
}

// converged tells whether the cluster has done, after healing, all that it must do.
func (c *checker) converged() bool {
	if c.w.load.flying > 0 || c.w.hold.flying > 0 || !c.w.hold.check.allGone() ||
		!c.probed(c.w.nodes) || !c.w.watch.caughtUp() {
		return false
	}
	first := c.w.nodes[0].stat
	for _, n := range c.w.nodes {
		if n.raft == nil || n.twist.index > 0 || !n.stat.Ready || n.stat.Applied != first.Applied || n.stat.Applied != n.stat.Commit {
			return false
		}
	}
	return true
}

// final looks at the state after healing.
func (c *checker) final() {
	if c.w.failure != "" {
		return
	}
	if !c.converged() {
		c.w.violation("the cluster did not converge within %v of healing: %s", c.w.opt.Heal, c.describe())
		return
	}
	c.realTime()
	c.answersFit()
	c.crossCheck()
	var dumps [][]byte
	for _, n := range c.w.nodes {
		c.survived(n)
		dumps = append(dumps, c.dump(n))
	}
	for i := range dumps {
		if c.w.failure == "" && !bytes.Equal(dumps[i], dumps[0]) {
			c.w.violation("node %d holds other data than node 1 at the same index", i+1)
		}
	}
}

// survived finds every acknowledged write in a node's store, unless its revision is compacted.
func (c *checker) survived(n *node) {
	kv := n.view.KV
	for _, rev := range sortedKeys(c.acked) {
		op := c.acked[rev]
		if op.kind == opUnique {
			res, err := kv.Range([]byte(op.key), nil, mvcc.RangeOptions{})
			if err != nil || len(res.KVs) != 1 || res.KVs[0].Version != 1 || res.KVs[0].ModRevision != rev {
				c.w.violation("node %d: unique key %s, acknowledged at revision %d, now %v (%v)", n.index+1, op.key, rev, res.KVs, err)
				return
			}
		}
		if rev < kv.CompactRevision() || op.kind == opDelete {
			continue
		}
		res, err := kv.Range([]byte(op.key), nil, mvcc.RangeOptions{Revision: rev})
		if err != nil || len(res.KVs) != 1 || res.KVs[0].ModRevision != rev || string(res.KVs[0].Value) != op.value {
			c.w.violation("node %d lost %s of %s=%s, acknowledged at revision %d: found %v (%v)", n.index+1, op.kind, op.key,
				op.value, rev, res.KVs, err)
			return
		}
	}
}

func (c *checker) dump(n *node) []byte {
	res, err := n.view.KV.Range([]byte{0}, []byte{0}, mvcc.RangeOptions{})
	if err != nil {
		c.w.violation("node %d: dump: %v", n.index+1, err)
		return nil
	}
	var b bytes.Buffer
	for _, kv := range res.KVs {
		if kv.Key[0] == 'u' && kv.Version != 1 {
			c.w.violation("node %d: %s was put once and has version %d", n.index+1, kv.Key, kv.Version)
		}
		fmt.Fprintf(&b, "%d %d %d %d %d\n", len(kv.Key), len(kv.Value), kv.CreateRevision, kv.ModRevision, kv.Version)
		b.Write(kv.Key)
		b.Write(kv.Value)
	}
	hash, err := n.view.KV.HashKV(0)
	fmt.Fprintf(&b, "%+v %v %x\n", hash, err, n.view.HistoryHash)
	return b.Bytes()
}

func (c *checker) describe() string {
	var b bytes.Buffer
	for _, n := range c.w.nodes {
		fmt.Fprintf(&b, "node %d: up %v, %s, leader %d, term %d, commit %d, applied %d, last %d, ready %v, restoring %v %s, diverged %t; ",
			n.index+1, n.raft != nil, n.stat.Role, n.stat.Leader, n.stat.Term, n.stat.Commit, n.stat.Applied, n.stat.Last,
			n.stat.Ready, n.stat.Restoring, n.stat.Damage, n.twist.proven)
	}
	fmt.Fprintf(&b, "%d operations in flight", c.w.load.flying)
	return b.String()
}

func sortedKeys[V any](m map[int64]V) []int64 {
	keys := make([]int64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
