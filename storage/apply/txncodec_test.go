package apply

import (
	"bytes"
	"math"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

func rangeOp(r *pb.RangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}
}

func putOp(r *pb.PutRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}
}

func deleteOp(r *pb.DeleteRangeRequest) *pb.RequestOp {
	return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}}
}

var key = []byte("/registry/pods/default/a")

// txnRequests are what clients send: of Kubernetes the creation, the update and the deletion, of locks the acquisition, and
// every kind of compare.
var txnRequests = []*pb.TxnRequest{
	{
		Compare: []*pb.Compare{{Key: key, Target: pb.Compare_MOD, TargetUnion: &pb.Compare_ModRevision{}}},
		Success: []*pb.RequestOp{putOp(putRequests[1])},
	},
	{
		Compare: []*pb.Compare{{Key: key, Target: pb.Compare_MOD, TargetUnion: &pb.Compare_ModRevision{ModRevision: 1 << 40}}},
		Success: []*pb.RequestOp{putOp(putRequests[1])},
		Failure: []*pb.RequestOp{rangeOp(&pb.RangeRequest{Key: key})},
	},
	{
		Compare: []*pb.Compare{{Key: key, Target: pb.Compare_MOD, TargetUnion: &pb.Compare_ModRevision{ModRevision: 7}}},
		Success: []*pb.RequestOp{deleteOp(&pb.DeleteRangeRequest{Key: key, RangeEnd: []byte{0}, PrevKv: true})},
		Failure: []*pb.RequestOp{rangeOp(&pb.RangeRequest{
			Key: key, RangeEnd: []byte("z"), Limit: 500, Revision: -1, Serializable: true, KeysOnly: true, CountOnly: true,
		})},
	},
	{
		Compare: []*pb.Compare{
			{Key: key, Target: pb.Compare_CREATE, TargetUnion: &pb.Compare_CreateRevision{CreateRevision: -1}},
			{Key: key, Result: pb.Compare_NOT_EQUAL, TargetUnion: &pb.Compare_Version{Version: math.MaxInt64}},
			{Key: key, Result: pb.Compare_LESS, Target: pb.Compare_VALUE, TargetUnion: &pb.Compare_Value{Value: []byte("v")}},
			{Key: key, Result: pb.Compare_GREATER, Target: pb.Compare_LEASE, TargetUnion: &pb.Compare_Lease{Lease: 9}},
			{Key: key},
		},
		Success: []*pb.RequestOp{putOp(putRequests[2]), putOp(putRequests[3]), rangeOp(&pb.RangeRequest{Key: key})},
	},
	{Success: []*pb.RequestOp{putOp(putRequests[0])}},
	{},
}

func TestDecodeTxn(t *testing.T) {
	for _, want := range txnRequests {
		got := decodeTxn(mustMarshal(&pb.InternalRaftRequest{Txn: want}))
		if got == nil {
			t.Errorf("%v was left to the library", want)
		} else if !proto.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestDecodeTxnLeavesTheRestAlone(t *testing.T) {
	txn := mustMarshal(&pb.InternalRaftRequest{Txn: txnRequests[1]})
	nested := &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: txnRequests[0]}}}}
	for name, request := range map[string][]byte{
		"nothing":    nil,
		"another":    mustMarshal(&pb.InternalRaftRequest{Put: putRequests[0]}),
		"cut":        txn[:len(txn)-1],
		"with an id": mustMarshal(&pb.InternalRaftRequest{ID: 7, Txn: txnRequests[1]}),
		"two":        append(bytes.Clone(txn), txn...),
		"nested":     mustMarshal(&pb.InternalRaftRequest{Txn: nested}),
		"a range of keys compared": mustMarshal(&pb.InternalRaftRequest{Txn: &pb.TxnRequest{
			Compare: []*pb.Compare{{Key: key, RangeEnd: []byte("z")}},
		}}),
		"an empty value compared": mustMarshal(&pb.InternalRaftRequest{Txn: &pb.TxnRequest{
			Compare: []*pb.Compare{{Key: key, TargetUnion: &pb.Compare_Value{}}},
		}}),
		"a sorted range": mustMarshal(&pb.InternalRaftRequest{Txn: &pb.TxnRequest{
			Success: []*pb.RequestOp{rangeOp(&pb.RangeRequest{Key: key, SortOrder: pb.RangeRequest_DESCEND})},
		}}),
		"no operation":   {tagRequestTxn, 2, tagTxnSuccess, 0},
		"two operations": {tagRequestTxn, 6, tagTxnSuccess, 4, tagOpPut, 0, tagOpPut, 0},
	} {
		if got := decodeTxn(request); got != nil {
			t.Errorf("%s: was not left to the library: %v", name, got)
		}
	}
}

// FuzzDecodeTxn: what decodeTxn takes is what the library makes of it, or replicas would differ.
func FuzzDecodeTxn(f *testing.F) {
	for _, r := range txnRequests {
		f.Add(mustMarshal(&pb.InternalRaftRequest{Txn: r}))
	}
	f.Add([]byte{tagRequestTxn, 8, tagTxnCompare, 6, tagCompareVersion, 1, tagCompareLease, 2, tagCompareResult, 0x7f})
	f.Fuzz(func(t *testing.T, request []byte) {
		got := decodeTxn(request)
		if got == nil {
			return
		}
		var want pb.InternalRaftRequest
		if err := proto.Unmarshal(request, &want); err != nil {
			t.Fatalf("%x was taken, but is no request: %v", request, err)
		}
		if !proto.Equal(&pb.InternalRaftRequest{Txn: got}, &want) {
			t.Fatalf("%x: got %v, want %v", request, got, &want)
		}
	})
}
