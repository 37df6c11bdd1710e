package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestRestartWithManyKeys reports how long a cluster with 200,000 keys takes to come back.
func TestRestartWithManyKeys(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	const keys = 200_000
	c := cluster.Start(t, cluster.Config{})
	fill(t, c, keys)
	before := c.AwaitEqual()
	stops := map[string]func(){"SIGTERM": c.StopAll, "SIGKILL": c.KillAll}
	for _, name := range []string{"SIGTERM", "SIGKILL"} {
		stops[name]()
		begin := time.Now()
		c.StartAll()
		ready := time.Since(begin)
		c.AwaitHealthy()
		t.Logf("%d keys after %s: all ready in %v, healthy in %v", keys, name, ready.Round(time.Millisecond),
			time.Since(begin).Round(time.Millisecond))
	}
	if after := c.AwaitEqual(); after != before {
		t.Errorf("revision is %d after restarts, was %d", after, before)
	}
	count := countKeys(t, c)
	if want := slices.Repeat([]int64{keys}, len(c.Nodes)); !slices.Equal(count, want) {
		t.Errorf("nodes count %v keys, want %v", count, want)
	}
}

// fill writes so many keys of 64 bytes, 100 in a transaction.
func fill(t *testing.T, c *cluster.Cluster, keys int) {
	t.Helper()
	const perTxn = 100
	begin := time.Now()
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(32)
	for first := 0; first < keys; first += perTxn {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
			defer cancel()
			var puts []clientv3.Op
			for i := first; i < first+perTxn; i++ {
				puts = append(puts, clientv3.OpPut(fmt.Sprintf("fill/%08d", i), strings.Repeat("v", 64)))
			}
			_, err := c.Client().Txn(ctx).Then(puts...).Commit()
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatalf("write %d keys: %v", keys, err)
	}
	t.Logf("%d keys written in %v", keys, time.Since(begin).Round(time.Millisecond))
}

// countKeys asks every node for itself.
func countKeys(t *testing.T, c *cluster.Cluster) (counts []int64) {
	t.Helper()
	for i, n := range c.Nodes {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		response, err := c.Client(i).Get(ctx, "fill/", clientv3.WithPrefix(), clientv3.WithCountOnly(),
			clientv3.WithSerializable())
		cancel()
		if err != nil {
			t.Fatalf("count keys of %s: %v", n.Name, err)
		}
		counts = append(counts, response.Count)
	}
	return counts
}
