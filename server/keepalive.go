package server

import (
	"context"
	"errors"
	"io"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/raftnode"
)

// maxStreamKeepAlives is how many keep-alives of one stream may be on their way. While there are so many, the stream is
// not read.
const maxStreamKeepAlives = 256

// keepAliveStream is one call of LeaseKeepAlive. Any number of its keep-alives are on their way at a time, so that a client
// with a thousand leases on one stream does not wait a thousand times; each is answered as soon as it is confirmed.
//
// A second goroutine, receive, reads the stream; it ends with the stream.
type keepAliveStream struct {
	*api
	pb.Lease_LeaseKeepAliveServer

	// answers come from the node's loop, which never waits for room: there is as much as there may be keep-alives on
	// their way. Never closed.
	answers chan keepAlive
	// flying holds a token for each keep-alive on its way: put in by receive, taken out when the answer is sent.
	flying chan struct{}
	// received is told once, with what receive ended with.
	received chan error
}

type keepAlive struct {
	resp *pb.LeaseKeepAliveResponse
	err  error
}

// LeaseKeepAlive renews leases for as long as the stream lasts. A lease that does not exist is answered with a time to live
// of 0. When the leader cannot confirm a renewal in time the stream ends, so that the client turns to another member.
func (l *leaseServer) LeaseKeepAlive(stream pb.Lease_LeaseKeepAliveServer) error {
	k := &keepAliveStream{
		api: l.api, Lease_LeaseKeepAliveServer: stream,
		answers:  make(chan keepAlive, maxStreamKeepAlives),
		flying:   make(chan struct{}, maxStreamKeepAlives),
		received: make(chan error, 1),
	}
	go func() { k.received <- k.receive() }()
	return toStatus(k.answer())
}

// receive passes on what the client sends. It returns io.EOF when the client is done.
func (k *keepAliveStream) receive() error {
	for {
		r, err := k.Recv()
		if err != nil {
			return err
		}
		select {
		case k.flying <- struct{}{}:
		case <-k.Context().Done():
			return k.Context().Err()
		}
		// The header comes first: a lease must not be seen alive at a revision at which it was revoked already.
		resp := &pb.LeaseKeepAliveResponse{Header: k.header.fill(nil), ID: r.ID}
		k.node.RenewLease(r.ID, func(ttl int64, err error) {
			if resp.TTL = ttl; ttl == raftnode.NoLease {
				resp.TTL = 0
			}
			k.answers <- keepAlive{resp, err}
		})
	}
}

// answer sends the answers until the stream ends.
func (k *keepAliveStream) answer() error {
	received := k.received
	for done := false; !done || len(k.flying) > 0; {
		select {
		case a := <-k.answers:
			if a.err != nil {
				return a.err
			}
			if err := k.Send(a.resp); err != nil {
				return err
			}
			<-k.flying
			if a.resp.TTL > 0 {
				k.metrics.leaseRenewed.Inc()
			}
		case err := <-received:
			if !errors.Is(err, io.EOF) {
				return err
			}
			done, received = true, nil
		case <-k.Context().Done():
			return context.Cause(k.Context())
		}
	}
	return nil
}
