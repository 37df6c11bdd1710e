package local_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/quorumkv/quorumkv/internal/local"
	"github.com/quorumkv/quorumkv/internal/local/fakenode"
)

// asProcess makes the test binary stand in for another program when it is executed again: "node" is a fake server,
// "parent" a program with a local cluster.
const asProcess = "TEST_AS_PROCESS"

func TestMain(m *testing.M) {
	switch os.Getenv(asProcess) {
	case "node":
		os.Exit(fakenode.Main(os.Args[1:]))
	case "parent":
		if err := parent(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Setenv("QUORUMKV_NAME", "shell") // must not reach the nodes, which would refuse it
	goleak.VerifyTestMain(m)
}

// open makes a temporary cluster of three fake nodes.
func open(died func(local.Exit), settings map[string]string) (*local.Cluster, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	nodes, err := local.FreeNodes(3, settings)
	if err != nil {
		return nil, err
	}
	return local.New(local.Config{Server: self, Writer: "a test", Nodes: nodes, Died: died})
}

// start is open, and waits until all nodes are healthy.
func start(t *testing.T, died func(local.Exit)) *local.Cluster {
	t.Helper()
	t.Setenv(asProcess, "node")
	c, err := open(died, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	awaitHealthy(t, c)
	return c
}

func awaitHealthy(t *testing.T, c *local.Cluster) {
	t.Helper()
	if err := c.AwaitHealthy(t.Context(), 20*time.Second, local.Progress{}); err != nil {
		t.Fatal(err)
	}
}

// parent starts a cluster with a paused node, says which ports it has, and waits to be killed.
func parent() error {
	os.Setenv(asProcess, "node")
	c, err := open(nil, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Start(); err != nil {
		return err
	}
	if err := c.AwaitHealthy(context.Background(), 20*time.Second, local.Progress{}); err != nil {
		return err
	}
	if err := c.Nodes()[0].Pause(); err != nil {
		return err
	}
	fmt.Println(c.Dir())
	for _, n := range c.Nodes() {
		fmt.Println(n.ClientAddress())
	}
	select {}
}
