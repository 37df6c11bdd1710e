package server

import (
	"context"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// requestKinds are the requests that carry data of a client's making.
var requestKinds = []func() proto.Message{
	func() proto.Message { return &pb.PutRequest{} },
	func() proto.Message { return &pb.DeleteRangeRequest{} },
	func() proto.Message { return &pb.RangeRequest{} },
	func() proto.Message { return &pb.TxnRequest{} },
	func() proto.Message { return &pb.CompactionRequest{} },
}

// discard is a RangeStream's receiver that counts keys.
type discard struct {
	grpc.ServerStreamingServer[pb.RangeStreamResponse]
	keys int
}

func (d *discard) Context() context.Context { return context.Background() }

func (d *discard) Send(r *pb.RangeStreamResponse) error {
	d.keys += len(r.RangeResponse.Kvs)
	return nil
}

// FuzzRequest sends arbitrary requests through validation to a real state machine. Nothing may panic, validation must
// leave the request alone, and what it lets pass gets an answer or an error that etcd has a code for. The request is
// also sent inside a transaction, and inside a nested one.
func FuzzRequest(f *testing.F) {
	for _, seed := range []struct {
		kind byte
		text string
	}{
		{0, `key: "a" value: "v" lease: 5 prev_kv: true`},
		{0, `key: "a" ignore_value: true ignore_lease: true`},
		{1, `key: "a" range_end: "\x00" prev_kv: true`},
		{2, `key: "a" range_end: "z" limit: -1 revision: 9 sort_order: DESCEND sort_target: VALUE min_mod_revision: 3`},
		{2, `key: "\x00" range_end: "\x00" count_only: true keys_only: true`},
		{3, `compare: {key: "a" range_end: "b" target: LEASE lease: 1} ` + putA + getA + otherwise(delAC)},
		{3, nested(putA) + nested(delA+nested(getA))},
		{3, `compare: {key: "a" target: 9 result: 9} success: {}`},
		{4, `revision: 3 physical: true`},
	} {
		m := requestKinds[seed.kind]()
		if err := prototext.Unmarshal([]byte(seed.text), m); err != nil {
			f.Fatal(err)
		}
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed.kind, data)
	}
	n := newSoloNode(f)
	k := &kvServer{api: testAPI(f, n, testConfig())}
	runs := 0
	f.Fuzz(func(t *testing.T, kind byte, data []byte) {
		m := requestKinds[int(kind)%len(requestKinds)]()
		if proto.Unmarshal(data, m) != nil {
			return
		}
		before := proto.Clone(m)
		for _, r := range []proto.Message{m, within(m), within(within(m))} {
			if r != nil {
				send(t, k, r)
			}
		}
		if !proto.Equal(m, before) {
			t.Fatalf("%v became %v", before, m)
		}
		if runs++; runs%500 == 0 { // or the state would grow, and each run take longer
			send(t, k, &pb.DeleteRangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
			send(t, k, &pb.CompactionRequest{Revision: n.View().KV.Revision(), Physical: true})
		}
	})
}

// within makes a transaction of one request, nil if that cannot be.
func within(m proto.Message) proto.Message {
	op := &pb.RequestOp{}
	switch r := m.(type) {
	case *pb.PutRequest:
		op.Request = &pb.RequestOp_RequestPut{RequestPut: r}
	case *pb.DeleteRangeRequest:
		op.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}
	case *pb.RangeRequest:
		op.Request = &pb.RequestOp_RequestRange{RequestRange: r}
	case *pb.TxnRequest:
		op.Request = &pb.RequestOp_RequestTxn{RequestTxn: r}
	default:
		return nil
	}
	return &pb.TxnRequest{Success: []*pb.RequestOp{op}, Failure: []*pb.RequestOp{op}}
}

func send(t *testing.T, k *kvServer, m proto.Message) {
	ctx := context.Background()
	var err error
	switch r := m.(type) {
	case *pb.PutRequest:
		_, err = k.Put(ctx, r)
	case *pb.DeleteRangeRequest:
		_, err = k.DeleteRange(ctx, r)
	case *pb.TxnRequest:
		_, err = k.Txn(ctx, r)
	case *pb.CompactionRequest:
		_, err = k.Compact(ctx, r)
	case *pb.RangeRequest:
		var resp *pb.RangeResponse
		resp, err = k.Range(ctx, r)
		var all discard
		if checkRangeStream(r) == nil {
			streamed := k.RangeStream(r, &all)
			if (streamed == nil) != (err == nil) || err == nil && all.keys != len(resp.Kvs) {
				t.Fatalf("%v: %d keys, %v; streamed %d keys, %v", r, len(resp.Kvs), err, all.keys, streamed)
			}
		}
	}
	switch code := status.Code(err); code {
	case codes.OK, codes.InvalidArgument, codes.NotFound, codes.OutOfRange, codes.Unimplemented:
	default:
		t.Fatalf("%v: %s, %v", m, code, err)
	}
}
