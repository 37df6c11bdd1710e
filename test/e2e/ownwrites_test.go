package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestOwnWrites writes through a node and reads from the same node serializably: local data may be stale, but not staler
// than what this very node has acknowledged, or has shown to a linearizable reader.
func TestOwnWrites(t *testing.T) {
	rounds := 600
	if testing.Short() {
		rounds = 100
	}
	c := cluster.Start(t, cluster.Config{})
	group, ctx := errgroup.WithContext(t.Context())
	for worker := range 12 {
		node := worker % len(c.Nodes)
		kv, name := c.Client(node), c.Nodes[node].Name
		group.Go(func() error {
			key := fmt.Sprintf("own/%d", worker)
			for round := range rounds {
				ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
				seen, how, err := writeOrRead(ctx, kv, key, round)
				if err != nil {
					cancel()
					return fmt.Errorf("%s: %w", name, err)
				}
				local, err := kv.Get(ctx, key, clientv3.WithSerializable())
				cancel()
				if err != nil {
					return fmt.Errorf("%s: read: %w", name, err)
				}
				if local.Header.Revision < seen {
					return fmt.Errorf("%s answered a %s at revision %d and then a serializable read at %d (round %d)", name,
						how, seen, local.Header.Revision, round)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// writeOrRead puts, or reads what others put, linearizably; it returns the revision that the node answered with.
func writeOrRead(ctx context.Context, kv *clientv3.Client, key string, round int) (revision int64, how string, err error) {
	if round%3 == 2 {
		response, err := kv.Get(ctx, key)
		if err != nil {
			return 0, "", fmt.Errorf("read: %w", err)
		}
		return response.Header.Revision, "linearizable read", nil
	}
	response, err := kv.Put(ctx, key, fmt.Sprint(round))
	if err != nil {
		return 0, "", fmt.Errorf("put: %w", err)
	}
	return response.Header.Revision, "put", nil
}
