package e2e

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/test/cluster"
	"github.com/quorumkv/quorumkv/test/workload"
)

// ackTimeout bounds the wait for progress once a majority runs. Promise L1 is ten election timeouts; twice that leaves
// room for a busy machine, while a cluster that is stuck stays stuck.
const ackTimeout = 20 * time.Second

// requestTimeout of the load is shorter than the server's own: a writer whose request went down with a node moves on.
const requestTimeout = 2 * time.Second

const seedEnv = "QUORUMKV_TEST_SEED"

// newRand returns the test's source of choices and says how to repeat them.
func newRand(t *testing.T) (*rand.Rand, uint64) {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(seedEnv); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedEnv, err)
		}
	}
	t.Logf("repeat with: %s=%d go test ./e2e -run '^%s$'", seedEnv, seed, t.Name())
	return rand.New(rand.NewPCG(seed, 0)), seed
}

// startLoad writes and reads on all nodes.
func startLoad(t *testing.T, c *cluster.Cluster, writers, readers int, seed uint64) *workload.Load {
	t.Helper()
	cfg := workload.Config{Any: c.Client(), Writers: writers, Readers: readers, Timeout: requestTimeout, Seed: seed}
	for i, n := range c.Nodes {
		cfg.Targets = append(cfg.Targets, workload.Target{Client: c.Client(i), Generation: n.Generation})
	}
	load := workload.Start(cfg)
	t.Cleanup(load.Stop) // before the clients close: cleanups run last first
	return load
}

// awaitAcks waits for so many acknowledged writes more.
func awaitAcks(t *testing.T, load *workload.Load, more int64) time.Duration {
	t.Helper()
	begin := time.Now()
	if err := load.AwaitAcks(more, ackTimeout); err != nil {
		t.Fatalf("await progress: %v", err)
	}
	return time.Since(begin)
}

// settle stops the load and proves every promise on every node.
func settle(t *testing.T, c *cluster.Cluster, load *workload.Load) {
	t.Helper()
	load.Stop()
	t.Logf("load: %s", load)
	for _, broken := range load.Ledger.Broken() {
		t.Errorf("%s", broken)
	}
	revision := c.AwaitEqual()
	for i, n := range c.Nodes {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		dump, err := workload.Dump(ctx, c.Client(i), revision)
		cancel()
		if err != nil {
			t.Fatalf("%s: %v", n.Name, err)
		}
		for _, wrong := range load.Ledger.Judge(dump) {
			t.Errorf("%s: %s", n.Name, wrong)
		}
	}
}
