package server

import (
	"context"
	"fmt"
	"math"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// inProcess is a gRPC connection from the member to its own services, through memory: the JSON gateway and the services
// that are built on others are clients like everybody else. Each call passes the interceptors and is counted.
//
// It has a gRPC server of its own, which differs from the clients' in one thing: there is no bound to the calls in
// flight on its single connection. A lock that waits would otherwise keep out the call that releases it.
type inProcess struct {
	conn     *grpc.ClientConn
	listener *branch
}

func newInProcess() *inProcess {
	p := &inProcess{listener: newBranch(memoryAddr{})}
	conn, err := grpc.NewClient("passthrough:///in-process",
		grpc.WithContextDialer(p.dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0),
		// The server's limits are the only ones.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
	)
	if err != nil {
		panic(fmt.Sprintf("server: in-process connection: %v", err)) // only its constants could be wrong
	}
	p.conn = conn
	return p
}

// dial waits until the server takes the other end: a call made before Serve waits for it.
func (p *inProcess) dial(ctx context.Context, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.listener.conns <- far:
		return near, nil
	case <-p.listener.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// close ends all calls.
func (p *inProcess) close() {
	_ = p.conn.Close() // fails only when it was closed before
	_ = p.listener.Close()
}

// memoryAddr is the address of both ends.
type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "in-process" }
