package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/quorumkv/quorumkv/internal/local"
)

// supervisor starts, watches and stops the nodes of `quorumkv cluster`, and tells the user. One goroutine, run's, decides
// everything.
type supervisor struct {
	*local.Cluster
	exits   <-chan local.Exit // of nodes that died; room for one of each, so that nobody who sends ever waits
	command string            // how the user calls it, for hints
	token   string            // admits drills; empty: there are none
	out     io.Writer

	healthLimit time.Duration // for all nodes to become healthy
	stopLimit   time.Duration // for one node to stop before it is killed
}

// run returns once no node runs any more: nil when stop asked for it. Once hurry has ended, nodes are killed.
func (s *supervisor) run(stop, hurry context.Context) error {
	fmt.Fprintf(s.out, "starting %d nodes in %s\n", len(s.Nodes()), s.Dir())
	err := s.Start()
	if err == nil {
		err = s.awaitHealth(stop)
	}
	if err == nil && stop.Err() == nil {
		s.introduce(stop)
		err = s.watch(stop)
	}
	s.stop(hurry)
	return err
}

// awaitHealth returns nil when all nodes are healthy or stop has ended.
func (s *supervisor) awaitHealth(stop context.Context) error {
	err := s.AwaitHealthy(stop, s.healthLimit, local.Progress{
		Healthy: func(n *local.Node, count int) {
			fmt.Fprintf(s.out, "%s is healthy (%d of %d)\n", n.Name, count, len(s.Nodes()))
		},
		Waiting: func(elapsed time.Duration, whom string) {
			fmt.Fprintf(s.out, "%.0f s: waiting for %s\n", elapsed.Seconds(), whom)
		},
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// watch reports nodes that die, until stop ends or none is left.
func (s *supervisor) watch(stop context.Context) error {
	for alive := len(s.Nodes()); alive > 0; {
		select {
		case <-stop.Done():
			return nil
		case e := <-s.exits:
			alive--
			s.reportDeath(e, alive)
		}
	}
	return fmt.Errorf("all %d nodes have ended; the logs are in %s", len(s.Nodes()), s.Dir())
}

// stop stops the nodes one after the other.
func (s *supervisor) stop(hurry context.Context) {
	fmt.Fprintln(s.out, "stopping")
	for _, n := range s.StopOrder(hurry) {
		if n.Runs() {
			s.stopNode(n, hurry)
		}
	}
}

func (s *supervisor) stopNode(n *local.Node, hurry context.Context) {
	slow, limit := time.NewTimer(signalGrace), time.NewTimer(s.stopLimit)
	defer slow.Stop()
	defer limit.Stop()
	// Both fail only when the process has ended, which Done tells as well.
	terminate, kill := func() { _ = n.Terminate() }, func() { _ = n.Kill() }
	terminate()
	for {
		select {
		case <-n.Done():
			if exit, _ := n.Exit(); exit.Clean {
				fmt.Fprintf(s.out, "%s stopped\n", n.Name)
			} else {
				fmt.Fprintf(s.out, "%s stopped with a failure (%s): %s\n", n.Name, exit.Reason, exit.LastLine())
			}
			return
		case <-slow.C:
			fmt.Fprintf(s.out, "waiting for %s; Ctrl-C again kills the nodes that are left\n", n.Name)
		case <-limit.C:
			fmt.Fprintf(s.out, "%s did not stop within %v: killed\n", n.Name, s.stopLimit)
			kill()
			return
		case <-hurry.Done():
			fmt.Fprintf(s.out, "%s killed\n", n.Name)
			kill()
			return
		}
	}
}
