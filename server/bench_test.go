package server

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/storage/apply"
)

// instantNode answers every write with the same answer: what is left is the cost of the edge.
type instantNode struct{ *soloNode }

func (n instantNode) Propose(context.Context, *pb.InternalRaftRequest) (apply.Response, error) {
	return apply.Response{Put: &pb.PutResponse{Header: &pb.ResponseHeader{Revision: 2}}}, nil
}

// BenchmarkEdge measures a call from client to handler and back, 256-byte values, many callers on ten connections.
func BenchmarkEdge(b *testing.B) {
	e := serve(b, instantNode{newSoloNode(b)}, testConfig())
	var clients []pb.KVClient
	for range 10 {
		clients = append(clients, pb.NewKVClient(e.dial(b)))
	}
	put := &pb.PutRequest{Key: []byte("benchkey"), Value: make([]byte, 256)}
	get := &pb.RangeRequest{Key: []byte("benchkey")}
	for _, callers := range []int{1, 100, 1000} {
		for name, call := range map[string]func(pb.KVClient) error{
			"put":   func(c pb.KVClient) error { _, err := c.Put(context.Background(), put); return err },
			"range": func(c pb.KVClient) error { _, err := c.Range(context.Background(), get); return err },
		} {
			b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) {
				b.ReportAllocs()
				start := cpuTime(b)
				var left atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				for i := range callers {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							if err := call(clients[i%len(clients)]); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64((cpuTime(b)-start).Nanoseconds())/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// BenchmarkHandler is a put without gRPC.
func BenchmarkHandler(b *testing.B) {
	kv := &kvServer{api: testAPI(b, instantNode{newSoloNode(b)}, testConfig())}
	put := &pb.PutRequest{Key: []byte("benchkey"), Value: make([]byte, 256)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := kv.Put(b.Context(), put); err != nil {
			b.Fatal(err)
		}
	}
}

// cpuTime is what this process has used so far, client and server: unlike the wall clock it can be compared on a machine
// that does other things too.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkWatchFanOut sends each of b.N puts to 1,000 watchers on ten streams.
func BenchmarkWatchFanOut(b *testing.B) {
	const streams, watchers = 10, 100
	n := newSoloNode(b)
	e := serve(b, n, testConfig())
	ctx := testContext(b)
	var all sync.WaitGroup
	for range streams {
		stream, err := pb.NewWatchClient(e.dial(b)).Watch(ctx)
		if err != nil {
			b.Fatal(err)
		}
		for range watchers {
			if err := stream.Send(create(&pb.WatchCreateRequest{Key: []byte("k")})); err != nil {
				b.Fatal(err)
			}
			if _, err := stream.Recv(); err != nil {
				b.Fatal(err)
			}
		}
		all.Go(func() {
			for got := 0; got < watchers*b.N; {
				r, err := stream.Recv()
				if err != nil {
					b.Error(err)
					return
				}
				got += len(r.Events)
			}
		})
	}
	b.ReportAllocs()
	b.ResetTimer()
	start := cpuTime(b)
	for range b.N {
		if _, err := n.Propose(ctx, &pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("k"), Value: make([]byte, 256)}}); err != nil {
			b.Fatal(err)
		}
	}
	all.Wait()
	b.ReportMetric(float64((cpuTime(b)-start).Nanoseconds())/float64(b.N*streams*watchers), "cpu-ns/event")
	b.ReportMetric(float64(b.N*streams*watchers)/b.Elapsed().Seconds(), "events/s")
}
