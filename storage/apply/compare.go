package apply

import (
	"bytes"
	"cmp"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// missing is what a compare sees of a key that does not exist.
var missing mvccpb.KeyValue

// allHold reports whether every compare is true.
func allHold(r mvcc.Reader, compares []*pb.Compare) (bool, error) {
	for _, c := range compares {
		if ok, err := holds(r, c); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// holds reports whether a compare is true for every key of its range. Where there is no key it sees zeros, except in a
// compare of values, which is false whatever it asks: a missing value is not an empty one.
func holds(r mvcc.Reader, c *pb.Compare) (bool, error) {
	res, err := r.Range(c.GetKey(), c.GetRangeEnd(), mvcc.RangeOptions{})
	if err != nil {
		return false, err
	}
	if len(res.KVs) == 0 {
		return c.GetTarget() != pb.Compare_VALUE && satisfies(&missing, c), nil
	}
	for _, kv := range res.KVs {
		if !satisfies(kv, c) {
			return false, nil
		}
	}
	return true, nil
}

// satisfies compares one pair. A target without its operand is compared with zero. Enumeration values that etcd does not
// define are legal in proto3: an unknown target is equal to everything, an unknown result is always true.
func satisfies(kv *mvccpb.KeyValue, c *pb.Compare) bool {
	var order int
	switch c.GetTarget() {
	case pb.Compare_VERSION:
		order = cmp.Compare(kv.Version, c.GetVersion())
	case pb.Compare_CREATE:
		order = cmp.Compare(kv.CreateRevision, c.GetCreateRevision())
	case pb.Compare_MOD:
		order = cmp.Compare(kv.ModRevision, c.GetModRevision())
	case pb.Compare_LEASE:
		order = cmp.Compare(kv.Lease, c.GetLease())
	case pb.Compare_VALUE:
		order = bytes.Compare(kv.Value, c.GetValue())
	}
	switch c.GetResult() {
	case pb.Compare_EQUAL:
		return order == 0
	case pb.Compare_NOT_EQUAL:
		return order != 0
	case pb.Compare_LESS:
		return order < 0
	case pb.Compare_GREATER:
		return order > 0
	}
	return true
}
