package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/quorumkv/quorumkv/storage/apply"
)

// receive collects the pieces of a stream; an error ends it.
func receive(s grpc.ServerStreamingClient[pb.RangeStreamResponse]) (pieces []*pb.RangeResponse, err error) {
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return pieces, nil
		}
		if err != nil {
			return pieces, err
		}
		pieces = append(pieces, r.RangeResponse)
	}
}

func merge(pieces []*pb.RangeResponse) *pb.RangeResponse {
	all := &pb.RangeResponse{}
	for _, p := range pieces {
		proto.Merge(all, p)
	}
	return all
}

// fill puts n keys with values of different sizes.
func fill(t *testing.T, n *soloNode, keys int) {
	t.Helper()
	for i := range keys {
		r := &pb.PutRequest{Key: fmt.Appendf(nil, "k%04d", i), Value: bytes.Repeat([]byte("v"), i*37%500)}
		if _, err := n.Propose(t.Context(), &pb.InternalRaftRequest{Put: r}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRangeStreamEqualsRange(t *testing.T) {
	n := newSoloNode(t)
	fill(t, n, 300)
	cfg := testConfig()
	cfg.Limits.RequestBytes = 8 << 10
	kv := pb.NewKVClient(serve(t, n, cfg).dial(t))
	ctx := testContext(t)
	end := []byte{'l'}
	for name, r := range map[string]*pb.RangeRequest{
		"all":                 {RangeEnd: end},
		"from key":            {RangeEnd: []byte{0}},
		"one key":             {Key: []byte("k0007")},
		"nothing":             {Key: []byte("x")},
		"nothing in a range":  {Key: []byte("x"), RangeEnd: []byte("y")},
		"old revision":        {RangeEnd: end, Revision: 150},
		"negative revision":   {RangeEnd: end, Revision: -1},
		"negative limit":      {RangeEnd: end, Limit: -1},
		"limit 1":             {RangeEnd: end, Limit: 1},
		"limit of a piece":    {RangeEnd: end, Limit: firstChunkKeys},
		"limit behind it":     {RangeEnd: end, Limit: firstChunkKeys + 1},
		"limit":               {RangeEnd: end, Limit: 77},
		"limit of all":        {RangeEnd: end, Limit: 300},
		"limit beyond":        {RangeEnd: end, Limit: 301},
		"keys only":           {RangeEnd: end, KeysOnly: true},
		"keys only and limit": {RangeEnd: end, KeysOnly: true, Limit: 250},
		"count only":          {RangeEnd: end, CountOnly: true},
		"count with limit":    {RangeEnd: end, CountOnly: true, Limit: 5},
		"serializable":        {RangeEnd: end, Serializable: true},
		"ascending":           {RangeEnd: end, SortOrder: pb.RangeRequest_ASCEND},
		"target, no order":    {RangeEnd: end, SortTarget: pb.RangeRequest_VERSION, Limit: 33},
	} {
		t.Run(name, func(t *testing.T) {
			if r.Key == nil {
				r.Key = []byte("k")
			}
			whole, err := kv.Range(ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			s, err := kv.RangeStream(ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			pieces, err := receive(s)
			if err != nil {
				t.Fatal(err)
			}
			if merged := merge(pieces); !proto.Equal(whole, merged) {
				t.Errorf("merged pieces differ from Range (-range +stream):\n%s", cmp.Diff(whole, merged, protocmp.Transform()))
			}
			for i, p := range pieces {
				switch last := i == len(pieces)-1; {
				case (p.Header != nil) != last, (p.Count != 0 || p.More) && !last:
					t.Errorf("piece %d of %d: header %v, count %d, more %t", i, len(pieces), p.Header, p.Count, p.More)
				case len(p.Kvs) == 0 && !last:
					t.Errorf("piece %d of %d is empty", i, len(pieces))
				}
			}
		})
	}
}

func TestRangeStreamPieces(t *testing.T) {
	n := newSoloNode(t)
	for i := range 400 {
		r := &pb.PutRequest{Key: fmt.Appendf(nil, "k%04d", i), Value: bytes.Repeat([]byte("v"), 100)}
		if i >= 200 {
			r.Value = bytes.Repeat([]byte("v"), 4000)
		}
		if _, err := n.Propose(t.Context(), &pb.InternalRaftRequest{Put: r}); err != nil {
			t.Fatal(err)
		}
	}
	cfg := testConfig()
	cfg.Limits.RequestBytes = 16 << 10
	kv := pb.NewKVClient(serve(t, n, cfg).dial(t))
	s, err := kv.RangeStream(testContext(t), &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l")})
	if err != nil {
		t.Fatal(err)
	}
	pieces, err := receive(s)
	if err != nil {
		t.Fatal(err)
	}
	var keys []int
	for _, p := range pieces {
		keys = append(keys, len(p.Kvs))
	}
	// Small values: 10, and twice as many until a piece has half of 16 KiB. Large ones: half as many until one has less
	// than twice of it, and again when it is too small.
	want := "[10 20 40 80 80 40 20 10" + strings.Repeat(" 5", 20) + "]"
	if got := fmt.Sprint(keys); got != want {
		t.Errorf("keys per piece %s, want %s", got, want)
	}
}

// Writes between the pieces are not seen, and the header tells the revision from before them.
func TestRangeStreamIsOneSnapshot(t *testing.T) {
	n := newSoloNode(t)
	fill(t, n, 100)
	cfg := testConfig()
	cfg.Limits.RequestBytes = 1 << 10
	a := testAPI(t, n, cfg)
	for _, revision := range []int64{0, -1} {
		r := &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l"), Revision: revision}
		whole, err := apply.Range(n.View().KV, r)
		if err != nil {
			t.Fatal(err)
		}
		var pieces []*pb.RangeResponse
		s := rangeStream{api: a, ctx: testContext(t), rest: proto.CloneOf(r), send: func(p *pb.RangeStreamResponse) error {
			pieces = append(pieces, p.RangeResponse)
			fill(t, n, 2)
			_, err := n.Propose(t.Context(), &pb.InternalRaftRequest{DeleteRange: &pb.DeleteRangeRequest{
				Key: []byte("k0090"), RangeEnd: []byte("k0095")}})
			return err
		}}
		if err := s.run(r); err != nil {
			t.Fatal(err)
		}
		whole.Header = a.header.identify(whole.Header)
		if merged := merge(pieces); !proto.Equal(whole, merged) || len(pieces) < 3 {
			t.Errorf("revision %d, %d pieces (-before +stream):\n%s", revision, len(pieces),
				cmp.Diff(whole, merged, protocmp.Transform()))
		}
		fill(t, n, 100)
	}
}

func TestRangeStreamMeetsCompaction(t *testing.T) {
	n := newSoloNode(t)
	fill(t, n, 100)
	a := testAPI(t, n, testConfig())
	r := &pb.RangeRequest{Key: []byte("k"), RangeEnd: []byte("l")}
	sent := 0
	s := rangeStream{api: a, ctx: testContext(t), rest: proto.CloneOf(r), send: func(*pb.RangeStreamResponse) error {
		sent++
		fill(t, n, 1)
		_, err := n.Propose(t.Context(), &pb.InternalRaftRequest{
			Compaction: &pb.CompactionRequest{Revision: n.View().KV.Revision()}})
		return err
	}}
	checkStatus(t, toStatus(s.run(r)), rpctypes.ErrGRPCCompacted)
	if sent != 1 {
		t.Errorf("%d pieces, want the first one only", sent)
	}
}

func TestRangeStreamErrors(t *testing.T) {
	n := newSoloNode(t)
	fill(t, n, 3)
	e := serve(t, n, testConfig())
	kv := pb.NewKVClient(e.dial(t))
	for name, tc := range map[string]struct {
		r    *pb.RangeRequest
		want error
	}{
		"no key":     {&pb.RangeRequest{}, rpctypes.ErrGRPCEmptyKey},
		"descending": {&pb.RangeRequest{Key: []byte("k"), SortOrder: pb.RangeRequest_DESCEND}, errStreamSort},
		"filter":     {&pb.RangeRequest{Key: []byte("k"), MinModRevision: 1}, errStreamFilter},
		"future":     {&pb.RangeRequest{Key: []byte("k"), Revision: 99}, rpctypes.ErrGRPCFutureRev},
	} {
		s, err := kv.RangeStream(testContext(t), tc.r)
		if err != nil {
			t.Fatal(err)
		}
		_, err = receive(s)
		t.Run(name, func(t *testing.T) { checkStatus(t, err, tc.want) })
	}
	// etcd's client puts the pieces together itself.
	stream, err := e.client(t).GetStream(testContext(t), "k", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	r, err := clientv3.GetStreamToGetResponse(stream)
	if err != nil || r.Count != 3 || len(r.Kvs) != 3 || r.Header.Revision != 4 {
		t.Errorf("through etcd's client: %v, %v", r, err)
	}
}
