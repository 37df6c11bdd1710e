package differential

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// generator makes requests that are likely to meet: few keys, revisions around the present and the compacted one, and now
// and then something invalid.
type generator struct {
	rng       *rand.Rand
	revision  int64 // newest that an answer named
	compacted int64

	asked map[int64]bool // revisions that a compaction was asked for
}

func newGenerator(rng *rand.Rand) *generator {
	return &generator{rng: rng, revision: 1, asked: map[int64]bool{}}
}

// hashRequest asks for HashKV at a revision.
type hashRequest struct{ revision int64 }

// streamRequest is a range to be sent through RangeStream.
type streamRequest struct{ *pb.RangeRequest }

// next returns a *pb.PutRequest, *pb.RangeRequest, *pb.DeleteRangeRequest, *pb.TxnRequest, *pb.CompactionRequest,
// *streamRequest or hashRequest.
func (g *generator) next() any {
	switch n := g.rng.IntN(1000); {
	case n < 280:
		return g.put()
	case n < 560:
		return g.rangeRequest()
	case n < 620:
		return g.stream()
	case n < 720:
		return g.deleteRange()
	case n < 970:
		t := g.txn(2)
		separate(t)
		return t
	case n < 980:
		return g.compaction()
	default:
		return g.hash()
	}
}

// compaction leaves out revision 0, which etcd accepts in a new store: HashKV of the newest revision, which is written 0
// as well, then gets the remembered hash of nothing (see hash).
func (g *generator) compaction() *pb.CompactionRequest {
	r := &pb.CompactionRequest{Revision: g.anyRevision(), Physical: g.chance(3)}
	if r.Revision == 0 {
		r.Revision = 1
	}
	g.asked[r.Revision] = true
	return r
}

// hash leaves out revisions that were compacted at: etcd remembers the hash that it computed before the last ten
// compactions and answers with that, until it restarts.
func (g *generator) hash() hashRequest {
	r := hashRequest{g.anyRevision()}
	if g.asked[r.revision] {
		r.revision = 0
	}
	return r
}

// chance is true once in n.
func (g *generator) chance(n int) bool { return g.rng.IntN(n) == 0 }

var keys = []string{"a", "b", "c", "d", "e", "f", "a/1", "a/2", "a/2/x", "b\x00", "\x00", "\xff", "zz"}

func (g *generator) key() []byte {
	if g.chance(200) {
		return nil
	}
	return []byte(keys[g.rng.IntN(len(keys))])
}

// end is mostly absent.
func (g *generator) end() []byte {
	switch g.rng.IntN(8) {
	case 0, 1, 2:
		return []byte(keys[g.rng.IntN(len(keys))])
	case 3:
		return []byte{0}
	case 4:
		return []byte("a0") // the end of the prefix a/
	default:
		return nil
	}
}

func (g *generator) value() []byte {
	switch g.rng.IntN(10) {
	case 0:
		return nil
	case 1:
		return bytes.Repeat([]byte{'x'}, g.rng.IntN(2000))
	default:
		return fmt.Append(nil, g.rng.IntN(20))
	}
}

// anyRevision is mostly one that exists.
func (g *generator) anyRevision() int64 {
	switch g.rng.IntN(12) {
	case 0:
		return 0
	case 1:
		return -g.rng.Int64N(3)
	case 2:
		return g.revision + g.rng.Int64N(3)
	case 3:
		return g.compacted + g.rng.Int64N(3) - 1
	case 4, 5, 6:
		return g.compacted + g.rng.Int64N(max(g.revision-g.compacted, 1))
	default:
		return max(g.revision-g.rng.Int64N(30), 0)
	}
}

func (g *generator) put() *pb.PutRequest {
	r := &pb.PutRequest{Key: g.key(), Value: g.value(), PrevKv: g.chance(3)}
	if g.chance(10) {
		r.IgnoreValue = true
		if !g.chance(5) {
			r.Value = nil
		}
	}
	r.IgnoreLease = g.chance(15)
	if g.chance(50) {
		r.Lease = g.rng.Int64N(3) - 1 // there are no leases
	}
	return r
}

func (g *generator) deleteRange() *pb.DeleteRangeRequest {
	r := &pb.DeleteRangeRequest{Key: g.key(), PrevKv: g.chance(2)}
	if g.chance(3) {
		r.RangeEnd = g.end()
	}
	return r
}

