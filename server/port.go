package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
)

// clientPort serves gRPC and HTTP to clients, on any number of listeners.
type clientPort struct {
	grpc   *grpc.Server
	http   *http.Server
	logger hclog.Logger

	mu     sync.Mutex
	muxes  []*connMux
	closed bool
}

func newClientPort(g *grpc.Server, h *http.Server, logger hclog.Logger) *clientPort {
	return &clientPort{grpc: g, http: h, logger: logger}
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

func unlessClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Shutdown stops accepting and lets requests finish until ctx ends; then, or at once if there are none, it closes every
// connection. Watches never finish, so ctx needs a deadline. No gRPC handler runs any more when it returns.
func (p *clientPort) Shutdown(ctx context.Context) {
	p.mu.Lock()
	p.closed = true
	muxes := p.muxes
	p.mu.Unlock()
	for _, m := range muxes {
		_ = m.Close() // there is nobody left to tell
	}
	var group errgroup.Group
	group.Go(func() error {
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
}
