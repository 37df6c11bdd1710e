package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/internal/buffers"
	"github.com/quorumkv/quorumkv/storage/apply"
)

// soilBuffers leaves something in the buffers that are lent next: none of it may be sent.
func soilBuffers() {
	for _, size := range []int{firstRangeBuffer, rangeBuffer, 2 * rangeBuffer, 16 * rangeBuffer} {
		b := buffers.Pool.Get(size)
		for i := range *b {
			(*b)[i] = 0xff
		}
		buffers.Pool.Put(b)
	}
}

// An encoded answer is, byte for byte, the message that the general way gives: with no pair, one, more than a buffer takes,
// and one that is larger than a buffer, from bbolt and from memory.
func TestEncodedRange(t *testing.T) {
	n := newSoloNode(t)
	k := &kvServer{api: newAPI(n, testConfig())}
	defer k.self.close()
	put := func(key string, size int) {
		t.Helper()
		r := &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte(key), Value: make([]byte, size)}}
		if _, err := n.Propose(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 300 {
		put(fmt.Sprintf("a%03d", i), 256)
	}
	put("b", rangeBuffer)
	if err := n.machine.Flush(); err != nil {
		t.Fatal(err)
	}
	put("a007", 3)
	put("c", 10*rangeBuffer)
	for _, r := range []*pb.RangeRequest{
		{Key: []byte("none")},
		{Key: []byte("a001")},
		{Key: []byte("a007"), Revision: 9},
		{Key: []byte("a"), RangeEnd: []byte("b")},
		{Key: []byte("a"), RangeEnd: []byte("b"), Limit: 10},
		{Key: []byte("a"), RangeEnd: []byte("b"), Limit: 300},
		{Key: []byte("a"), RangeEnd: []byte("b"), Limit: -1, SortOrder: pb.RangeRequest_ASCEND},
		{Key: []byte("a"), RangeEnd: []byte{0}, Limit: math.MaxInt64, Revision: 100},
		{Key: []byte{0}, RangeEnd: []byte{0}, Serializable: true},
	} {
		if !apply.IsPlain(r) {
			t.Errorf("%v is not plain", r)
		}
		want, err := k.Range(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		soilBuffers()
		got, err := k.encodedRange(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		var resp pb.RangeResponse
		encoded := mem.BufferSlice(got.(encodedMessage)).Materialize()
		if err := proto.Unmarshal(encoded, &resp); err != nil || !proto.Equal(&resp, want) {
			t.Errorf("%v: %d pairs, count %d, more %t, %v; want %d, %d, %t", r, len(resp.Kvs), resp.Count, resp.More, err,
				len(want.Kvs), want.Count, want.More)
		}
		plain, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
		if err != nil || !cmp.Equal(encoded, plain) {
			t.Errorf("%v: its bytes are not those of the message, %v", r, err)
		}
	}
	for _, r := range []*pb.RangeRequest{
		{CountOnly: true}, {KeysOnly: true}, {MinModRevision: 2}, {SortOrder: pb.RangeRequest_DESCEND},
		{SortTarget: pb.RangeRequest_MOD}, {SortTarget: pb.RangeRequest_VALUE, SortOrder: pb.RangeRequest_ASCEND},
	} {
		if apply.IsPlain(r) {
			t.Errorf("%v is plain", r)
		}
	}
}

// Errors are those of the general way.
func TestEncodedRangeErrors(t *testing.T) {
	n := newSoloNode(t)
	k := &kvServer{api: newAPI(n, testConfig())}
	defer k.self.close()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx context.Context
		r   *pb.RangeRequest
	}{
		{t.Context(), &pb.RangeRequest{}},
		{t.Context(), &pb.RangeRequest{Key: []byte("k"), Revision: 100}},
		{cancelled, &pb.RangeRequest{Key: []byte("k"), Serializable: true}},
	} {
		_, want := k.Range(c.ctx, c.r)
		if _, err := k.encodedRange(c.ctx, c.r); want == nil || !errors.Is(err, want) {
			t.Errorf("%v: %v, want %v", c.r, err, want)
		}
	}
}
