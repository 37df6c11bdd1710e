package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// opNames are the operations, in the order of the report.
var opNames = []string{"put", "range", "range-serializable", watchLatency, watchFanout, keepAlive, watchMemory}

// requestTimeout ends a request that no healthy server leaves open this long.
const requestTimeout = 10 * time.Second

// system is one cluster under load.
type system struct {
	name    string
	opts    options
	cluster *cluster.Cluster
	value   string
	conns   []*clientv3.Client // conns[i] talks to node i modulo the number of nodes
	leases  []encoded          // requests to renew them
}

func newSystem(h *host, program cluster.Program, o options) *system {
	s := &system{name: program.Name, opts: o, value: strings.Repeat("v", o.value)}
	s.cluster = cluster.Start(h, cluster.Config{Program: program})
	s.cluster.AwaitHealthy()
	for i := range max(o.conns, 3) {
		client, err := cluster.NewClient(s.cluster.Endpoints(i % 3)...)
		if err != nil {
			h.Fatalf("connect to %s: %v", program.Name, err)
		}
		s.conns = append(s.conns, client)
	}
	return s
}

func (s *system) close() {
	for _, c := range s.conns {
		c.Close()
	}
}

func (s *system) key(i int) string { return fmt.Sprintf("%08d", i) }

// fill writes every key once, which also opens every connection.
func (s *system) fill(ctx context.Context, h *host) {
	var workers sync.WaitGroup
	errs := make(chan error, len(s.conns))
	for i, conn := range s.conns {
		workers.Go(func() {
			for k := i; k < s.opts.keys; k += len(s.conns) {
				if _, err := conn.Put(ctx, s.key(k), s.value); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	workers.Wait()
	select {
	case err := <-errs:
		h.Fatalf("fill %s: %v", s.name, err)
	default:
	}
}

// result is one measurement.
type result struct {
	ops       int
	errors    int
	elapsed   time.Duration
	p50, p99  time.Duration
	cpu       time.Duration // of all nodes
	lastError error
}

func (r result) rate() float64 { return float64(r.ops) / r.elapsed.Seconds() }

func (r result) cpuPerOp() time.Duration { return r.cpu / time.Duration(max(r.ops, 1)) }

func (r result) String() string {
	text := fmt.Sprintf("%8.0f/s  p50 %8s  p99 %8s  server CPU %s each", r.rate(), short(r.p50), short(r.p99),
		short(r.cpuPerOp()))
	if r.errors > 0 {
		text += fmt.Sprintf("  %d errors, the last: %v", r.errors, r.lastError)
	}
	return text
}

// tally is what one client counts.
type tally struct {
	latencies []time.Duration
	errors    int
	lastError error
}

// measure runs one operation with so many clients for the configured time.
func (s *system) measure(ctx context.Context, h *host, op string, clients int, round uint64) result {
	conns := s.conns[:min(clients, len(s.conns))]
	if clients == 1 {
		leader := s.cluster.Leader()
		conns = s.conns[leader : leader+1]
	}
	switch op {
	case watchLatency:
		leader := s.cluster.Leader()
		return s.measureWatch(ctx, h, 1, 1, 1, []int{leader})
	case watchFanout:
		return s.measureWatch(ctx, h, clients, fanoutStreams, fanoutAhead, []int{0, 1, 2})
	case keepAlive:
		return s.measureKeepAlive(ctx, h, clients)
	}
	tallies := make([]tally, clients)
	before := s.cpu()
	begin := time.Now()
	end := begin.Add(s.opts.duration)
	var workers sync.WaitGroup
	for i := range clients {
		rng := rand.New(rand.NewPCG(s.opts.seed+round, uint64(i)))
		workers.Go(func() { s.work(ctx, conns[i%len(conns)], op, rng, end, &tallies[i]) })
	}
	workers.Wait()
	return sum(tallies, time.Since(begin), s.cpu()-before)
}

// sum makes one result of what the clients counted.
func sum(tallies []tally, elapsed, cpu time.Duration) result {
	r := result{elapsed: elapsed, cpu: cpu}
	var all []time.Duration
	for i := range tallies {
		all = append(all, tallies[i].latencies...)
		r.errors += tallies[i].errors
		if tallies[i].lastError != nil {
			r.lastError = tallies[i].lastError
		}
	}
	r.ops = len(all)
	if r.ops > 0 {
		slices.Sort(all)
		r.p50, r.p99 = all[len(all)/2], all[len(all)*99/100]
	}
	return r
}

func (s *system) work(ctx context.Context, kv *clientv3.Client, op string, rng *rand.Rand, end time.Time, t *tally) {
	for ctx.Err() == nil {
		key := s.key(rng.IntN(s.opts.keys))
		requestCtx, cancel := context.WithTimeout(ctx, requestTimeout)
		begin := time.Now()
		if begin.After(end) {
			cancel()
			return
		}
		var err error
		switch op {
		case "put":
			_, err = kv.Put(requestCtx, key, s.value)
		case "range":
			_, err = kv.Get(requestCtx, key)
		case "range-serializable":
			_, err = kv.Get(requestCtx, key, clientv3.WithSerializable())
		}
		cancel()
		if err != nil {
			t.errors++
			t.lastError = err
			continue
		}
		t.latencies = append(t.latencies, time.Since(begin))
	}
}

func (s *system) cpu() (total time.Duration) {
	for _, n := range s.cluster.Nodes {
		total += n.CPU()
	}
	return total
}
