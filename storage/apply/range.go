package apply

import (
	"bytes"
	"cmp"
	"math"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// Range answers a range request from r. Header.Revision is r's current revision, whatever revision was read. The
// request's form (a key, known sort options) has been checked; options that are not known sort nothing.
func Range(r mvcc.Reader, req *pb.RangeRequest) (*pb.RangeResponse, error) {
	res, err := r.Range(req.GetKey(), req.GetRangeEnd(), mvcc.RangeOptions{
		Revision:  req.GetRevision(),
		Limit:     fetchLimit(req),
		CountOnly: req.GetCountOnly(),
	})
	if err != nil {
		return nil, err
	}
	resp := &pb.RangeResponse{
		Header: &pb.ResponseHeader{Revision: r.Revision()},
		// All keys in the range: neither limit nor filters count.
		Count: int64(res.Count),
	}
	if req.GetCountOnly() {
		return resp, nil
	}
	kvs := sorted(filtered(res.KVs, req), req)
	if limit := req.GetLimit(); limit > 0 && int64(len(kvs)) > limit {
		kvs, resp.More = kvs[:limit], true
	}
	if req.GetKeysOnly() {
		kvs = withoutValues(kvs)
	}
	resp.Kvs = kvs
	return resp, nil
}

// IsPlain tells whether the answer to a range has its pairs as they are stored, in key order, and all up to the limit.
func IsPlain(req *pb.RangeRequest) bool {
	return !req.GetCountOnly() && !req.GetKeysOnly() && !filters(req) &&
		req.GetSortTarget() == pb.RangeRequest_KEY && req.GetSortOrder() != pb.RangeRequest_DESCEND
}

// RangeEncoded answers a plain range with pairs that are encoded already; see mvcc.View.RangeEncoded for place. The rest is
// what Range says.
func RangeEncoded(v *mvcc.View, req *pb.RangeRequest, place func(size int) []byte) (more bool, count int64, err error) {
	limit := max(0, req.GetLimit())
	n, err := v.RangeEncoded(req.GetKey(), req.GetRangeEnd(), mvcc.RangeOptions{
		Revision: req.GetRevision(),
		Limit:    int(min(limit, math.MaxInt)),
	}, place)
	count = int64(n)
	return limit > 0 && count > limit, count, err
}

// fetchLimit returns how many pairs the store has to find. The one beyond the client's limit tells whether there are
// more. An explicit order or a filter needs them all. Order NONE with a target does not: the cut comes first, in key
// order, and what it leaves, the extra pair included, is sorted then. Clients can see that, so it stays as in etcd.
func fetchLimit(req *pb.RangeRequest) int {
	limit := req.GetLimit()
	keyOrder := req.GetSortOrder() == pb.RangeRequest_NONE ||
		req.GetSortOrder() == pb.RangeRequest_ASCEND && req.GetSortTarget() == pb.RangeRequest_KEY
	switch {
	case limit <= 0 || !keyOrder || filters(req):
		return 0
	case limit >= math.MaxInt-1:
		return math.MaxInt
	}
	return int(limit) + 1
}

func filters(req *pb.RangeRequest) bool {
	return req.GetMinModRevision() != 0 || req.GetMaxModRevision() != 0 ||
		req.GetMinCreateRevision() != 0 || req.GetMaxCreateRevision() != 0
}

func filtered(kvs []*mvccpb.KeyValue, req *pb.RangeRequest) []*mvccpb.KeyValue {
	if !filters(req) {
		return kvs
	}
	within := func(rev, low, high int64) bool {
		return (low == 0 || rev >= low) && (high == 0 || rev <= high)
	}
	var kept []*mvccpb.KeyValue
	for _, kv := range kvs {
		if within(kv.ModRevision, req.GetMinModRevision(), req.GetMaxModRevision()) &&
			within(kv.CreateRevision, req.GetMinCreateRevision(), req.GetMaxCreateRevision()) {
			kept = append(kept, kv)
		}
	}
	return kept
}

// sorted returns kvs, which are in key order, in the order asked for. Pairs that compare equal stay in key order.
func sorted(kvs []*mvccpb.KeyValue, req *pb.RangeRequest) []*mvccpb.KeyValue {
	var order func(a, b *mvccpb.KeyValue) int
	switch req.GetSortTarget() {
	case pb.RangeRequest_KEY:
		if req.GetSortOrder() != pb.RangeRequest_DESCEND {
			return kvs
		}
		order = func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) }
	case pb.RangeRequest_VERSION:
		order = func(a, b *mvccpb.KeyValue) int { return cmp.Compare(a.Version, b.Version) }
	case pb.RangeRequest_CREATE:
		order = func(a, b *mvccpb.KeyValue) int { return cmp.Compare(a.CreateRevision, b.CreateRevision) }
	case pb.RangeRequest_MOD:
		order = func(a, b *mvccpb.KeyValue) int { return cmp.Compare(a.ModRevision, b.ModRevision) }
	case pb.RangeRequest_VALUE:
		order = func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Value, b.Value) }
	default:
		return kvs
	}
	switch req.GetSortOrder() {
	case pb.RangeRequest_NONE, pb.RangeRequest_ASCEND:
	case pb.RangeRequest_DESCEND:
		ascending := order
		order = func(a, b *mvccpb.KeyValue) int { return ascending(b, a) }
	default:
		return kvs
	}
	kvs = slices.Clone(kvs) // the slice belongs to the store
	slices.SortStableFunc(kvs, order)
	return kvs
}

// withoutValues copies kvs, which are shared with other readers, without their values. The lease stays.
func withoutValues(kvs []*mvccpb.KeyValue) []*mvccpb.KeyValue {
	bare := make([]mvccpb.KeyValue, len(kvs))
	out := make([]*mvccpb.KeyValue, len(kvs))
	for i, kv := range kvs {
		b := &bare[i]
		b.Key = kv.Key
		b.CreateRevision, b.ModRevision, b.Version, b.Lease = kv.CreateRevision, kv.ModRevision, kv.Version, kv.Lease
		out[i] = b
	}
	return out
}
