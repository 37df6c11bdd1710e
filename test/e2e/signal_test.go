package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestPause stops the leader and then a follower with SIGSTOP for longer than an election takes, under load.
func TestPause(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for four elections")
	}
	_, seed := newRand(t)
	c := cluster.Start(t, cluster.Config{})
	load := startLoad(t, c, 12, 6, seed)
	awaitAcks(t, load, 200)
	for range 2 {
		leader, term := c.LeaderAfter(0)
		c.Nodes[leader].Pause()
		next, nextTerm := c.LeaderAfter(term)
		gap := awaitAcks(t, load, 50)
		t.Logf("leader %s paused: %s leads in term %d, 50 acknowledgements after %v", c.Nodes[leader].Name,
			c.Nodes[next].Name, nextTerm, gap.Round(time.Millisecond))
		c.Nodes[leader].Continue()
		c.Revision(leader)
		awaitAcks(t, load, 200)

		follower := c.Followers()[0]
		c.Nodes[follower].Pause()
		awaitAcks(t, load, 500)
		c.Nodes[follower].Continue()
		c.Revision(follower)
		awaitAcks(t, load, 200)
	}
	for _, n := range c.Nodes {
		if !n.Running() {
			t.Errorf("%s did not survive: %s", n.Name, strings.Join(n.Log(3), "\n"))
		}
	}
	settle(t, c, load)
}

// TestTerminateLeader asks the leader to leave. It must hand leadership over rather than let an election time out.
func TestTerminateLeader(t *testing.T) {
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	_, seed := newRand(t)
	c := cluster.Start(t, cluster.Config{})
	load := startLoad(t, c, 12, 4, seed)
	awaitAcks(t, load, 200)
	for range rounds {
		leader, term := c.LeaderAfter(0)
		watching, forget := context.WithCancel(t.Context())
		if !c.Program.IsEtcd() { // which would wait 7 s for it
			openWatch(watching, t, c, leader)
		}
		begin := time.Now()
		c.Nodes[leader].Terminate()
		next, nextTerm := c.LeaderAfter(term)
		elected := time.Since(begin)
		exit := c.Nodes[leader].AwaitExit(begin, 20*time.Second)
		gap := awaitAcks(t, load, 50)
		t.Logf("leader %s left with code %d after %v; %s led in term %d (was %d) after %v; 50 acknowledgements %v later",
			c.Nodes[leader].Name, exit.Code, exit.Elapsed.Round(time.Millisecond), c.Nodes[next].Name, nextTerm, term,
			elected.Round(time.Millisecond), gap.Round(time.Millisecond))
		// etcd ends by raising the signal again. The bounds are generous: what counts is in the line above.
		if !c.Program.IsEtcd() && exit.Code != 0 {
			t.Errorf("exit code %d after SIGTERM, want 0; last lines:\n%s", exit.Code, strings.Join(c.Nodes[leader].Log(5), "\n"))
		}
		if exit.Elapsed > 5*time.Second {
			t.Errorf("took %v to leave; 1.5 s are promised", exit.Elapsed)
		}
		if next == leader || nextTerm > term+2 {
			t.Errorf("%s leads in term %d after %s of term %d left", c.Nodes[next].Name, nextTerm, c.Nodes[leader].Name, term)
		}
		forget()
		c.Nodes[leader].Restart()
		awaitAcks(t, load, 100)
	}
	settle(t, c, load)
}

// openWatch opens a watch on one node and waits until the node has confirmed it.
func openWatch(ctx context.Context, t *testing.T, c *cluster.Cluster, node int) {
	t.Helper()
	events := c.Client(node).Watch(ctx, "w0000", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case first := <-events:
		switch err := first.Err(); {
		case first.Created:
		case status.Code(err) == codes.Unimplemented:
			t.Logf("no watch is open: %v", err)
		default:
			t.Fatalf("open watch: %v", err)
		}
	case <-timer.C:
		t.Fatal("open watch: no answer after 10 s")
	}
}
