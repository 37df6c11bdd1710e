package clients

import (
	"context"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// failoverTimeout bounds what has to go on after a leader was killed.
const failoverTimeout = 30 * time.Second

// startCluster runs three nodes that have what all of these clients need.
func startCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	return cluster.Start(t, cluster.Config{})
}

// newClient returns a client of its own; node < 0 means all nodes.
func newClient(t *testing.T, c *cluster.Cluster, node int) *clientv3.Client {
	t.Helper()
	endpoints := c.Endpoints()
	if node >= 0 { // first among all
		endpoints = append(endpoints[node%len(endpoints):], endpoints[:node%len(endpoints)]...)
	}
	client, err := cluster.NewClient(endpoints...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// putAll puts many keys, a few at a time.
func putAll(ctx context.Context, t *testing.T, kv clientv3.KV, n int, key func(i int) string, value string) {
	t.Helper()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error { _, err := kv.Put(ctx, key(i), value); return err })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// replaceLeader kills the leader and starts it again once another one stands.
func replaceLeader(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	leader, term := c.LeaderAfter(0)
	c.Nodes[leader].Kill()
	c.LeaderAfter(term)
	c.Nodes[leader].Restart()
}

// persist repeats what may fail while a leader is replaced, and whose repetition does no harm. It ends with ctx, and then
// so does everything else.
func persist(ctx context.Context, t *testing.T, what string, f func(context.Context) error) {
	t.Helper()
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := f(attempt)
		cancel()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		pause := time.NewTimer(20 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}
