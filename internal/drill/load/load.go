// Package load is the clients of a drill: they put, read, swap and delete a few keys that all share, follow them with
// watches, and keep leases alive, on every member, the struck ones too. What they ask and are told goes to a [Recorder].
//
// Invariant: nobody waits for ever. Every request has a time limit, and after Stop no goroutine of the package is left.
package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// Target is a member that is asked, by a client of its own that asks nobody else.
type Target struct {
	Name   string
	Client *clientv3.Client
}

// Config describes the load. All fields are required but those that say otherwise.
type Config struct {
	Targets []Target
	Prefix  string // of all keys
	// Clients is the number of clients: one half stays with one member each, the other half moves on when a member fails.
	// Besides, each member is probed by clients of one kind of request each, that wait no longer than a second: they find out
	// what a member does that can do little.
	Clients int
	// Interval is the time between two requests of a client, as long as answers come faster.
	Interval time.Duration
	Timeout  time.Duration // of one request
	// Leases is how many there are, LeaseTTL how long they live when nobody renews them.
	Leases   int
	LeaseTTL time.Duration
	Seed     uint64
}

const (
	keys = 24
	// standBack is how long a client waits after an error, lest it hammer on a member that is down.
	standBack    = 50 * time.Millisecond
	probeTimeout = time.Second
	// giveUp is how long a client that moves from member to member tries one request.
	giveUp = 10 * time.Second
	// hopEvery is about how long the watcher that changes members stays with one.
	hopEvery = 5 * time.Second
	// pollEvery is how often each member is asked for its status.
	pollEvery   = 100 * time.Millisecond
	pollTimeout = 500 * time.Millisecond
)

// Load is a running load.
type Load struct {
	cfg      Config
	rec      *Recorder
	requests sync.WaitGroup // those who write
	watchers sync.WaitGroup
	pollers  sync.WaitGroup

	stopRequests, stopWatchers, stopPollers context.CancelFunc
	following                               []*watcher
}

// Start lets the clients run.
func Start(cfg Config, rec *Recorder) *Load {
	l := &Load{cfg: cfg, rec: rec}
	background := context.Background()
	var requests, watches, polls context.Context
	requests, l.stopRequests = context.WithCancel(background)
	watches, l.stopWatchers = context.WithCancel(background)
	polls, l.stopPollers = context.WithCancel(background)
	for i := range cfg.Clients {
		c := &client{
			load: l, id: i + 1, member: i / 2 % len(cfg.Targets), roams: i%2 == 1, timeout: cfg.Timeout, rng: l.rng(1, i),
			seen: map[string]int64{},
		}
		l.requests.Go(func() { c.run(requests) })
	}
	for i := range cfg.Targets {
		for n, kind := range []history.Kind{history.Stale, history.Get, history.Put} {
			id := cfg.Clients + cfg.Leases + 3*i + n + 1
			c := &client{load: l, id: id, member: i, only: kind, timeout: probeTimeout, rng: l.rng(4, id), seen: map[string]int64{}}
			l.requests.Go(func() { c.run(requests) })
		}
	}
	for i := range cfg.Leases {
		k := &keeper{load: l, client: cfg.Clients + i + 1, rng: l.rng(2, i), ends: i%3 == 2}
		l.requests.Go(func() { k.run(requests, i) })
	}
	for i := range len(cfg.Targets) + 1 {
		w := &watcher{
			load: l, id: i + 1, member: i, hops: i == len(cfg.Targets), rng: l.rng(3, i), next: rec.First() + 1,
			moved: make(chan struct{}, 1),
		}
		l.following = append(l.following, w)
		l.watchers.Go(func() { w.run(watches) })
	}
	for _, t := range cfg.Targets {
		l.pollers.Go(func() { l.poll(polls, t) })
	}
	return l
}

func (l *Load) rng(kind, n int) *rand.Rand {
	return rand.New(rand.NewPCG(l.cfg.Seed, uint64(kind)<<32|uint64(n)))
}

func (l *Load) key(n int) string { return fmt.Sprintf("%sk%02d", l.cfg.Prefix, n) }

// StopRequests ends the requests and waits for the answers of those under way.
func (l *Load) StopRequests() {
	l.stopRequests()
	l.requests.Wait()
}

// AwaitWatchers waits until all watchers have seen everything up to a revision, or ctx ends; it returns how many have not.
func (l *Load) AwaitWatchers(ctx context.Context, revision int64) (behind int) {
	for _, w := range l.following {
		if !w.await(ctx, revision) {
			behind++
		}
	}
	return behind
}

// Stop ends all that is left.
func (l *Load) Stop() {
	l.StopRequests()
	l.stopWatchers()
	l.watchers.Wait()
	l.stopPollers()
	l.pollers.Wait()
}

// wait returns false when ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
