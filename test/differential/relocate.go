package differential

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/test/script"
)

// relocate copies a request for a history that starts at another revision.
func relocate(request any, from, to int64) any {
	return renumber(request, from, func(r int64) int64 { return r + to - from })
}

// renumber copies a request with other revisions in place of those that exist because of a history with this base. All
// others mean the same everywhere and stay.
func renumber(request any, base int64, number func(int64) int64) any {
	move := func(revisions ...*int64) {
		for _, r := range revisions {
			if script.Relative(*r, base) {
				*r = number(*r)
			}
		}
	}
	switch r := request.(type) {
	case *script.Stream:
		return &script.Stream{RangeRequest: renumber(r.RangeRequest, base, number).(*pb.RangeRequest)}
	case *pb.RangeRequest:
		c := proto.CloneOf(r)
		move(&c.Revision, &c.MinModRevision, &c.MaxModRevision, &c.MinCreateRevision, &c.MaxCreateRevision)
		return c
	case *pb.CompactionRequest:
		c := proto.CloneOf(r)
		move(&c.Revision)
		return c
	case *pb.HashKVRequest:
		c := proto.CloneOf(r)
		move(&c.Revision)
		return c
	case *pb.TxnRequest:
		c := proto.CloneOf(r)
		renumberTxn(c, base, number, move)
		return c
	default:
		return request
	}
}

func renumberTxn(t *pb.TxnRequest, base int64, number func(int64) int64, move func(...*int64)) {
	for _, c := range t.Compare {
		switch u := c.TargetUnion.(type) {
		case *pb.Compare_CreateRevision:
			move(&u.CreateRevision)
		case *pb.Compare_ModRevision:
			move(&u.ModRevision)
		}
	}
	for _, ops := range [][]*pb.RequestOp{t.Success, t.Failure} {
		for _, op := range ops {
			switch o := op.Request.(type) {
			case *pb.RequestOp_RequestRange:
				o.RequestRange = renumber(o.RequestRange, base, number).(*pb.RangeRequest)
			case *pb.RequestOp_RequestTxn:
				renumberTxn(o.RequestTxn, base, number, move)
			}
		}
	}
}
