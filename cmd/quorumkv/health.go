package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// health is what a node last said of itself; an empty reason means that it is healthy.
type health struct {
	node   *node
	reason string
}

// awaitHealthy asks a node until it is healthy or ctx ends, and sends whatever is new.
func awaitHealthy(ctx context.Context, n *node, changes chan<- health) {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for last := "starting"; last != ""; {
		if reason := askHealth(ctx, n.clientURL()); reason != last {
			last = reason
			select {
			case changes <- health{n, reason}:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// askHealth returns why a node is not healthy, or nothing.
func askHealth(ctx context.Context, clientURL string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, clientURL+"/health", nil)
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

// leader returns the node that says of itself that it leads, or nil.
func (c *localCluster) leader(ctx context.Context) *node {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	answers := make(chan *node, len(c.nodes)) // one for each node, nil unless it leads
	asked := 0
	for _, n := range c.nodes {
		if n.runs() {
			asked++
			go func() { answers <- askLeader(ctx, n) }()
		}
	}
	for range asked {
		if n := <-answers; n != nil {
			return n
		}
	}
	return nil
}

func askLeader(ctx context.Context, n *node) *node {
	client, err := clientv3.New(clientv3.Config{Context: ctx, Endpoints: []string{n.clientURL()}, Logger: zap.NewNop()})
	if err != nil {
		return nil
	}
	defer client.Close()
	status, err := client.Status(ctx, n.clientURL())
	if err != nil || status.Leader == 0 || status.Leader != status.Header.GetMemberId() {
		return nil
	}
	return n
}
