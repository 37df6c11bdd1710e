package e2e

import (
	"context"
	"flag"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/test/cluster"
	"github.com/quorumkv/quorumkv/test/script"
)

// TestKVScripts runs the scripts of testdata/kv on every node of a cluster. The expected output was written by etcd.
func TestKVScripts(t *testing.T) {
	c := cluster.Start(t, cluster.Config{})
	onlyEtcdRewrites(t, c)
	files, err := filepath.Glob("testdata/kv/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("find scripts: %v (%d files)", err, len(files))
	}
	for under := range c.Nodes {
		if testing.Short() && under > 0 {
			break
		}
		t.Run(c.Nodes[under].Name, func(t *testing.T) {
			for _, file := range files {
				t.Run(filepath.Base(file), func(t *testing.T) {
					session := newSession(t, c, under)
					datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
						out, err := session.Run(d.Input)
						if err != nil {
							d.Fatalf(t, "%v", err)
						}
						return out
					})
				})
			}
		})
	}
}

// newSession prepares a script against all nodes, beginning with the one under test.
func newSession(t *testing.T, c *cluster.Cluster, under int) *script.Session {
	t.Helper()
	ids := c.MemberIDs()
	var nodes []script.Node
	for i := range c.Nodes {
		n := (under + i) % len(c.Nodes)
		conn := c.Client(n).ActiveConnection()
		nodes = append(nodes, script.Node{KV: c.KV(n), Maintenance: pb.NewMaintenanceClient(conn),
			Lease: pb.NewLeaseClient(conn), MemberID: ids[n]})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	members, err := c.Client(under).MemberList(ctx)
	if err != nil {
		t.Fatalf("list members: %v", err)
	}
	session, err := script.NewSession(nodes, members.Header.ClusterId)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// onlyEtcdRewrites keeps expectations what they are: etcd's words.
func onlyEtcdRewrites(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	if f := flag.Lookup("rewrite"); f != nil && f.Value.String() == "true" && !c.Program.IsEtcd() {
		t.Fatal("-rewrite needs QUORUMKV_TEST_SERVER=etcd: etcd writes the expectations")
	}
}
