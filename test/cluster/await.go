package cluster

import (
	"context"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	pollInterval  = 10 * time.Millisecond // for the few states that no server announces
	statusTimeout = time.Second
	stateTimeout  = 60 * time.Second // until a leader stands, until a node is healthy
)

// Status asks one node for its Maintenance status.
func (c *Cluster) Status(node int) (*clientv3.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	return c.Client(node).Status(ctx, c.Nodes[node].ClientURL())
}

// Leader waits until a majority of all nodes names the same running node as the leader of the same term, and returns its
// position.
func (c *Cluster) Leader() int {
	c.t.Helper()
	node, _ := c.LeaderAfter(0)
	return node
}

// LeaderAfter is Leader for terms above the given one; it returns the term as well.
func (c *Cluster) LeaderAfter(term uint64) (node int, newTerm uint64) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	// One goroutine asks each node, so that one that does not answer delays nobody. They end with ctx.
	type answer struct {
		node   int
		status *clientv3.StatusResponse
		err    error
	}
	answers := make(chan answer) // to the loop below, which may be gone
	for i, n := range c.Nodes {
		if !n.Running() || n.paused {
			continue
		}
		client := c.Client(i)
		go func() {
			for ctx.Err() == nil {
				statusCtx, done := context.WithTimeout(ctx, statusTimeout)
				status, err := client.Status(statusCtx, n.ClientURL())
				done()
				select {
				case answers <- answer{i, status, err}:
				case <-ctx.Done():
				}
				sleep(ctx, pollInterval)
			}
		}()
	}
	latest := map[int]*clientv3.StatusResponse{}
	var last error
	for {
		select {
		case a := <-answers:
			delete(latest, a.node)
			if a.err != nil {
				last = a.err
				continue
			}
			latest[a.node] = a.status
		case <-ctx.Done():
			c.t.Fatalf("await leader above term %d: none after %v (last error: %v)", term, stateTimeout, last)
		}
		for i, status := range latest {
			if status.Leader != status.Header.MemberId || status.RaftTerm <= term || !c.Nodes[i].Running() {
				continue
			}
			agree := 0
			for _, other := range latest {
				if other.Leader == status.Leader && other.RaftTerm == status.RaftTerm {
					agree++
				}
			}
			if agree > len(c.Nodes)/2 {
				return i, status.RaftTerm
			}
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Followers returns the positions of all running nodes but the leader.
func (c *Cluster) Followers() []int {
	c.t.Helper()
	leader := c.Leader()
	var followers []int
	for i, n := range c.Nodes {
		if i != leader && n.Running() {
			followers = append(followers, i)
		}
	}
	return followers
}

// MemberIDs returns each node's own id, in order.
func (c *Cluster) MemberIDs() []uint64 {
	c.t.Helper()
	var ids []uint64
	for i := range c.Nodes {
		status, err := c.Status(i)
		if err != nil {
			c.t.Fatalf("status of %s: %v", c.Nodes[i].Name, err)
		}
		ids = append(ids, status.Header.MemberId)
	}
	return ids
}

// AwaitHealthy waits until /health of every running node says true.
func (c *Cluster) AwaitHealthy() {
	c.t.Helper()
	deadline := time.Now().Add(stateTimeout)
	for _, n := range c.Nodes {
		for n.Running() {
			body, err := n.Get("/health")
			if err == nil && strings.Contains(body, `"health":"true"`) {
				break
			}
			if time.Now().After(deadline) {
				c.t.Fatalf("await health of %s: %q, %v after %v", n.Name, body, err, stateTimeout)
			}
			time.Sleep(pollInterval)
		}
	}
}

// Revision reads the store revision that one node serves after everything acknowledged so far is applied there: a
// linearizable read waits for exactly that.
func (c *Cluster) Revision(node int) int64 {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	for {
		response, err := c.Client(node).Get(ctx, "any", clientv3.WithCountOnly())
		if err == nil {
			return response.Header.Revision
		}
		if ctx.Err() != nil {
			c.t.Fatalf("read revision of %s: %v after %v", c.Nodes[node].Name, err, stateTimeout)
		}
		time.Sleep(pollInterval)
	}
}

// AwaitEqual waits until every node serves the newest revision, and fails the test unless all have the same HashKV there.
// Nothing may write meanwhile.
func (c *Cluster) AwaitEqual() int64 {
	c.t.Helper()
	revision := c.Revision(c.Leader())
	hashes := map[uint32][]string{}
	for i, n := range c.Nodes {
		if got := c.Revision(i); got != revision {
			c.t.Fatalf("revision of %s is %d, of the leader %d, and nothing writes", n.Name, got, revision)
		}
		ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
		response, err := c.Client(i).HashKV(ctx, n.ClientURL(), revision)
		cancel()
		if err != nil {
			c.t.Fatalf("hash of %s at revision %d: %v", n.Name, revision, err)
		}
		key := fmt.Sprintf("%s (compact revision %d)", n.Name, response.CompactRevision)
		hashes[response.Hash] = append(hashes[response.Hash], key)
	}
	if len(hashes) != 1 {
		c.t.Fatalf("nodes differ at revision %d: HashKV %v", revision, hashes)
	}
	return revision
}
