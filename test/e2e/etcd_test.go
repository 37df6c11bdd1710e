package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestComingFromEtcd starts a member on the directory of an etcd, by mistake: it leaves it as it is, and what it says to do
// brings the keys over.
func TestComingFromEtcd(t *testing.T) {
	onlyQuorumKV(t)
	etcd := cluster.Start(t, cluster.Config{Nodes: 1, Program: cluster.Etcd(t)})
	put(t, etcd, "key", "from etcd")
	etcd.StopAll()

	own := cluster.New(t, cluster.Config{Nodes: 1})
	n := own.Nodes[0]
	empty := exchangeDir(t, n, etcd.Nodes[0].Dir)
	r := cluster.Run(t, own.Program.Path, n.Args(), exitPatience)
	for _, says := range []string{"data directory has etcd's data", n.Dir + "/member", "make-mirror"} {
		if r.TimedOut || r.Code != 1 || !strings.Contains(r.Stderr, says) {
			t.Errorf("exit code %d, still running: %v, without %q\n%s", r.Code, r.TimedOut, says, r.Stderr)
		}
	}
	if err := os.Rename(exchangeDir(t, n, empty), etcd.Nodes[0].Dir); err != nil {
		t.Fatal(err)
	}

	etcd.StartAll()
	own.StartAll()
	m := cluster.Background(t, cluster.Quorumctl(t), []string{"--endpoints", etcd.Nodes[0].ClientAddr, "make-mirror", n.ClientAddr})
	mirrored(t, own, "key", "from etcd")
	put(t, etcd, "key", "from etcd, later")
	mirrored(t, own, "key", "from etcd, later")
	m.Signal(unix.SIGTERM)
	m.AwaitExit(exitPatience)
}

func put(t *testing.T, c *cluster.Cluster, key, value string) {
	t.Helper()
	if _, err := c.Client().Put(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
}

// mirrored waits until a key has a value.
func mirrored(t *testing.T, c *cluster.Cluster, key, value string) {
	t.Helper()
	late := time.After(exitPatience)
	changes := c.Client().Watch(t.Context(), key, clientv3.WithRev(1))
	for {
		select {
		case r, ok := <-changes:
			if !ok || r.Err() != nil {
				t.Fatalf("watch of %s: %v", key, r.Err())
			}
			for _, e := range r.Events {
				if string(e.Kv.Value) == value {
					return
				}
			}
		case <-late:
			t.Fatalf("%s did not become %q", key, value)
		}
	}
}
