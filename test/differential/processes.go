package differential

import (
	"math"
	"slices"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// processes is a system of real servers.
type processes struct {
	*cluster.Cluster
	endpoints [][clients]endpoint // by node
}

// start runs a cluster with connections of its own, which wait for a restarted node instead of failing.
func start(t cluster.T, cfg cluster.Config) *processes {
	t.Helper()
	p := &processes{Cluster: cluster.Start(t, cfg)}
	for _, n := range p.Nodes {
		var connections [clients]endpoint
		for i := range connections {
			conn, err := grpc.NewClient(n.ClientAddr,
				grpc.WithTransportCredentials(insecure.NewCredentials()),
				grpc.WithConnectParams(grpc.ConnectParams{
					Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond},
					MinConnectTimeout: time.Second,
				}),
				grpc.WithDefaultCallOptions(grpc.WaitForReady(true),
					grpc.MaxCallSendMsgSize(math.MaxInt32), grpc.MaxCallRecvMsgSize(math.MaxInt32)))
			if err != nil {
				t.Fatalf("connect to %s: %v", n.Name, err)
			}
			t.Cleanup(func() { conn.Close() })
			connections[i] = endpoint{kv: pb.NewKVClient(conn), maintenance: pb.NewMaintenanceClient(conn),
				lease: pb.NewLeaseClient(conn), watch: pb.NewWatchClient(conn)}
		}
		p.endpoints = append(p.endpoints, connections)
	}
	return p
}

func (p *processes) nodes() int { return len(p.Nodes) }

func (p *processes) ask(node, client int, request any) answer {
	return p.endpoints[node%len(p.endpoints)][client%clients].ask(request)
}

func (p *processes) restart(kill bool) {
	if kill {
		p.KillAll()
	} else {
		p.StopAll()
	}
	p.up()
}

func (p *processes) alive() bool {
	return !slices.ContainsFunc(p.Nodes, func(n *cluster.Node) bool { return !n.Running() })
}

func (p *processes) renew() {
	p.KillAll()
	for _, n := range p.Nodes {
		n.Wipe()
	}
	p.up()
}

// up starts all nodes and waits until each has served a linearizable read: connections are good and nothing is missing.
func (p *processes) up() {
	p.StartAll()
	for i := range p.Nodes {
		p.Revision(i)
		for client := range clients {
			p.ask(i, client, &pb.RangeRequest{Key: []byte{0}})
		}
	}
}
