package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
)

// clientPort serves gRPC and HTTP to clients, on any number of listeners, and the member's services to itself.
type clientPort struct {
	grpc   *grpc.Server
	http   *http.Server
	own    *grpc.Server // at the other end of self
	self   *inProcess
	logger hclog.Logger

	// base is the context of all HTTP requests. It ends when their connections are closed: net/http does not know those
	// that became WebSockets any more.
	base    context.Context
	endBase context.CancelFunc

	mu     sync.Mutex
	muxes  []*connMux
	closed bool
}

// farewellLimit is how long a call that was cut off may take to give up what it holds, like a place in a queue. That
// takes a call to the member itself, which never ends without a quorum.
const farewellLimit = 200 * time.Millisecond

// newClientPort returns a port that serves clients with g and h.
func newClientPort(a *api, g *grpc.Server, h *http.Server) *clientPort {
	p := &clientPort{grpc: g, http: h, own: newInProcessServer(a), self: a.self, logger: a.logger}
	p.base, p.endBase = context.WithCancel(context.Background())
	h.BaseContext = func(net.Listener) context.Context { return p.base }
	return p
}

// Serve serves l, which it closes in the end, until Shutdown.
func (p *clientPort) Serve(l net.Listener) error {
	mux := newConnMux(l, p.logger)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return mux.Close()
	}
	p.muxes = append(p.muxes, mux)
	p.mu.Unlock()

	var group errgroup.Group
	group.Go(mux.Serve)
	group.Go(func() error { return p.ServeGRPC(mux.grpc) })
	group.Go(func() error { return p.ServeHTTP(mux.http) })
	return group.Wait()
}

// ServeGRPC serves only gRPC on l.
func (p *clientPort) ServeGRPC(l net.Listener) error { return unlessClosed(p.grpc.Serve(l)) }

// ServeHTTP serves only HTTP on l.
func (p *clientPort) ServeHTTP(l net.Listener) error { return unlessClosed(p.http.Serve(l)) }

// ServeSelf serves the member's connection to itself. Until it runs, calls on that connection wait.
func (p *clientPort) ServeSelf() error { return unlessClosed(p.own.Serve(p.self.listener)) }

func unlessClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Shutdown stops accepting and lets requests finish until ctx ends; then, or at once if there are none, it closes every
// connection, the member's own last. Watches never finish, so ctx needs a deadline. No gRPC handler runs any more when
// it returns.
func (p *clientPort) Shutdown(ctx context.Context) {
	p.mu.Lock()
	p.closed = true
	muxes := p.muxes
	p.mu.Unlock()
	for _, m := range muxes {
		_ = m.Close() // there is nobody left to tell
	}
	over := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		farewell := time.AfterFunc(farewellLimit, p.own.Stop)
		<-over
		farewell.Stop()
	})()
	defer close(over)

	var group errgroup.Group
	group.Go(func() error {
		defer p.endBase()
		defer p.http.Close()
		return p.http.Shutdown(ctx)
	})
	group.Go(func() error {
		stop := context.AfterFunc(ctx, p.grpc.Stop)
		defer stop()
		p.grpc.GracefulStop()
		return nil
	})
	if err := group.Wait(); err != nil {
		p.logger.Debug("requests were cut off", "error", err)
	}
	p.own.GracefulStop()
	p.self.close()
}
