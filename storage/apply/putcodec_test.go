package apply

import (
	"bytes"
	"math"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

var putRequests = []*pb.PutRequest{
	{Key: []byte("k")},
	{Key: []byte("k"), Value: bytes.Repeat([]byte("v"), 300), Lease: math.MaxInt64},
	{Key: []byte("k"), Value: []byte("v"), Lease: -1, PrevKv: true},
	{Key: []byte("k"), IgnoreValue: true, IgnoreLease: true},
}

// TestEncodePut: what EncodePut writes is what the library does, and nothing that a client sent is lost.
func TestEncodePut(t *testing.T) {
	extended := &pb.PutRequest{Key: []byte("k")}
	extended.ProtoReflect().SetUnknown([]byte{15 << 3, 1})
	for _, put := range append([]*pb.PutRequest{{}, {Value: []byte("v")}, extended}, putRequests...) {
		got, err := EncodePut(put)
		if err != nil {
			t.Fatal(err)
		}
		if want := mustMarshal(&pb.InternalRaftRequest{Put: put}); !bytes.Equal(got, want) {
			t.Errorf("%v: got %x, want %x", put, got, want)
		}
	}
}

func TestDecodePut(t *testing.T) {
	for _, want := range putRequests {
		var got pb.PutRequest
		if !decodePut(mustMarshal(&pb.InternalRaftRequest{Put: want}), &got) {
			t.Errorf("%v was left to the library", want)
		} else if !proto.Equal(&got, want) {
			t.Errorf("got %v, want %v", &got, want)
		} else if cap(got.Key) != len(got.Key) || cap(got.Value) != len(got.Value) {
			t.Errorf("%v: who appends to the key or the value writes into the request", want)
		}
	}
}

func TestDecodePutLeavesTheRestAlone(t *testing.T) {
	put := mustMarshal(&pb.InternalRaftRequest{Put: putRequests[1]})
	for name, request := range map[string][]byte{
		"nothing":        nil,
		"another":        mustMarshal(&pb.InternalRaftRequest{Range: &pb.RangeRequest{Key: []byte("k")}}),
		"cut":            put[:len(put)-1],
		"with an id":     mustMarshal(&pb.InternalRaftRequest{ID: 7, Put: putRequests[1]}),
		"two":            append(bytes.Clone(put), put...),
		"with more":      {tagRequestPut, 5, tagPutKey, 1, 'k', 7 << 3, 1},
		"with a cut key": {tagRequestPut, 3, tagPutKey, 2, 'k'},
		"no number":      {tagRequestPut, 2, tagPutLease, 0x80},
	} {
		if decodePut(request, new(pb.PutRequest)) {
			t.Errorf("%s: was not left to the library", name)
		}
	}
}

// FuzzDecodePut: what decodePut takes is what the library makes of it, byte for byte, or replicas would differ.
func FuzzDecodePut(f *testing.F) {
	for _, p := range putRequests {
		f.Add(mustMarshal(&pb.InternalRaftRequest{Put: p}))
	}
	f.Add([]byte{tagRequestPut, 6, tagPutKey, 1, 'k', tagPutKey, 1, 'l'})
	f.Add([]byte{tagRequestPut, 4, tagPutPrevKV, 0x80, 0x80, 0x00})
	f.Fuzz(func(t *testing.T, request []byte) {
		var got pb.PutRequest
		if !decodePut(request, &got) {
			return
		}
		var want pb.InternalRaftRequest
		if err := proto.Unmarshal(request, &want); err != nil {
			t.Fatalf("%x was taken, but is no request: %v", request, err)
		}
		if !proto.Equal(&pb.InternalRaftRequest{Put: &got}, &want) {
			t.Fatalf("%x: got %v, want %v", request, &got, &want)
		}
	})
}
