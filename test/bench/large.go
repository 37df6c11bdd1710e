package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// largeTimeout ends what takes long by nature: catching up, compacting, starting with a large store.
const largeTimeout = 15 * time.Minute

// memoryRow: the memory of all nodes after a large store was written, at rest, for one node.
func memoryRow(t *turn) sample {
	t.s.fill(t.ctx, t.h, t.size.large)
	t.wait(t.size.settle)
	anonymous, file, err := t.s.memory()
	if err != nil {
		t.h.Fatalf("memory of %s: %v", t.s.name, err)
	}
	nodes := float64(len(t.s.cluster.Nodes))
	return sample{heapMemory: float64(anonymous) / nodes, fileMemory: float64(file) / nodes}
}

// restartRow: a follower with a large store is stopped and started; until it answers a linearizable read.
func restartRow(t *turn) sample {
	t.s.fill(t.ctx, t.h, t.size.large)
	node := t.s.cluster.Nodes[t.s.cluster.Followers()[0]]
	node.Stop()
	begin := time.Now()
	node.Start()
	t.awaitLog(node)
	ready := time.Since(begin)
	t.awaitRevision(node, 0)
	return sample{readyTime: time.Since(begin).Seconds(), servingTime: ready.Seconds()}
}

// Names of figures of nodes that start.
const (
	readyTime   = "ready after"
	servingTime = "says so after"
	caughtUp    = "caught up after"
)

// catchUpRow: a follower misses writes; from its start until it has all of them.
func catchUpRow(t *turn) sample {
	t.s.fill(t.ctx, t.h, t.size.large)
	followers := t.s.cluster.Followers()
	node := t.s.cluster.Nodes[followers[0]]
	node.Stop()
	t.s.overwrite(t.ctx, t.h, t.size.missed)
	revision := t.s.cluster.Revision(followers[1])
	begin := time.Now()
	node.Start()
	t.awaitLog(node)
	t.awaitRevision(node, revision)
	return sample{caughtUp: time.Since(begin).Seconds()}
}

// awaitLog waits until a node says that it is ready, which may take longer than the harness lets it take.
func (t *turn) awaitLog(node *cluster.Node) {
	if _, ok := node.AwaitLog("ready to serve client requests", largeTimeout); !ok {
		t.h.Fatalf("%s of %s is not ready after %v (running: %v)", node.Name, t.s.name, largeTimeout, node.Running())
	}
}

// awaitRevision waits until a node answers a linearizable read, which has to be at the revision or above.
func (t *turn) awaitRevision(node *cluster.Node, revision int64) {
	conn := dial(t.h, node.ClientAddr)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.ctx, largeTimeout)
	defer cancel()
	request := encode(&pb.RangeRequest{Key: t.s.key(0)})
	for {
		var r ranged
		err := conn.Invoke(ctx, rangeMethod, request, &r)
		if err == nil && r.revision >= revision {
			return
		}
		if err == nil {
			err = fmt.Errorf("a linearizable read has revision %d, want %d", r.revision, revision)
			t.h.Fatalf("%s of %s: %v", node.Name, t.s.name, err)
		}
		if ctx.Err() != nil {
			t.h.Fatalf("%s of %s answers no read: %v", node.Name, t.s.name, err)
		}
		pause(ctx, errorPause) // it says at once that it is not ready
	}
}

// Names of figures of compaction.
const (
	idleP99      = "p99 idle"
	compactedP99 = "p99 meanwhile"
	slowdown     = "p99 meanwhile / idle"
	compactTime  = "compacted after"
)

// compactionWriters is how many puts may be on the way beside a compaction.
const compactionWriters = 200

// compactionRow: puts at a fixed rate, first alone, then while revisions that are no longer current are compacted.
func compactionRow(t *turn) sample {
	t.s.fill(t.ctx, t.h, t.size.large)
	t.s.overwrite(t.ctx, t.h, max(0, t.size.large-t.s.beyond))
	t.wait(t.size.settle)
	revision := t.s.cluster.Revision(0)
	pool := t.s.pool(maxConns)
	put := func(ctx context.Context, worker, n int) error {
		return pool[worker%len(pool)].Invoke(ctx, putMethod, t.s.put(t.s.key(n%t.s.keys)), done{})
	}
	measure := func(ctx context.Context) float64 {
		begin := time.Now()
		y := t.paced(ctx, t.size.compactedPuts, compactionWriters, put)
		return y.sample(t, time.Since(begin), 0, 0)[p99]
	}
	idle, cancel := context.WithTimeout(t.ctx, 4*t.size.duration) // long enough to meet what now and then takes time without a compaction
	defer cancel()
	s := sample{idleP99: measure(idle)}

	busy, over := context.WithTimeout(t.ctx, largeTimeout)
	defer over()
	client := t.s.cluster.Client(t.s.leader())
	var compacted time.Duration
	var failed error
	var compaction sync.WaitGroup
	begin := time.Now()
	compaction.Go(func() {
		defer over() // which ends the measurement
		_, failed = client.Compact(busy, revision, clientv3.WithCompactPhysical())
		compacted = time.Since(begin)
		pause(busy, t.size.duration/4-compacted) // enough puts for a percentile
	})
	s[compactedP99] = measure(busy)
	compaction.Wait()
	if failed != nil {
		t.h.Fatalf("compact %s: %v", t.s.name, failed)
	}
	s[compactTime] = compacted.Seconds()
	s[slowdown] = s[compactedP99] / s[idleP99]
	return s
}
