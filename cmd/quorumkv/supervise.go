package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// localCluster starts, watches and stops the nodes of `quorumkv cluster`. One goroutine, run's, decides everything;
// for each node one goroutine waits for its end (node.start) and, until it is healthy, one asks for its health.
type localCluster struct {
	dir     string
	nodes   []*node
	binary  string // file to execute for each node
	command string // how the user calls it, for hints
	out     io.Writer

	healthLimit time.Duration // for all nodes to become healthy
	stopLimit   time.Duration // for one node to stop before it is killed

	exits chan *node // the nodes' waiting goroutines send, run receives; room for all, so that no sender ever waits
}

// run returns once no node runs any more: nil when stop asked for it. Once hurry has ended, nodes are killed.
func (c *localCluster) run(stop, hurry context.Context) error {
	runtime.LockOSThread() // see ownGroup
	defer runtime.UnlockOSThread()
	c.exits = make(chan *node, len(c.nodes))
	fmt.Fprintf(c.out, "starting %d nodes in %s\n", len(c.nodes), c.dir)
	err := c.start()
	if err == nil {
		err = c.awaitHealth(stop)
	}
	if err == nil && stop.Err() == nil {
		c.introduce(stop)
		err = c.watch(stop)
	}
	c.stop(hurry)
	return err
}

func (c *localCluster) start() error {
	for _, n := range c.nodes {
		if err := n.start(c.binary, c.exits); err != nil {
			return err
		}
	}
	return nil
}

// awaitHealth returns nil when all nodes are healthy or stop has ended.
func (c *localCluster) awaitHealth(stop context.Context) error {
	asking, cancel := context.WithTimeout(stop, c.healthLimit)
	defer cancel()
	changes := make(chan health) // the goroutines below send until asking ends
	for _, n := range c.nodes {
		go awaitHealthy(asking, n, changes)
	}
	ill := map[*node]string{}
	for _, n := range c.nodes {
		ill[n] = "starting"
	}
	since := time.Now()
	progress := time.NewTicker(5 * time.Second)
	defer progress.Stop()
	for len(ill) > 0 {
		select {
		case h := <-changes:
			ill[h.node] = h.reason
			if h.reason == "" {
				delete(ill, h.node)
				fmt.Fprintf(c.out, "%s is healthy (%d of %d)\n", h.node.name, len(c.nodes)-len(ill), len(c.nodes))
			}
		case <-progress.C:
			fmt.Fprintf(c.out, "%.0f s: waiting for %s\n", time.Since(since).Seconds(), c.list(ill))
		case n := <-c.exits:
			return fmt.Errorf("%s ended before it was healthy (%s): %s (its log is %s)",
				n.name, n.exitReason(), n.lastLines(1)[0], n.log)
		case <-asking.Done():
			if stop.Err() != nil {
				return nil
			}
			return fmt.Errorf("not healthy after %v: %s (the logs are in %s)", c.healthLimit, c.list(ill), c.dir)
		}
	}
	return nil
}

// list names nodes, in order, with what is known of each.
func (c *localCluster) list(ill map[*node]string) string {
	var words []string
	for _, n := range c.nodes {
		if reason, ok := ill[n]; ok {
			words = append(words, fmt.Sprintf("%s (%s)", n.name, reason))
		}
	}
	return strings.Join(words, ", ")
}

// watch reports nodes that die, until stop ends or none is left.
func (c *localCluster) watch(stop context.Context) error {
	for alive := len(c.nodes); alive > 0; {
		select {
		case <-stop.Done():
			return nil
		case n := <-c.exits:
			alive--
			c.reportDeath(n, alive)
		}
	}
	return fmt.Errorf("all %d nodes have ended; the logs are in %s", len(c.nodes), c.dir)
}

// stop stops the nodes one after the other, the leader last: as long as it stands, no election disturbs the others.
func (c *localCluster) stop(hurry context.Context) {
	fmt.Fprintln(c.out, "stopping")
	order := c.nodes
	if leader := c.leader(hurry); leader != nil {
		order = nil
		for _, n := range c.nodes {
			if n != leader {
				order = append(order, n)
			}
		}
		order = append(order, leader)
	}
	for _, n := range order {
		if n.runs() {
			c.stopNode(n, hurry)
		}
	}
}

func (c *localCluster) stopNode(n *node, hurry context.Context) {
	slow, limit := time.NewTimer(signalGrace), time.NewTimer(c.stopLimit)
	defer slow.Stop()
	defer limit.Stop()
	// This fails only when the process has ended, which done tells as well.
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	for {
		select {
		case <-n.done:
			if n.cmd.ProcessState.Success() {
				fmt.Fprintf(c.out, "%s stopped\n", n.name)
			} else {
				fmt.Fprintf(c.out, "%s stopped with a failure (%s): %s\n", n.name, n.exitReason(), n.lastLines(1)[0])
			}
			return
		case <-slow.C:
			fmt.Fprintf(c.out, "waiting for %s; Ctrl-C again kills the nodes that are left\n", n.name)
		case <-limit.C:
			fmt.Fprintf(c.out, "%s did not stop within %v: killed\n", n.name, c.stopLimit)
			n.kill()
			return
		case <-hurry.Done():
			fmt.Fprintf(c.out, "%s killed\n", n.name)
			n.kill()
			return
		}
	}
}
