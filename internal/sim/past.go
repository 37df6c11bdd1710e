package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// Clients also read the past: around the compact revision, where history ends, and a little into the future. On one node
// that is a serializable range of all keys at a revision. Within a transaction that writes, whether it may be read decides
// about the write, on nodes that nobody waits for an answer from, too.

// pastTxn is a transaction that puts a pair if a revision can be read.
func (l *workload) pastTxn(op *operation) *pb.InternalRaftRequest {
	op.past = max(1, l.w.check.newest-compactBehind-10+l.rng.Int64N(compactBehind+15))
	op.pastKey = fmt.Sprintf("k%d", l.rng.IntN(l.w.opt.Keys))
	look := &pb.RangeRequest{Key: []byte(op.pastKey), Revision: op.past}
	put := &pb.PutRequest{Key: []byte(op.key), Value: []byte(op.value)}
	return &pb.InternalRaftRequest{Txn: &pb.TxnRequest{Success: []*pb.RequestOp{
		{Request: &pb.RequestOp_RequestRange{RequestRange: look}}, {Request: &pb.RequestOp_RequestPut{RequestPut: put}},
	}}}
}

// pastSeen takes what a transaction read.
func (op *operation) pastSeen(r apply.Response) {
	if kvs := r.Txn.GetResponses()[0].GetResponseRange().GetKvs(); len(kvs) == 1 {
		op.found, op.modRevision, op.got = true, kvs[0].ModRevision, string(kvs[0].Value)
	}
}

// pastRefused tells whether the transaction was answered that its revision cannot be read: then it has done nothing.
func (op *operation) pastRefused() bool {
	return errors.Is(op.err, mvcc.ErrCompacted) || errors.Is(op.err, mvcc.ErrFutureRevision)
}

// readPast reads all keys of clients on one node, at once and from whatever it has applied, and holds that against the model.
func (l *workload) readPast(n *node) {
	if n.view == nil || !n.stat.Ready || n.paused || n.diverged(n.view.Index) {
		return
	}
	kv := n.view.KV
	compact := max(1, kv.CompactRevision())
	at := compact + l.rng.Int64N(3) - 1
	if l.rng.IntN(2) == 0 {
		at = compact + l.rng.Int64N(kv.Revision()-compact+3)
	}
	res, err := kv.Range([]byte("k"), []byte("l"), mvcc.RangeOptions{Revision: max(1, at)})
	switch m := l.w.check.model; {
	case n.foundDamage(err), errors.Is(err, mvcc.ErrStaleView):
	case errors.Is(err, mvcc.ErrFutureRevision) && at > kv.Revision():
	case errors.Is(err, mvcc.ErrCompacted) && at < m.compact:
	case err != nil:
		l.w.violation("node %d: read at revision %d: %v; it is at revision %d, compacted at %d, the log at %d", n.index+1, at,
			err, kv.Revision(), kv.CompactRevision(), m.compact)
	default:
		l.w.count.PastReads++
		if got, want := pairs(res), m.pairsAt(max(1, at)); !slices.Equal(got, want) {
			l.w.violation("node %d: read at revision %d finds %q, the history has %q", n.index+1, at, got, want)
		}
	}
}

func pairs(res mvcc.RangeResult) []string {
	var out []string
	for _, kv := range res.KVs {
		out = append(out, fmt.Sprintf("%s=%s@%d", kv.Key, kv.Value, kv.ModRevision))
	}
	return out
}

// pairsAt lists what clients' own keys held at a revision, in order.
func (m *model) pairsAt(revision int64) []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(m.keys)) {
		if c, ok := m.at(key, revision); ok && key[0] == 'k' {
			out = append(out, fmt.Sprintf("%s=%s@%d", key, c.value, c.revision))
		}
	}
	return out
}
