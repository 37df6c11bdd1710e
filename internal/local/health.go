package local

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Progress hears how a cluster becomes healthy, from the goroutine of AwaitHealthy. A nil function is not called.
type Progress struct {
	// Healthy is called for each node that is, with how many are by now.
	Healthy func(n *Node, count int)
	// Waiting is called every few seconds with the nodes that are not, and why.
	Waiting func(elapsed time.Duration, whom string)
}

// progressPeriod is how often Progress.Waiting is called.
const progressPeriod = 5 * time.Second

// AwaitHealthy returns once each node has said that it is healthy. A node that ends meanwhile is an error, and so is limit;
// when ctx ends, its error is returned.
func (c *Cluster) AwaitHealthy(ctx context.Context, limit time.Duration, progress Progress) error {
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	changes := make(chan health) // the goroutines below send until asking ends
	for _, n := range c.nodes {
		go n.followHealth(asking, changes)
	}
	ill := map[*Node]string{}
	for _, n := range c.nodes {
		ill[n] = "starting"
	}
	since := time.Now()
	waiting := time.NewTicker(progressPeriod)
	defer waiting.Stop()
	for len(ill) > 0 {
		select {
		case h := <-changes:
			if exit, ended := h.node.Exit(); ended {
				return fmt.Errorf("%s ended before it was healthy (%s): %s (its log is %s)",
					h.node.Name, exit.Reason, exit.LastLine(), h.node.Log)
			}
			ill[h.node] = h.reason
			if h.reason == "" {
				delete(ill, h.node)
				if progress.Healthy != nil {
					progress.Healthy(h.node, len(c.nodes)-len(ill))
				}
			}
		case <-waiting.C:
			if progress.Waiting != nil {
				progress.Waiting(time.Since(since), c.list(ill))
			}
		case <-asking.Done():
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("not healthy after %v: %s (the logs are in %s)", limit, c.list(ill), c.dir)
		}
	}
	return nil
}

// list names nodes, in order, with what is known of each.
func (c *Cluster) list(ill map[*Node]string) string {
	var words []string
	for _, n := range c.nodes {
		if reason, ok := ill[n]; ok {
			words = append(words, fmt.Sprintf("%s (%s)", n.Name, reason))
		}
	}
	return strings.Join(words, ", ")
}

// health is what a node last said of itself; an empty reason means that it is healthy.
type health struct {
	node   *Node
	reason string
}

// followHealth asks a node until it is healthy, and sends whatever is new, then waits for its end and sends that too.
func (n *Node) followHealth(ctx context.Context, changes chan<- health) {
	send := func(h health) {
		select {
		case changes <- h:
		case <-ctx.Done():
		}
	}
	ended := n.Done()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for last := "starting"; ; {
		if last != "" {
			if reason := n.askHealth(ctx); reason != last {
				last = reason
				send(health{n, reason})
			}
		}
		select {
		case <-ended:
			send(health{n, "ended"})
			return
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// askHealth returns why a node is not healthy, or nothing.
func (n *Node) askHealth(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.ClientURL()+"/health", nil)
	if err != nil {
		return err.Error()
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "starting"
	}
	defer response.Body.Close()
	var answer struct{ Health, Reason string }
	if err := json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&answer); err != nil {
		return fmt.Sprintf("GET /health answers %s", response.Status)
	}
	if response.StatusCode == http.StatusOK && answer.Health == "true" {
		return ""
	}
	if answer.Reason == "" {
		return fmt.Sprintf("GET /health answers %s", response.Status)
	}
	return answer.Reason
}
