package local

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Leader returns the node that says of itself that it leads, or nil. It takes a second at most.
func (c *Cluster) Leader(ctx context.Context) *Node {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	answers := make(chan *Node, len(c.nodes)) // one for each node, nil unless it leads
	asked := 0
	for _, n := range c.nodes {
		if n.Runs() {
			asked++
			go func() { answers <- n.askLeader(ctx) }()
		}
	}
	for range asked {
		if n := <-answers; n != nil {
			return n
		}
	}
	return nil
}

func (n *Node) askLeader(ctx context.Context) *Node {
	client, err := clientv3.New(clientv3.Config{Context: ctx, Endpoints: []string{n.ClientURL()}, Logger: zap.NewNop()})
	if err != nil {
		return nil
	}
	defer client.Close()
	status, err := client.Status(ctx, n.ClientURL())
	if err != nil || status.Leader == 0 || status.Leader != status.Header.GetMemberId() {
		return nil
	}
	return n
}

// StopOrder is the order in which to stop the nodes: the leader last. As long as it stands, no election disturbs the
// others.
func (c *Cluster) StopOrder(ctx context.Context) []*Node {
	leader := c.Leader(ctx)
	var order []*Node
	for _, n := range c.nodes {
		if n != leader {
			order = append(order, n)
		}
	}
	if leader != nil {
		order = append(order, leader)
	}
	return order
}
