package main

import (
	"context"
	"sync"
	"time"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// Names of figures of leaders that end.
const (
	killGap = "gap after SIGKILL"
	stopGap = "gap after SIGTERM"
)

// Puts of a failover: started at a fixed rate and each given up after a while, so that neither a node that is gone nor a
// request that is lost with it keeps others from being tried.
const (
	failoverPuts    = 500
	failoverTimeout = time.Second
	failoverMargin  = 300 * time.Millisecond // of puts before the leader ends, and after the next is there
)

// failoverRow: the leader is killed under puts to all nodes, and another time asked to stop. The gap is the longest time
// between two acknowledgements.
func failoverRow(t *turn) sample {
	return sample{
		killGap: t.gap(func(n *cluster.Node) { n.Kill() }),
		stopGap: t.gap(func(n *cluster.Node) { n.Stop() }),
	}
}

// gap ends the leader and returns the longest time without an acknowledgement, in seconds.
func (t *turn) gap(end func(*cluster.Node)) float64 {
	leader, term := t.s.cluster.LeaderAfter(0)
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	pool := t.s.conns
	var mu sync.Mutex // of the two below
	var last time.Time
	var longest time.Duration
	acknowledged := make(chan struct{}, 1) // has something in it after an acknowledgement
	var load sync.WaitGroup
	load.Go(func() {
		// So many that some are idle although others wait for what will not come.
		workers := int(failoverPuts*failoverTimeout/time.Second) * 2
		t.paced(ctx, failoverPuts, workers, func(ctx context.Context, worker, n int) error {
			ctx, cancel := context.WithTimeout(ctx, failoverTimeout)
			defer cancel()
			err := pool[n%len(pool)].Invoke(ctx, putMethod, t.s.put(t.s.key(n%1000)), done{})
			if err != nil {
				return err
			}
			mu.Lock()
			now := time.Now()
			if !last.IsZero() {
				longest = max(longest, now.Sub(last))
			}
			last = now
			mu.Unlock()
			select {
			case acknowledged <- struct{}{}:
			default:
			}
			return nil
		})
	})
	select {
	case <-acknowledged:
	case <-ctx.Done():
		t.h.stop()
	}
	t.wait(failoverMargin)
	mu.Lock()
	longest = 0 // of connections that were opened, perhaps
	mu.Unlock()
	end(t.s.cluster.Nodes[leader])
	t.s.cluster.LeaderAfter(term)
	select { // one that is older than the new leader, perhaps: hence the margin
	case <-acknowledged:
	default:
	}
	select {
	case <-acknowledged:
	case <-time.After(requestTimeout):
		t.h.Fatalf("%s acknowledges nothing %v after the next leader is there", t.s.name, requestTimeout)
	}
	t.wait(failoverMargin)
	cancel()
	load.Wait()
	t.s.cluster.Nodes[leader].Restart()
	t.s.cluster.AwaitHealthy()
	for i := range t.s.cluster.Nodes {
		t.s.cluster.Revision(i) // which waits until it has all
	}
	return longest.Seconds()
}
