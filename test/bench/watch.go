package main

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/test/bench/h2"
)

// fanoutStreams is how many streams, a connection each, the watchers of a fan-out share.
const fanoutStreams = 20

// fanoutAhead is how many puts the writer of a fan-out may be ahead of the watchers.
const fanoutAhead = 16

// watchTimeout ends the making of watchers.
const watchTimeout = time.Minute

// watchPrefix is what watchers watch.
const watchPrefix = "watch/"

// watching is a set of streams whose watchers all watch one prefix.
type watching struct {
	conns     []*h2.Conn
	streams   []*h2.Stream
	created   atomic.Int64 // watchers
	delivered atomic.Int64 // events
	failed    once
	moved     chan struct{} // has something in it after a delivery or a failure
}

// watch makes so many watchers, spread over streams, and the streams over nodes. value, unless it is nil, is called with
// each event's value, from the stream's goroutine.
func (t *turn) watch(watchers, streams int, prefix string, value func([]byte)) *watching {
	w := &watching{moved: make(chan struct{}, 1)}
	ctx, cancel := context.WithTimeout(t.ctx, watchTimeout)
	defer cancel()
	request := encode(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
		Key: []byte(prefix), RangeEnd: []byte(prefix + "\xff")}}})
	created := int64(0)
	for i := range streams {
		conn := dial(t.h, t.s.cluster.Nodes[i%len(t.s.cluster.Nodes)].ClientAddr)
		r := &watched{value: value}
		stream := conn.Open(watchMethod, r, func(err error) { w.receive(r, err) })
		w.conns, w.streams = append(w.conns, conn), append(w.streams, stream)
		for range watchers/streams + min(1, max(0, watchers%streams-i)) {
			err := stream.Send(request)
			if err == nil {
				created++
				err = w.await(ctx, &w.created, created)
			}
			if err != nil {
				t.h.Fatalf("watch on %s: %v", t.s.name, err)
			}
		}
	}
	return w
}

var errCanceled = errors.New("the server has canceled a watch")

func (w *watching) receive(r *watched, err error) {
	switch {
	case err != nil:
		w.failed.set(err)
	case r.end:
		w.failed.set(errCanceled)
	case r.watch:
		w.created.Add(1)
	default:
		w.delivered.Add(int64(r.events))
	}
	select {
	case w.moved <- struct{}{}:
	default:
	}
}

func (w *watching) close() {
	for _, s := range w.streams {
		s.Cancel()
	}
	for _, c := range w.conns {
		c.Close()
	}
}

