package differential

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/test/script"
)

// generator makes requests that are likely to meet: few keys, revisions around the present and the compacted one, and now
// and then something invalid.
type generator struct {
	*state
	rng     *rand.Rand
	leases  bool // may be asked for
	skipped func(request any) bool
}

// step returns requests to be sent at once: a single one of any kind, reads of any kind, or writes and reads whose order
// the answers tell. With leases, as many are about one.
func (g *generator) step() []any {
	n, next := 1, g.any
	kinds := 3
	if g.leases {
		kinds = 4
	}
	switch g.rng.IntN(kinds) {
	case 1:
		n, next = 2+g.rng.IntN(9), g.read
	case 2:
		n, next = 2+g.rng.IntN(7), g.calm
	case 3:
		next = g.lease
	}
	var requests []any
	for len(requests) < n {
		if r := next(); !g.skipped(r) {
			requests = append(requests, r)
		}
	}
	return requests
}

// any returns a *pb.PutRequest, *pb.RangeRequest, *script.Stream, *pb.DeleteRangeRequest, *pb.TxnRequest,
// *pb.CompactionRequest, *pb.HashKVRequest or one about leases.
func (g *generator) any() any {
	if g.leases && g.chance(6) {
		return g.lease()
	}
	switch n := g.rng.IntN(1000); {
	case n < 280:
		return g.put()
	case n < 420:
		return g.read()
	case n < 550:
		return g.deleteRange()
	case n < 900:
		return g.txn(2)
	case n < 960:
		return g.odd()
	default:
		return &pb.CompactionRequest{Revision: g.anyRevision(), Physical: g.chance(3)}
	}
}

// odd returns what would come too seldom by chance.
func (g *generator) odd() any {
	key := []byte(keys[g.rng.IntN(len(keys))])
	put := &pb.PutRequest{Key: key}
	switch g.rng.IntN(4) {
	case 0:
		put.Lease, put.IgnoreLease = 1, g.chance(2)
	case 1: // etcd's limit counts its own envelope as well
		sizes := []int{requestLimit - 1024, requestLimit + 1024, messageLimit + 1024}
		put.Value = bytes.Repeat([]byte{'x'}, sizes[g.rng.IntN(len(sizes))])
	case 2:
		return &pb.CompactionRequest{Revision: []int64{0, -1, g.revision + 1, math.MaxInt64}[g.rng.IntN(4)]}
	default:
		put.IgnoreLease, put.IgnoreValue = true, true
	}
	if g.chance(2) {
		return put
	}
	op := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}}
	return &pb.TxnRequest{Success: []*pb.RequestOp{op}}
}

func (g *generator) read() any {
	switch n := g.rng.IntN(100); {
	case n < 60:
		return g.rangeRequest()
	case n < 75:
		return &script.Stream{RangeRequest: g.rangeRequest()}
	case n < 95:
		t := &pb.TxnRequest{}
		serializable := g.chance(3)
		for range g.rng.IntN(3) {
			t.Compare = append(t.Compare, g.compare())
		}
		for _, list := range []*[]*pb.RequestOp{&t.Success, &t.Failure} {
			for range g.rng.IntN(3) {
				r := g.rangeRequest()
				r.Serializable = serializable || r.Serializable
				*list = append(*list, &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}})
			}
		}
		return t
	default:
		return &pb.HashKVRequest{Revision: g.anyRevision()}
	}
}

// calm returns a request that may run beside others: what it changes shows in its answer, an error does not depend on what
// the others did, and no node may answer it from the past.
func (g *generator) calm() any {
	var request any
	switch n := g.rng.IntN(100); {
	case n < 45:
		request = g.put()
	case n < 60:
		request = g.deleteRange()
	case n < 85:
		request = g.txn(2)
	default:
		r := g.rangeRequest()
		r.Revision = 0
		request = r
	}
	calmDown(request)
	return request
}

func calmDown(request any) {
	switch r := request.(type) {
	case *pb.PutRequest:
		r.IgnoreValue, r.IgnoreLease, r.Lease = false, false, 0
	case *pb.RangeRequest:
		r.Revision, r.Serializable = 0, false
	case *pb.TxnRequest:
		visit(r, func(op *pb.RequestOp) {
			if put := op.GetRequestPut(); put != nil {
				calmDown(put)
			}
			if rr := op.GetRequestRange(); rr != nil {
				calmDown(rr)
			}
		})
	}
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

// Sizes around what a request, and what a message, may have.
const (
	requestLimit = 1536 << 10
	messageLimit = requestLimit + 512<<10
)

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

// anyRevision is mostly one that exists. Of those before the history only the first is asked for: it stands for all that
// were compacted, in any store.
func (g *generator) anyRevision() int64 {
	r := g.about()
	if r > 0 && r < g.base-1 {
		return 1
	}
	return r
}

func (g *generator) about() int64 {
	oldest := max(g.compacted, g.base)
	switch g.rng.IntN(24) {
	case 0, 1:
		return 0
	case 2:
		return -g.rng.Int64N(3)
	case 3:
		return []int64{1, math.MaxInt64, math.MinInt64}[g.rng.IntN(3)]
	case 4, 5:
		return g.revision + g.rng.Int64N(3)
	case 6, 7, 8:
		return oldest + g.rng.Int64N(3) - 1
	case 9, 10, 11, 12, 13, 14:
		return oldest + g.rng.Int64N(max(g.revision-oldest, 1))
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
		r.Lease = g.leaseID()
	}
	if g.leases && g.chance(4) {
		r.Lease = g.leaseID()
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
	if g.chance(3) {
		r.SortOrder = pb.RangeRequest_SortOrder(g.rng.IntN(3))
		r.SortTarget = pb.RangeRequest_SortTarget(g.rng.IntN(5))
	}
	if g.chance(100) {
		r.SortTarget = 9
	}
	if g.chance(100) {
		r.SortOrder = 9
	}
	for _, filter := range []*int64{&r.MinModRevision, &r.MaxModRevision, &r.MinCreateRevision, &r.MaxCreateRevision} {
		if g.chance(16) {
			*filter = g.anyRevision()
		}
	}
	return r
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
	if g.chance(100) { // around the limit of 128 operations, which nested ones share
		for range 126 + g.rng.IntN(5) - len(t.Success) {
			r := &pb.RangeRequest{Key: g.key(), CountOnly: true}
			t.Success = append(t.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}})
		}
	}
	return t
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
	c := &pb.Compare{Key: g.key(), Target: pb.Compare_CompareTarget(g.rng.IntN(5)),
		Result: pb.Compare_CompareResult(g.rng.IntN(4))}
	if g.chance(4) {
		c.RangeEnd = g.end()
	}
	kind := c.Target
	if g.chance(60) { // what is compared with is of another kind
		kind = pb.Compare_CompareTarget(g.rng.IntN(5))
	}
	switch kind {
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: g.rng.Int64N(4)}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: g.someRevision()}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: g.someRevision()}
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: g.value()}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: g.rng.Int64N(2)}
	}
	if g.chance(20) {
		c.TargetUnion = nil
	}
	if g.chance(100) {
		c.Result = 7
	}
	if g.chance(100) {
		c.Target = 9
	}
	return c
}

func (g *generator) someRevision() int64 {
	if g.chance(2) {
		return 0
	}
	return max(g.revision-g.rng.Int64N(20), g.base-1)
}
