package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// Watch sends three changes to each watch, then a notice of progress, and compacts what would follow: of all ways to end a
// watch, the client library hands on only this one after all that came before. A watch from revision 1 is compacted at
// once.
func (f *fake) Watch(stream grpc.BidiStreamingServer[pb.WatchRequest, pb.WatchResponse]) error {
	for id := int64(0); ; id++ { // two watches of a stream must not have the same: clientv3 would wait for the first for ever
		r, err := stream.Recv()
		if err != nil {
			return nil
		}
		create := r.GetCreateRequest()
		if create == nil {
			continue
		}
		if !f.isRepeat(stream.Context(), create) {
			if err := f.record("Watch", create); err != nil {
				return err
			}
		}
		answers := []*pb.WatchResponse{
			{Header: fakeHeader(), Created: true},
			{Header: fakeHeader(), Events: fakeEvents(create.PrevKv)},
			{Header: fakeHeader()},
			{Header: fakeHeader(), Canceled: true, CompactRevision: 10},
		}
		if create.StartRevision == 1 {
			answers = slices.Delete(answers, 1, 3)
		}
		for _, answer := range answers {
			answer.WatchId = id
			if err := stream.Send(answer); err != nil {
				return err
			}
		}
	}
}

// watchOnConn is a watch that a client asked for on one of its connections.
type watchOnConn struct {
	conn    net.Addr // as gRPC holds it: one pointer per connection, ports come back
	request string
}

// isRepeat says whether the same watch was asked for before on the connection. clientv3 asks again, and looks at the first
// answer only, when a watch ended before its caller ran; the second request may come at any time, even after the command.
func (f *fake) isRepeat(ctx context.Context, create *pb.WatchCreateRequest) bool {
	client, _ := peer.FromContext(ctx)
	watch := watchOnConn{client.Addr, create.String()}
	f.mu.Lock()
	defer f.mu.Unlock()
	repeat := f.watches[watch]
	f.watches[watch] = true
	return repeat
}

func fakeEvents(previous bool) []*mvccpb.Event {
	pairs := fakePairs()
	events := []*mvccpb.Event{
		{Type: mvccpb.Event_PUT, Kv: pairs[0]},
		{Type: mvccpb.Event_PUT, Kv: pairs[2]},
		{Type: mvccpb.Event_DELETE, Kv: &mvccpb.KeyValue{Key: []byte("leer"), ModRevision: 42}},
	}
	if previous {
		events[0].PrevKv = &mvccpb.KeyValue{Key: pairs[0].Key, Value: []byte("hi"), CreateRevision: 2, ModRevision: 30, Version: 2}
		events[2].PrevKv = pairs[1]
	}
	return events
}

// fakeLease is the lease that the server grants. It lives; every other lease can be renewed once and is then gone, and
// unknownLease is from the beginning.
const (
	fakeLease    = 0x694d8f1c0a2b3c02
	unknownLease = 0x1234
)

func (f *fake) LeaseGrant(_ context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	if err := f.record("LeaseGrant", r); err != nil {
		return nil, err
	}
	return &pb.LeaseGrantResponse{Header: fakeHeader(), ID: fakeLease, TTL: max(r.TTL, 2)}, nil
}

func (f *fake) LeaseRevoke(_ context.Context, r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	if err := f.record("LeaseRevoke", r); err != nil {
		return nil, err
	}
	return &pb.LeaseRevokeResponse{Header: fakeHeader()}, nil
}

func (f *fake) LeaseTimeToLive(_ context.Context, r *pb.LeaseTimeToLiveRequest) (*pb.LeaseTimeToLiveResponse, error) {
	if err := f.record("LeaseTimeToLive", r); err != nil {
		return nil, err
	}
	if r.ID == unknownLease {
		return &pb.LeaseTimeToLiveResponse{Header: fakeHeader(), ID: r.ID, TTL: -1}, nil
	}
	answer := &pb.LeaseTimeToLiveResponse{Header: fakeHeader(), ID: r.ID, TTL: 41, GrantedTTL: 60}
	if r.Keys {
		answer.Keys = [][]byte{[]byte("leer"), []byte("odd\x00\xff")}
	}
	return answer, nil
}

func (f *fake) LeaseLeases(_ context.Context, r *pb.LeaseLeasesRequest) (*pb.LeaseLeasesResponse, error) {
	if err := f.record("LeaseLeases", r); err != nil {
		return nil, err
	}
	return &pb.LeaseLeasesResponse{Header: fakeHeader(), Leases: []*pb.LeaseStatus{{ID: fakeLease}, {ID: 31}}}, nil
}

// LeaseKeepAlive writes nothing down for the lease it granted: how often that is renewed is a matter of time.
func (f *fake) LeaseKeepAlive(stream grpc.BidiStreamingServer[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse]) error {
	for {
		r, err := stream.Recv()
		if err != nil {
			return nil
		}
		ttls := []int64{60, 0}
		switch r.ID {
		case fakeLease:
			ttls = []int64{60}
		case unknownLease:
			ttls = []int64{0}
		}
		if r.ID != fakeLease {
			if err := f.record("LeaseKeepAlive", r); err != nil {
				return err
			}
		}
		for _, ttl := range ttls {
			if err := stream.Send(&pb.LeaseKeepAliveResponse{Header: fakeHeader(), ID: r.ID, TTL: ttl}); err != nil {
				return err
			}
		}
	}
}

// serveMetrics answers HTTP/1.1 requests on l with metrics, and hands on the connections of gRPC.
func serveMetrics(t *testing.T, l net.Listener) net.Listener {
	closed := make(chan struct{})
	grpcConns := &connListener{Listener: l, conns: make(chan net.Conn), closed: closed}
	httpConns := &connListener{Listener: l, conns: make(chan net.Conn), closed: closed}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes 2.5165824e+07\n")
	})}
	go server.Serve(httpConns)
	t.Cleanup(func() { server.Close() })
	go func() { // ends with l, which the gRPC server closes
		defer close(closed)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				peeked := &peekedConn{Conn: conn, r: bufio.NewReader(conn)}
				target := httpConns
				if start, err := peeked.r.Peek(3); err == nil && string(start) == "PRI" {
					target = grpcConns
				}
				select {
				case target.conns <- peeked:
				case <-closed:
					conn.Close()
				}
			}()
		}
	}()
	return grpcConns
}

// connListener is a listener whose connections somebody else accepts.
type connListener struct {
	net.Listener
	conns  chan net.Conn
	closed chan struct{}
}

func (l *connListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

type peekedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *peekedConn) Read(p []byte) (int, error) { return c.r.Read(p) }
