package server

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// TestCodecDecodesAsTheLibraryDoes: requests that are decoded by hand, and such that are left to the library half way.
func TestCodecDecodesAsTheLibraryDoes(t *testing.T) {
	bytes := prometheus.NewCounter(prometheus.CounterOpts{})
	c := newCountingCodec(&metrics{sent: bytes, received: bytes})
	for _, want := range []proto.Message{
		&pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("z"), Limit: 5},
		&pb.RangeRequest{Key: []byte("k"), Limit: 5, SortOrder: pb.RangeRequest_DESCEND},
		&pb.PutRequest{Key: []byte("k"), Value: []byte("v"), Lease: 7},
		&pb.TxnRequest{Success: []*pb.RequestOp{putOp(&pb.PutRequest{Key: []byte("k"), Value: []byte("v")})}},
		&pb.TxnRequest{
			Compare: []*pb.Compare{createdAt([]byte("k"), 1), {Key: []byte("k"), RangeEnd: []byte("z")}},
			Success: []*pb.RequestOp{rangeOp(&pb.RangeRequest{Key: []byte("k")})},
		},
		&pb.DeleteRangeRequest{Key: []byte("k"), PrevKv: true},
	} {
		b, err := proto.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		parts := mem.BufferSlice{mem.SliceBuffer(b[:3]), mem.SliceBuffer(b[3:])}
		got := want.ProtoReflect().New().Interface()
		if err := c.Unmarshal(parts, got); err != nil || !proto.Equal(got, want) {
			t.Errorf("got %v (%v), want %v", got, err, want)
		}
		if c.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b[:len(b)-1])}, got) == nil {
			t.Errorf("%v: cut short, it was taken", want)
		}
	}
	extended := &pb.PutRequest{Key: []byte("k")}
	extended.ProtoReflect().SetUnknown([]byte{15 << 3, 1})
	b, err := proto.Marshal(extended)
	if err != nil {
		t.Fatal(err)
	}
	got := new(pb.PutRequest)
	if err := c.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, got); err != nil || !proto.Equal(got, extended) {
		t.Errorf("got %v (%v), want %v", got, err, extended)
	}
}
