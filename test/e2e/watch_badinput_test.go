package e2e

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestWatchBadInput sends what makes no sense to each node: the answers are etcd's (package differential has them in
// detail), the stream and the node go on.
func TestWatchBadInput(t *testing.T) {
	c := cluster.Start(t, cluster.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i, n := range c.Nodes {
		t.Run(n.Name, func(t *testing.T) {
			stream := rawWatch(ctx, t, c, i, 0)
			refused := func(r *pb.WatchCreateRequest, reason string) {
				t.Helper()
				sendCreate(t, stream, r)
				if got := receive(t, stream); !got.Created || !got.Canceled || got.WatchId != -1 || got.CancelReason != reason {
					t.Errorf("%v: %v", r, got)
				}
			}
			a := []byte("a")
			cancelWatch(t, stream, 4711) // no reply: the next one is that of the next request
			refused(&pb.WatchCreateRequest{Key: a, StartRevision: -1}, "etcdserver: mvcc: required revision has been compacted")
			refused(&pb.WatchCreateRequest{Key: a, StartRevision: math.MinInt64}, "etcdserver: mvcc: required revision has been compacted")
			refused(&pb.WatchCreateRequest{Key: a, RangeEnd: a}, "mvcc: watcher range is empty")
			refused(&pb.WatchCreateRequest{Key: []byte("b"), RangeEnd: a, WatchId: 5}, "mvcc: watcher range is empty")
			sendCreate(t, stream, &pb.WatchCreateRequest{Key: a, WatchId: 5})
			if got := receive(t, stream); !got.Created || got.Canceled || got.WatchId != 5 {
				t.Errorf("a good watch: %v", got)
			}
			refused(&pb.WatchCreateRequest{Key: a, WatchId: 5}, "mvcc: duplicate watch ID provided on the WatchStream")
			cancelWatch(t, stream, -5)
			if err := stream.Send(&pb.WatchRequest{}); err != nil {
				t.Error(err)
			}
			put, err := c.KV(i).Put(ctx, &pb.PutRequest{Key: a})
			if err != nil {
				t.Fatal(err)
			}
			if got := receive(t, stream); got.WatchId != 5 || len(got.Events) != 1 || got.Events[0].Kv.ModRevision != put.Header.Revision {
				t.Errorf("after all that: %v", got)
			}
			badLeases(ctx, t, c, i)
		})
	}
}

func badLeases(ctx context.Context, t *testing.T, c *cluster.Cluster, node int) {
	t.Helper()
	leases := pb.NewLeaseClient(c.Client(node).ActiveConnection())
	says := func(what string, err error, want string) {
		t.Helper()
		if s := status.Convert(err); fmt.Sprintf("%s: %s", s.Code(), s.Message()) != want {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
	for _, ttl := range []int64{9_000_000_001, math.MaxInt64} {
		_, err := leases.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: ttl})
		says("grant", err, "OutOfRange: etcdserver: too large lease TTL")
	}
	if _, err := leases.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: 99, TTL: math.MinInt64}); err != nil {
		t.Errorf("grant of a negative TTL, which is raised: %v", err)
	}
	_, err := leases.LeaseGrant(ctx, &pb.LeaseGrantRequest{ID: 99, TTL: 100})
	says("grant twice", err, "FailedPrecondition: etcdserver: lease already exists")
	if _, err := leases.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: 99}); err != nil {
		t.Error(err)
	}
	_, err = leases.LeaseRevoke(ctx, &pb.LeaseRevokeRequest{ID: 99})
	says("revoke twice", err, "NotFound: etcdserver: requested lease not found")
	_, err = c.KV(node).Put(ctx, &pb.PutRequest{Key: []byte("a"), Lease: 99})
	says("put", err, "NotFound: etcdserver: requested lease not found")
	left, err := leases.LeaseTimeToLive(ctx, &pb.LeaseTimeToLiveRequest{ID: 99, Keys: true})
	if err != nil || left.TTL != -1 {
		t.Errorf("time to live: %v, %v", left, err)
	}
	stream, err := leases.LeaseKeepAlive(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []int64{99, 0, -1, math.MaxInt64} {
		if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil {
			t.Fatal(err)
		}
		if got, err := stream.Recv(); err != nil || got.ID != id || got.TTL != 0 {
			t.Errorf("keep-alive of %d: %v, %v", id, got, err)
		}
	}
}

// rawWatch opens a Watch stream on a connection of its own. A window limits what the connection takes in before somebody
// reads it; 0: the usual.
func rawWatch(ctx context.Context, t *testing.T, c *cluster.Cluster, node int, window int32) pb.Watch_WatchClient {
	t.Helper()
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32))}
	if window > 0 {
		options = append(options, grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window))
	}
	conn, err := grpc.NewClient(c.Nodes[node].ClientAddr, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	stream, err := pb.NewWatchClient(conn).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func sendCreate(t *testing.T, stream pb.Watch_WatchClient, r *pb.WatchCreateRequest) {
	t.Helper()
	if err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: r}}); err != nil {
		t.Fatalf("send: %v", err)
	}
}

func cancelWatch(t *testing.T, stream pb.Watch_WatchClient, id int64) {
	t.Helper()
	err := stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}})
	if err != nil {
		t.Fatalf("send: %v", err)
	}
}

