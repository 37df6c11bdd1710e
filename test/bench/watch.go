package main

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// Names of the operations on watches and leases.
const (
	watchLatency = "watch-latency"
	watchFanout  = "watch-fanout"
	watchMemory  = "watch-memory"
	keepAlive    = "keep-alive"
)

// fanoutStreams is how many streams, a connection each, the watchers of a fan-out share.
const fanoutStreams = 20

// fanoutAhead is how many puts the writer of a fan-out may be ahead of the watchers.
const fanoutAhead = 16

// watching is a set of streams whose watchers all watch one prefix.
type watching struct {
	conns     []*grpc.ClientConn
	watchers  int
	delivered atomic.Int64
	failed    atomic.Pointer[error]
	moved     chan struct{} // has something in it after a delivery
	stop      context.CancelFunc
	done      sync.WaitGroup
}

// watch makes so many watchers, spread over streams, and the streams over nodes.
func (s *system) watch(ctx context.Context, h *host, watchers, streams int, nodes []int, prefix string) *watching {
	w := &watching{watchers: watchers, moved: make(chan struct{}, 1)}
	ctx, w.stop = context.WithCancel(ctx)
	request := encode(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
		Key: []byte(prefix), RangeEnd: []byte(prefix + "\xff")}}})
	for i := range streams {
		conn := dial(h, s.cluster.Nodes[nodes[i%len(nodes)]].ClientAddr)
		stream, err := conn.NewStream(ctx, streamDesc, watchMethod, grpc.ForceCodecV2(rawCodec{}))
		if err != nil {
			h.Fatalf("open a stream to %s: %v", s.name, err)
		}
		w.conns = append(w.conns, conn)
		own := watchers/streams + min(1, max(0, watchers%streams-i))
		var r scanned
		for range own {
			err := stream.SendMsg(request)
			if err == nil {
				err = stream.RecvMsg(&r)
			}
			if err != nil || !r.watch || r.end {
				h.Fatalf("watch on %s: %+v, %v", s.name, r, err)
			}
		}
		w.done.Go(func() { w.receive(ctx, stream) })
	}
	return w
}

func (w *watching) receive(ctx context.Context, stream grpc.ClientStream) {
	var r scanned
	for {
		if err := stream.RecvMsg(&r); err != nil {
			if ctx.Err() == nil {
				w.failed.Store(&err)
			}
			return
		}
		w.delivered.Add(int64(r.events))
		select {
		case w.moved <- struct{}{}:
		default:
		}
	}
}

func (w *watching) close() {
	w.stop()
	w.done.Wait()
	for _, c := range w.conns {
		c.Close()
	}
}

// await blocks until so many events were delivered. The error is that of a stream, or of ctx.
func (w *watching) await(ctx context.Context, events int64) error {
	for w.delivered.Load() < events {
		if err := w.failed.Load(); err != nil {
			return *err
		}
		select {
		case <-w.moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// measureWatch: one writer puts, and is never more than ahead puts before the watchers. A latency is the time from sending
// a put until all of the watchers together have got as many events as they have to by then.
func (s *system) measureWatch(ctx context.Context, h *host, watchers, streams, ahead int, nodes []int) result {
	const prefix = "watch/"
	w := s.watch(ctx, h, watchers, streams, nodes, prefix)
	defer w.close()
	kv := s.conns[s.cluster.Leader()]
	before := s.cpu()
	begin := time.Now()
	var r result
	sent := []time.Time{}
	var latencies []time.Duration
	settle := func(until int) {
		waiting, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		for n := len(latencies); n < until; n++ {
			if err := w.await(waiting, int64(watchers)*int64(n+1)); err != nil {
				h.Fatalf("%s delivers %d of %d events: %v", s.name, w.delivered.Load(), watchers*(n+1), err)
			}
			latencies = append(latencies, time.Since(sent[n]))
		}
	}
	for time.Since(begin) < s.opts.duration && ctx.Err() == nil {
		sent = append(sent, time.Now())
		if _, err := kv.Put(ctx, prefix+s.key(len(sent)%100), s.value); err != nil {
			h.Fatalf("put to %s: %v", s.name, err)
		}
		settle(len(sent) - ahead + 1)
	}
	settle(len(sent))
	r.elapsed, r.cpu, r.ops = time.Since(begin), s.cpu()-before, int(w.delivered.Load())
	slices.Sort(latencies)
	r.p50, r.p99 = latencies[len(latencies)/2], latencies[len(latencies)*99/100]
	return r
}

// leaseCount is how many leases the keep-alives go to.
const leaseCount = 1000

// grant makes the leases of a system, once.
func (s *system) grant(ctx context.Context, h *host) {
	if s.leases != nil {
		return
	}
	for i := range leaseCount {
		response, err := s.conns[i%len(s.conns)].Grant(ctx, 3600)
		if err != nil {
			h.Fatalf("grant on %s: %v", s.name, err)
		}
		s.leases = append(s.leases, encode(&pb.LeaseKeepAliveRequest{ID: int64(response.ID)}))
	}
}

// measureKeepAlive: each client has a stream and renews one lease after the other on it, waiting for each answer.
func (s *system) measureKeepAlive(ctx context.Context, h *host, clients int) result {
	s.grant(ctx, h)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var conns []*grpc.ClientConn
	nodes := []int{0, 1, 2}
	if clients == 1 {
		nodes = []int{s.cluster.Leader()}
	}
	for i := range min(clients, max(s.opts.conns, 3)) {
		conns = append(conns, dial(h, s.cluster.Nodes[nodes[i%len(nodes)]].ClientAddr))
	}
	var streams []grpc.ClientStream
	for i := range clients {
		stream, err := conns[i%len(conns)].NewStream(ctx, streamDesc, keepAliveMethod, grpc.ForceCodecV2(rawCodec{keepAlive: true}))
		if err != nil {
			h.Fatalf("open a stream to %s: %v", s.name, err)
		}
		streams = append(streams, stream)
	}
	tallies := make([]tally, clients)
	before := s.cpu()
	begin := time.Now()
	end := begin.Add(s.opts.duration)
	var workers sync.WaitGroup
	for i, stream := range streams {
		workers.Go(func() {
			t := &tallies[i]
			var r scanned
			for n := i; ; n++ {
				at := time.Now()
				if at.After(end) {
					return
				}
				err := stream.SendMsg(s.leases[n%len(s.leases)])
				if err == nil {
					err = stream.RecvMsg(&r)
				}
				if err != nil {
					t.errors, t.lastError = t.errors+1, err
					return
				}
				if r.ttl <= 0 {
					t.errors, t.lastError = t.errors+1, errDead
					continue
				}
				t.latencies = append(t.latencies, time.Since(at))
			}
		})
	}
	workers.Wait()
	r := sum(tallies, time.Since(begin), s.cpu()-before)
	for _, c := range conns {
		c.Close()
	}
	return r
}
