package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// catchUpLimit is generous for a store of some 20 MB; a follower that raft has forgotten in its snapshot state exceeds it.
const catchUpLimit = 30 * time.Second

// TestSnapshotCatchUp keeps a follower down for 50,000 writes, so that the leader no longer has the log it lacks, and
// expects it to catch up by snapshot while the cluster goes on serving.
func TestSnapshotCatchUp(t *testing.T) {
	missed := int64(50_000)
	if testing.Short() {
		missed = 3_000
	}
	_, seed := newRand(t)
	// Many writes may share one log entry, so the log must be short in entries to be short in writes.
	c := cluster.Start(t, cluster.Config{Flags: []string{"--snapshot-count=50", "--snapshot-catchup-entries=25"}})
	follower := c.Followers()[0]
	load := startLoad(t, c, 200, 4, seed)
	awaitAcks(t, load, 500)
	c.Nodes[follower].Kill()
	begin := time.Now()
	for load.Ledger.Acked() < missed {
		awaitAcks(t, load, 1000)
	}
	t.Logf("%d writes in %v while %s was down", load.Ledger.Acked(), time.Since(begin).Round(time.Millisecond),
		c.Nodes[follower].Name)

	c.Nodes[follower].Start()
	awaitAcks(t, load, 200) // the others serve meanwhile
	ready := c.Nodes[follower].AwaitReady()
	began := time.Now()
	c.Revision(follower) // now it has everything
	behind := time.Since(began)
	t.Logf("%s was ready after %v, and up to date %v later", c.Nodes[follower].Name, ready.Round(time.Millisecond),
		behind.Round(time.Millisecond))
	if took := ready + behind; took > catchUpLimit {
		t.Errorf("it took %v to catch up, more than %v", took.Round(time.Millisecond), catchUpLimit)
	}
	if received := snapshotsReceived(c.Nodes[follower]); received == 0 {
		t.Errorf("%s caught up without a snapshot", c.Nodes[follower].Name)
	}
	awaitAcks(t, load, 200)
	settle(t, c, load)
}

// snapshotsReceived counts the snapshots that the node took from another one since it started.
func snapshotsReceived(n *cluster.Node) (received float64) {
	if v, ok := n.Metric("etcd_network_snapshot_receive_success"); ok {
		return v
	}
	for _, line := range n.Log(1 << 20) {
		if strings.Contains(line, "snapshot installed") {
			received++
		}
	}
	return received
}
