package main

import (
	"errors"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/test/bench/h2"
)

var errDead = errors.New("a lease is dead")

// keepAliveRow: each client has a stream and renews one lease after the other on it, waiting for each answer.
func keepAliveRow(clients int) func(*turn) sample {
	return func(t *turn) sample {
		t.grant(t.size.leases)
		var streams []*h2.Stream
		defer func() {
			for _, s := range streams {
				s.Cancel()
			}
		}()
		return t.drive(t.size.clients(clients), 0, func(c client) call {
			waiting := make(chan func(error), 1)
			answer := func(err error) {
				select {
				case then := <-waiting:
					then(err)
				default: // the stream has ended between two calls
				}
			}
			var r keptAlive
			stream := c.conn.Open(keepAliveMethod, &r, func(err error) {
				if err == nil && r.ttl <= 0 {
					err = errDead
				}
				answer(err)
			})
			streams = append(streams, stream)
			n := c.number
			return func(then func(error)) {
				waiting <- then
				if err := stream.Send(t.s.leases[n%len(t.s.leases)]); err != nil {
					answer(err)
				}
				n++
			}
		})
	}
}

// grant makes the leases of a system, once.
func (t *turn) grant(leases int) {
	if len(t.s.leases) == leases {
		return
	}
	t.s.leases = make([]encoded, leases)
	var clients []*clientv3.Client
	for i := range t.s.cluster.Nodes {
		clients = append(clients, t.s.cluster.Client(i))
	}
	var workers sync.WaitGroup
	var failed once
	for worker := range maxConns {
		workers.Go(func() {
			for i := worker; i < leases; i += maxConns {
				response, err := clients[worker%len(clients)].Grant(t.ctx, 3600)
				if err != nil {
					failed.set(err)
					return
				}
				t.s.leases[i] = encode(&pb.LeaseKeepAliveRequest{ID: int64(response.ID)})
			}
		})
	}
	workers.Wait()
	if err := failed.get(); err != nil {
		t.h.Fatalf("grant on %s: %v", t.s.name, err)
	}
}
