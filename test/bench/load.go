package main

import (
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quorumkv/quorumkv/test/bench/h2"
)

// requestTimeout ends a request that no healthy server leaves open this long.
const requestTimeout = 20 * time.Second

// warmup is how much of a measurement's length goes before it, uncounted.
const warmup = 0.15

// errorPause keeps clients of a server that fails at once from taking its processor.
const errorPause = 10 * time.Millisecond

// sample is one measurement: figures by name, times in seconds, memory in bytes.
type sample map[string]float64

// Names of figures that several rows have.
const (
	rate       = "per second"
	mean       = "mean"
	p50        = "p50"
	p99        = "p99"
	serverCPU  = "server CPU s per 100,000" // of all nodes
	clientCPU  = "client CPU s per 100,000" // of this process
	errorCount = "errors"
)

// call begins one operation of one client. When the answer is there, or none will come, then is called, on a goroutine that must
// not be kept waiting.
type call func(then func(error))

// client says who makes a call.
type client struct {
	number int
	conn   *h2.Conn
	rng    *rand.Rand
}

// drive lets clients call as fast as they are answered, each waiting for its answer, for the length of a measurement and
// no more than limit calls; 0 is no limit.
func (t *turn) drive(clients, limit int, newCall func(client) call) sample {
	calls := make([]call, clients)
	pool := t.s.pool(clients)
	for i := range calls {
		calls[i] = newCall(client{i, pool[i%len(pool)], rand.New(rand.NewPCG(uint64(t.round), uint64(i)))})
	}
	ctx, cancel := context.WithTimeout(t.ctx, 2*t.size.duration+requestTimeout)
	defer cancel()
	// What is not answered by then is given up, with its connection.
	defer context.AfterFunc(ctx, func() {
		for _, c := range pool {
			c.Reset()
		}
	})()

	run := func(length time.Duration, limit int) (*tally, time.Duration) {
		begin := time.Now()
		l := &load{ctx: ctx, end: begin.Add(length), limit: int64(limit)}
		workers := make([]worker, clients)
		l.busy.Add(clients)
		for i := range workers {
			workers[i].begin(l, calls[i])
		}
		l.busy.Wait()
		elapsed := time.Since(begin)
		var all tally
		for i := range workers {
			all.join(&workers[i].own)
		}
		return &all, elapsed
	}
	if limit == 0 {
		run(time.Duration(warmup*float64(t.size.duration)), 0)
	}
	runtime.GC() // what is left of the last measurement is none of this one's cost
	before, own := t.s.cpu(), ownCPU()
	all, elapsed := run(t.size.duration, limit)
	return all.sample(t, elapsed, t.s.cpu()-before, ownCPU()-own)
}

// load is what the clients of a measurement have in common.
type load struct {
	ctx     context.Context
	end     time.Time
	limit   int64 // of calls; 0 is none
	started atomic.Int64
	busy    sync.WaitGroup
}

// worker is one client. It is no goroutine: an answer leads to the next call.
type worker struct {
	*load
	call call
	then func(error) // answered, made once
	at   time.Time   // when the call began
	own  tally
}

func (w *worker) begin(l *load, call call) {
	w.load, w.call, w.then = l, call, w.answered
	w.next(time.Now())
}

func (w *worker) next(now time.Time) {
	if now.After(w.end) || w.ctx.Err() != nil || w.limit > 0 && w.started.Add(1) > w.limit {
		w.busy.Done()
		return
	}
	w.at = now
	w.call(w.then)
}

func (w *worker) answered(err error) {
	now := time.Now()
	w.own.count(now.Sub(w.at), err)
	if err == nil {
		w.next(now)
		return
	}
	time.AfterFunc(errorPause, func() { w.next(time.Now()) })
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// ownCPU is the processor time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it has no other failure than a bad address
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// tally is what clients count.
type tally struct {
	latencies []time.Duration
	errors    int
	lastError error
}

func (y *tally) count(latency time.Duration, err error) {
	if err != nil {
		y.errors, y.lastError = y.errors+1, err
		return
	}
	y.latencies = append(y.latencies, latency)
}

func (y *tally) join(other *tally) {
	y.latencies = append(y.latencies, other.latencies...)
	y.errors += other.errors
	if other.lastError != nil {
		y.lastError = other.lastError
	}
}

// sample sums up. A measurement without a single success fails, and so does one with more errors than happen by chance.
func (y *tally) sample(t *turn, elapsed, cpu, own time.Duration) sample {
	n := len(y.latencies)
	if float64(y.errors) > t.size.errors*float64(n) || n == 0 {
		t.h.Fatalf("%s on %s: %d of %d calls failed, the last: %v", t.row, t.s.name, y.errors, n+y.errors, y.lastError)
	}
	if y.errors > 0 {
		t.h.Logf("    %s on %s: %d of %d calls failed, the last: %v", t.row, t.s.name, y.errors, n+y.errors, y.lastError)
	}
	s := sample{
		rate:       float64(n) / elapsed.Seconds(),
		serverCPU:  cpu.Seconds() / float64(n) * 100_000,
		clientCPU:  own.Seconds() / float64(n) * 100_000,
		errorCount: float64(y.errors),
	}
	s.addLatencies(y.latencies)
	return s
}

func (s sample) addLatencies(all []time.Duration) {
	slices.Sort(all)
	var total time.Duration
	for _, l := range all {
		total += l
	}
	s[mean] = total.Seconds() / float64(len(all))
	s[p50], s[p99] = all[len(all)/2].Seconds(), all[len(all)*99/100].Seconds()
}

// paced makes calls at a fixed rate, whether earlier ones were answered or not, from so many goroutines, until ctx ends.
// A latency counts from when the call was due: a server that stands still is charged for what it kept waiting.
func (t *turn) paced(ctx context.Context, perSecond, workers int, do func(ctx context.Context, worker, n int) error) *tally {
	type due struct {
		n  int
		at time.Time
	}
	queue := make(chan due, 20*perSecond) // to the workers, closed by this goroutine; holds 20 s
	var all tally
	var mu sync.Mutex // of all
	var busy sync.WaitGroup
	// A call that is on its way when the time is over is waited for: it counts.
	calls, cancel := context.WithCancel(t.ctx)
	defer cancel()
	for i := range workers {
		busy.Go(func() {
			ctx, cancel := context.WithCancel(calls)
			defer cancel()
			var own tally
			for d := range queue {
				err := do(ctx, i, d.n)
				own.count(time.Since(d.at), err)
			}
			mu.Lock()
			defer mu.Unlock()
			all.join(&own)
		})
	}
	begin := time.Now()
	interval := time.Second / time.Duration(perSecond)
	timer := time.NewTimer(0)
	defer timer.Stop()
send:
	for n := 0; ; n++ {
		at := begin.Add(time.Duration(n) * interval)
		if wait := time.Until(at); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				break send
			}
		}
		select {
		case queue <- due{n, at}:
		case <-ctx.Done():
			break send
		}
	}
	close(queue)
	stuck := time.AfterFunc(requestTimeout, cancel)
	busy.Wait()
	stuck.Stop()
	return &all
}