// await blocks until count has come to n. The error is that of a stream, or of ctx.
func (w *watching) await(ctx context.Context, count *atomic.Int64, n int64) error {
	for count.Load() < n {
		if err := w.failed.get(); err != nil {
			return err
		}
		select {
		case <-w.moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// fanoutRow: one writer puts, and is never more than some puts before the watchers. A latency is the time from sending a
// put until all of the watchers together have got as many events as they have to by then.
func fanoutRow(t *turn) sample {
	watchers := t.size.watchers
	w := t.watch(watchers, min(fanoutStreams, watchers), watchPrefix, nil)
	defer w.close()
	conn := t.s.pool(1)[0]
	before, own, begin := t.s.cpu(), ownCPU(), time.Now()
	var sent []time.Time
	var latencies []time.Duration
	settle := func(until int) {
		waiting, cancel := context.WithTimeout(t.ctx, requestTimeout)
		defer cancel()
		for n := len(latencies); n < until; n++ {
			if err := w.await(waiting, &w.delivered, int64(watchers)*int64(n+1)); err != nil {
				t.h.Fatalf("%s delivers %d of %d events: %v", t.s.name, w.delivered.Load(), watchers*(n+1), err)
			}
			latencies = append(latencies, time.Since(sent[n]))
		}
	}
	for time.Since(begin) < t.size.duration && t.ctx.Err() == nil {
		sent = append(sent, time.Now())
		key := append([]byte(watchPrefix), t.s.key(len(sent)%100)...)
		if err := conn.Invoke(t.ctx, putMethod, t.s.put(key), done{}); err != nil {
			t.h.Fatalf("put to %s: %v", t.s.name, err)
		}
		settle(len(sent) - fanoutAhead + 1)
	}
	settle(len(sent))
	elapsed, events := time.Since(begin), float64(w.delivered.Load())
	s := sample{
		rate:      events / elapsed.Seconds(),
		serverCPU: (t.s.cpu() - before).Seconds() / events * 100_000,
		clientCPU: (ownCPU() - own).Seconds() / events * 100_000,
	}
	s.addLatencies(latencies)
	return s
}

// watchWriters is how many puts a writer with a fixed rate may have on the way.
const watchWriters = 500

// watchLatencyRow: one watcher on each node, and puts at a fixed rate. A latency counts from when a put was due until its
// event is there.
func watchLatencyRow(t *turn) sample {
	perSecond := t.size.watchedPuts
	begin := time.Now()
	var mu sync.Mutex // of latencies
	var latencies []time.Duration
	w := t.watch(len(t.s.cluster.Nodes), len(t.s.cluster.Nodes), watchPrefix, func(value []byte) {
		// The first bytes of a value are when it was due.
		due := time.Duration(binary.BigEndian.Uint64(value))
		latency := time.Since(begin) - due
		mu.Lock()
		defer mu.Unlock()
		latencies = append(latencies, latency)
	})
	defer w.close()

	pool := t.s.pool(maxConns)
	ctx, cancel := context.WithTimeout(t.ctx, t.size.duration)
	defer cancel()
	before, own := t.s.cpu(), ownCPU()
	start := time.Now()
	puts := t.paced(ctx, perSecond, watchWriters, func(ctx context.Context, worker, n int) error {
		due := start.Add(time.Duration(n) * time.Second / time.Duration(perSecond)).Sub(begin)
		value := append([]byte(nil), t.s.value...)
		binary.BigEndian.PutUint64(value, uint64(due))
		key := append([]byte(watchPrefix), t.s.key(n%1000)...)
		request := encode(&pb.PutRequest{Key: key, Value: value})
		return pool[worker%len(pool)].Invoke(ctx, putMethod, request, done{})
	})
	s := puts.sample(t, time.Since(start), t.s.cpu()-before, ownCPU()-own)
	waiting, stop := context.WithTimeout(t.ctx, requestTimeout)
	defer stop()
	want := int64(len(puts.latencies) * len(t.s.cluster.Nodes))
	if err := w.await(waiting, &w.delivered, want); err != nil {
		t.h.Fatalf("%s delivers %d of %d events: %v", t.s.name, w.delivered.Load(), want, err)
	}
	mu.Lock()
	defer mu.Unlock()
	s.addLatencies(latencies) // of events, in place of the puts'
	return s
}

// idleStreams is how many streams, a connection each, idle watchers share.
const idleStreams = 100

// idleWatchersRow is what a watcher costs that has nothing to do, on a new node alone: one that has served has memory to
// spare.
func idleWatchersRow(t *turn) sample {
	streams := min(idleStreams, t.size.idle)
	// The first streams and watchers bring up what is there once.
	t.watch(streams, streams, "warm/", nil).close()
	t.wait(t.size.settle)
	before := t.memory()
	w := t.watch(t.size.idle, streams, "idle/", nil)
	defer w.close()
	t.wait(t.size.settle)
	after := t.memory()
	return sample{bytesEach: float64(after-before) / float64(t.size.idle), heapMemory: float64(after)}
}

// Names of figures of memory.
const (
	bytesEach  = "bytes each"
	heapMemory = "memory"
	fileMemory = "mapped file"
)

// memory is what all nodes hold of their own, in bytes.
func (t *turn) memory() int64 {
	anonymous, _, err := t.s.memory()
	if err != nil {
		t.h.Fatalf("memory of %s: %v", t.s.name, err)
	}
	return anonymous
}
