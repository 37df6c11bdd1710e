package apply

import (
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestLeaseStays(t *testing.T) {
	r := newRig(t, RequestID{Member: 1, Epoch: 1})
	r.commit(grantOf(5, 10), putWithLease("k", 5))
	results := r.commit(
		&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("k"), Value: []byte("w"), IgnoreLease: true}},
		&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("k"), IgnoreValue: true, PrevKv: true}},
	)
	if kv := results[1].Response.Put.PrevKv; string(kv.Value) != "w" || kv.Lease != 5 {
		t.Errorf("with ignore_lease: %v", kv)
	}
	resp, err := Range(r.m.View().KV, &pb.RangeRequest{Key: []byte("k")})
	if kv := resp.Kvs[0]; err != nil || string(kv.Value) != "w" || kv.Lease != 0 {
		t.Errorf("with ignore_value: %v, %v", kv, err)
	}
	// etcd 3.7 loses the lease in answers with keys_only; we do not.
	resp, err = Range(r.m.View().KV, &pb.RangeRequest{Key: []byte("k"), Revision: 3, KeysOnly: true})
	if kv := resp.Kvs[0]; err != nil || kv.Value != nil || kv.Lease != 5 || kv.Version != 2 {
		t.Errorf("keys only: %v, %v", kv, err)
	}
}

func TestUnknownEnumsSortNothing(t *testing.T) {
	r := newRig(t, RequestID{Member: 1, Epoch: 1})
	r.commit(putOf("b", "1"), putOf("a", "2"))
	for _, req := range []*pb.RangeRequest{
		{SortOrder: 9}, {SortTarget: 9}, {SortOrder: 9, SortTarget: pb.RangeRequest_MOD}, {SortOrder: 1, SortTarget: -1},
	} {
		req.Key, req.RangeEnd = []byte{0}, []byte{0}
		resp, err := Range(r.m.View().KV, req)
		if err != nil || len(resp.Kvs) != 2 || string(resp.Kvs[0].Key) != "a" {
			t.Errorf("%v: %v, %v", req, resp, err)
		}
	}
}