func receive(t *testing.T, stream pb.Watch_WatchClient) *pb.WatchResponse {
	t.Helper()
	r, err := stream.Recv()
	if err != nil {
		t.Fatalf("receive: %v", err)
	}
	return r
}

// Bounds for what a client that reads nothing may do to others: generous, because the machine may be busy; without any
// bound in the server the figures are many times as high.
const (
	memoryBound  = 300 << 20
	latencyBound = 500 * time.Millisecond // of the median
	window       = 64 << 10
)

// TestSilentClient: a client has 10,000 watches of everything on one stream and reads nothing, while others write and
// watch. They go on, and the server's memory stays bounded. One client reads until its watches are made; the other has
// never read and wants all of history, so that its own requests stop at some time.
func TestSilentClient(t *testing.T) {
	const watches, puts = 10_000, 1000
	tests := []struct {
		name string
		from int64
		read bool
	}{{"reads no more", 0, true}, {"never read", 1, false}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := cluster.Start(t, cluster.Config{})
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			node := c.Followers()[0]
			kv := c.Client(node)
			before := measurePuts(ctx, t, kv, 300)
			idle := c.Nodes[node].RSS()

			stream := rawWatch(ctx, t, c, node, window)
			go func() {
				for range watches {
					everything := &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, PrevKv: true, StartRevision: tt.from}
					if stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: everything}}) != nil {
						return
					}
				}
			}()
			for n := 0; tt.read && n < watches; n++ {
				if r := receive(t, stream); !r.Created || r.Canceled {
					t.Fatalf("reply %d: %v", n, r)
				}
			}
			watch := c.Client(c.Leader()).Watch(ctx, "silent/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
			<-watch
			during := measurePuts(ctx, t, kv, puts)
			for seen := 0; seen < puts; {
				response, ok := <-watch
				if !ok || response.Err() != nil {
					t.Fatalf("another client's watch ends: %v", response.Err())
				}
				seen += len(response.Events)
			}
			grown := c.Nodes[node].RSS() - idle
			t.Logf("median of a put %v before, %v during, worst %v; memory of the node %+d MiB", before[len(before)/2],
				during[len(during)/2], during[len(during)-1], grown>>20)
			if median := during[len(during)/2]; median > latencyBound+10*before[len(before)/2] {
				t.Errorf("a put takes %v, it took %v before", median, before[len(before)/2])
			}
			if grown > memoryBound {
				t.Errorf("the node has grown by %d MiB", grown>>20)
			}
			if _, err := c.Status(node); err != nil {
				t.Errorf("status: %v", err)
			}
		})
	}
}

func measurePuts(ctx context.Context, t *testing.T, kv *clientv3.Client, n int) (latencies []time.Duration) {
	t.Helper()
	value := strings.Repeat("v", 512)
	for i := range n {
		begin := time.Now()
		if _, err := kv.Put(ctx, fmt.Sprintf("silent/%d", i%100), value); err != nil {
			t.Fatalf("put: %v", err)
		}
		latencies = append(latencies, time.Since(begin))
	}
	slices.Sort(latencies)
	return latencies
}

// TestSlowWatcher: a watch that is not read while 40 MiB of events go by and are compacted gets them in order, without a
// gap, up to where it is told that the rest was compacted; the server does not keep them for it.
func TestSlowWatcher(t *testing.T) {
	c := cluster.Start(t, cluster.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	node := c.Leader()
	stream := rawWatch(ctx, t, c, node, window)
	sendCreate(t, stream, &pb.WatchCreateRequest{Key: []byte("slow/"), RangeEnd: []byte("slow0")})
	created := receive(t, stream)

	idle := c.Nodes[node].RSS()
	const puts = 10_000
	value := strings.Repeat("v", 4096)
	fillSlow(ctx, t, c, puts, value)
	revision := c.Revision(node)
	if _, err := c.Client(node).Compact(ctx, revision); err != nil {
		t.Fatal(err)
	}
	grown := c.Nodes[node].RSS() - idle
	if _, err := c.Client(node).Put(ctx, "slow/last", ""); err != nil {
		t.Fatal(err)
	}
	next, got := created.Header.Revision+1, 0
	for {
		r := receive(t, stream)
		if r.Canceled {
			if r.CompactRevision != revision || got == puts {
				t.Errorf("ended with compact revision %d after %d of %d events, compacted at %d", r.CompactRevision, got, puts, revision)
			}
			t.Logf("%d of %d events, then compacted; memory %+d MiB", got, puts, grown>>20)
			break
		}
		for _, e := range r.Events {
			if e.Kv.ModRevision != next {
				t.Fatalf("revision %d, want %d", e.Kv.ModRevision, next)
			}
			next++
			got++
		}
		if got == puts+1 {
			t.Logf("all %d events, memory %+d MiB", got, grown>>20)
			break
		}
	}
	if grown > memoryBound {
		t.Errorf("the node has grown by %d MiB", grown>>20)
	}
}

func fillSlow(ctx context.Context, t *testing.T, c *cluster.Cluster, puts int, value string) {
	t.Helper()
	done := make(chan error)
	const writers = 20
	for w := range writers {
		go func() {
			var err error
			for i := w; i < puts && err == nil; i += writers {
				_, err = c.Client().Put(ctx, fmt.Sprintf("slow/%d", i%500), value)
			}
			done <- err
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}
