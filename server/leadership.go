package server

import (
	"context"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// leadership watches whether this member knows a leader, for two kinds of clients that must not be told at every
// flicker: gRPC health checks, and streams that asked to be cancelled when the leader is gone for good.
//
// One goroutine, Run, observes; it is started and awaited by the server.
type leadership struct {
	node     node
	election time.Duration
	// serving is told when the health of the member changes. Run calls it, and nobody else.
	serving func(bool)

	mu sync.Mutex
	// streams are those that asked for a leader, with what cancels them.
	streams map[*leaderStream]struct{}
}

// leaderStream is one stream that lives only as long as there is a leader.
type leaderStream struct{ cancel context.CancelCauseFunc }

const (
	// streamPatience is how many election timeouts without a leader a stream survives. Reconnecting costs a client
	// much more than waiting does.
	streamPatience = 3
	// observationsPerElection sets the grain of everything measured in election timeouts.
	observationsPerElection = 10
)

func newLeadership(n node, election time.Duration) *leadership {
	return &leadership{node: n, election: election, serving: func(bool) {}, streams: make(map[*leaderStream]struct{})}
}

// Run observes until ctx ends; from then on the member does not count as healthy.
func (l *leadership) Run(ctx context.Context) {
	ticker := time.NewTicker(max(l.election/observationsPerElection, time.Millisecond))
	defer ticker.Stop()
	start := time.Now()
	tenure := tenure{election: l.election}
	serving := false
	defer l.serving(false)
	for {
		now, abandoned := tenure.observe(time.Since(start), l.hasLeader())
		if now != serving {
			serving = now
			l.serving(serving)
		}
		if abandoned {
			l.cancelStreams()
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (l *leadership) hasLeader() bool { return l.node.Status().Leader != 0 }

// attach returns a context for a stream that ends, with "no leader" as its cause, when the leader is gone for good.
// detach must be called when the stream has ended.
func (l *leadership) attach(ctx context.Context) (_ context.Context, detach func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &leaderStream{cancel}
	l.mu.Lock()
	l.streams[s] = struct{}{}
	l.mu.Unlock()
	return ctx, func() {
		l.mu.Lock()
		delete(l.streams, s)
		l.mu.Unlock()
		cancel(nil)
	}
}

func (l *leadership) cancelStreams() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.streams {
		s.cancel(rpctypes.ErrGRPCNoLeader)
	}
}

// tenure turns observations of a leader into decisions. It has no clock of its own.
type tenure struct {
	election time.Duration

	observed bool
	leader   bool          // at the last observation
	since    time.Duration // when leader last changed
	serving  bool
	served   bool // serving was true before
}

// observe takes one observation. serving follows the leader with a delay of one election timeout either way, so that a
// leader who comes and goes does not flap health checks; only the very first leader counts at once. abandoned is true
// as long as there has been no leader for so long that streams must go elsewhere.
func (t *tenure) observe(now time.Duration, leader bool) (serving, abandoned bool) {
	if !t.observed || leader != t.leader {
		t.observed, t.leader, t.since = true, leader, now
	}
	held := now - t.since
	if held >= t.election || leader && !t.served {
		t.serving = leader
		t.served = t.served || leader
	}
	return t.serving, !leader && held >= streamPatience*t.election
}
