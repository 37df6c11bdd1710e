package drills

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/quorumkv/quorumkv/server/drillpb"
	"github.com/quorumkv/quorumkv/test/cluster"
)

// token is that of clusters that take part in drills.
const token = "of-the-tests"

// limit is far beyond what any of these drills takes.
const limit = 2 * time.Minute

// drillable starts a cluster that takes part in drills.
func drillable(t *testing.T) *cluster.Cluster {
	t.Helper()
	c := cluster.Start(t, cluster.Config{
		Flags: []string{"--enable-drills", "--drills-token=" + token}, Program: cluster.QuorumKV(t),
	})
	c.Leader()
	c.AwaitHealthy()
	return c
}

// faults asks a member which rules it has, and until when.
func faults(t *testing.T, c *cluster.Cluster, node int) *drillpb.GetFaultsResponse {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, drillpb.TokenKey, token)
	r, err := drillpb.NewDrillClient(c.Client(node).ActiveConnection()).GetFaults(ctx, &drillpb.GetFaultsRequest{})
	if err != nil {
		t.Fatalf("get the faults of %s: %v", c.Nodes[node].Name, err)
	}
	return r
}

// await waits until something holds that nobody announces.
func await(t *testing.T, what string, limit time.Duration, holds func() bool) {
	t.Helper()
	for late := time.Now().Add(limit); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// reportDir is a folder for a drill's report.
func reportDir(t *testing.T) string { return filepath.Join(t.TempDir(), "report") }