func (g *generator) rangeRequest() *pb.RangeRequest {
	r := &pb.RangeRequest{Key: g.key(), RangeEnd: g.end(), KeysOnly: g.chance(8), CountOnly: g.chance(8),
		Serializable: g.chance(4)}
	if g.chance(3) {
		r.Limit = g.rng.Int64N(6) - 1
	}
	if g.chance(3) {
		r.Revision = g.anyRevision()
	}
	if g.chance(4) {
		r.SortOrder = pb.RangeRequest_SortOrder(g.rng.IntN(3))
		r.SortTarget = pb.RangeRequest_SortTarget(g.rng.IntN(5))
	}
	if g.chance(100) {
		r.SortTarget = 9
	}
	for _, filter := range []*int64{&r.MinModRevision, &r.MaxModRevision, &r.MinCreateRevision, &r.MaxCreateRevision} {
		if g.chance(16) {
			*filter = g.anyRevision()
		}
	}
	return r
}

// stream leaves out a target without an order: etcd cuts the range after the last key it sent, which is then not the
// greatest, and counts wrongly.
func (g *generator) stream() *streamRequest {
	r := g.rangeRequest()
	if _, known := pb.RangeRequest_SortTarget_name[int32(r.SortTarget)]; known && r.SortOrder == pb.RangeRequest_NONE {
		r.SortTarget = pb.RangeRequest_KEY
	}
	return &streamRequest{r}
}

// txn nests up to so many levels.
func (g *generator) txn(depth int) *pb.TxnRequest {
	t := &pb.TxnRequest{}
	for range g.rng.IntN(3) {
		t.Compare = append(t.Compare, g.compare())
	}
	for range g.rng.IntN(5) {
		t.Success = append(t.Success, g.op(depth))
	}
	for range g.rng.IntN(4) {
		t.Failure = append(t.Failure, g.op(depth))
	}
	return t
}

// visit calls f for every operation of a transaction, nested ones included.
func visit(t *pb.TxnRequest, f func(*pb.RequestOp)) {
	for _, op := range slices.Concat(t.Success, t.Failure) {
		f(op)
		if nested := op.GetRequestTxn(); nested != nil {
			visit(nested, f)
		}
	}
}

// separate sees to it that a transaction with puts deletes nothing "from this key on". etcd does not notice that such a
// deletion overlaps with a put, and is not up to it: a put that wants to keep the value or the lease of the deleted key
// makes every node panic, and a compaction at that very revision forgets the put.
func separate(t *pb.TxnRequest) {
	puts := false
	visit(t, func(op *pb.RequestOp) { puts = puts || op.GetRequestPut() != nil })
	visit(t, func(op *pb.RequestOp) {
		if del := op.GetRequestDeleteRange(); puts && del != nil && string(del.RangeEnd) == "\x00" {
			del.RangeEnd = nil
		}
	})
}

func (g *generator) op(depth int) *pb.RequestOp {
	switch n := g.rng.IntN(100); {
	case n < 40:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: g.rangeRequest()}}
	case n < 75:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: g.put()}}
	case n < 88:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: g.deleteRange()}}
	case n < 99 && depth > 0:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: g.txn(depth - 1)}}
	case n == 99 && g.chance(4):
		return &pb.RequestOp{}
	default:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: g.key()}}}
	}
}

func (g *generator) compare() *pb.Compare {
	c := &pb.Compare{Key: g.key(), Result: pb.Compare_CompareResult(g.rng.IntN(4))}
	if g.chance(4) {
		c.RangeEnd = g.end()
	}
	switch g.rng.IntN(5) {
	case 0:
		c.Target, c.TargetUnion = pb.Compare_VERSION, &pb.Compare_Version{Version: g.rng.Int64N(4)}
	case 1:
		c.Target, c.TargetUnion = pb.Compare_CREATE, &pb.Compare_CreateRevision{CreateRevision: g.someRevision()}
	case 2:
		c.Target, c.TargetUnion = pb.Compare_MOD, &pb.Compare_ModRevision{ModRevision: g.someRevision()}
	case 3:
		c.Target, c.TargetUnion = pb.Compare_VALUE, &pb.Compare_Value{Value: g.value()}
	case 4:
		c.Target, c.TargetUnion = pb.Compare_LEASE, &pb.Compare_Lease{Lease: g.rng.Int64N(2)}
	}
	if g.chance(20) {
		c.TargetUnion = nil
	}
	return c
}

func (g *generator) someRevision() int64 {
	if g.chance(2) {
		return 0
	}
	return max(g.revision-g.rng.Int64N(20), 0)
}
