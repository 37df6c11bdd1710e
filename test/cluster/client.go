package cluster

import (
	"math"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// Client returns a client of the nodes with the given positions, of all nodes when none is given. It is shared, closed at
// the end of the test, and safe from any goroutine.
func (c *Cluster) Client(nodes ...int) *clientv3.Client {
	c.t.Helper()
	endpoints := c.Endpoints(nodes...)
	key := strings.Join(endpoints, ",")
	c.mu.Lock()
	defer c.mu.Unlock()
	if client, ok := c.clients[key]; ok {
		return client
	}
	client, err := NewClient(endpoints...)
	if err != nil {
		c.t.Fatalf("connect to %s: %v", key, err)
	}
	c.clients[key] = client
	return client
}

// NewClient returns a client that the caller closes. It finds a restarted node again within a fifth of a second: grpc's
// own backoff of up to two minutes would hide what the server does.
func NewClient(endpoints ...string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints:             endpoints,
		DialTimeout:           10 * time.Second,
		BackoffWaitBetween:    20 * time.Millisecond,
		BackoffJitterFraction: 0.1,
		MaxCallSendMsgSize:    math.MaxInt32, // the server's limit is the one under test
		MaxCallRecvMsgSize:    math.MaxInt32,
		Logger:                zap.NewNop(),
		DialOptions:           []grpc.DialOption{grpc.WithConnectParams(reconnectParams)},
	})
}

// Endpoints returns client URLs in the order of the given positions, of all nodes when none is given.
func (c *Cluster) Endpoints(nodes ...int) []string {
	var endpoints []string
	for _, i := range nodes {
		endpoints = append(endpoints, c.Nodes[i].ClientURL())
	}
	if len(nodes) == 0 {
		for _, n := range c.Nodes {
			endpoints = append(endpoints, n.ClientURL())
		}
	}
	return endpoints
}

// KV returns the bare gRPC service of one node, for requests that clientv3 cannot express.
func (c *Cluster) KV(node int) pb.KVClient {
	c.t.Helper()
	return pb.NewKVClient(c.Client(node).ActiveConnection())
}

// reconnectParams makes clients look for a restarted node often, on loopback at no cost.
var reconnectParams = grpc.ConnectParams{
	Backoff: backoff.Config{
		BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 200 * time.Millisecond,
	},
	MinConnectTimeout: time.Second,
}
