package server

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// connMux splits the connections of one listener into gRPC's and plain HTTP's, so that both live on one port and gRPC
// still runs on its own HTTP/2 transport (served through net/http, streams starve each other: etcd issue 15402).
//
// A connection belongs to one side for its whole life; its first request decides, see sniff. Deciding takes a goroutine
// per connection until then. Serve starts them, and returns when they are done.
//
// The usual library for this, cmux, is not used: it has had no release since 2021, keeps a new connection that sends no
// request to itself for ever, with its pings unanswered, and cannot serve HTTP/2 to clients that are not gRPC's.
type connMux struct {
	root       net.Listener
	grpc, http *branch
	logger     hclog.Logger

	mu sync.Mutex
	// sniffing holds the connections that are not decided. nil once the mux is closed.
	sniffing map[net.Conn]struct{}
	wg       sync.WaitGroup
}

func newConnMux(root net.Listener, logger hclog.Logger) *connMux {
	return &connMux{
		root: root, grpc: newBranch(root.Addr()), http: newBranch(root.Addr()), logger: logger,
		sniffing: make(map[net.Conn]struct{}),
	}
}

// Serve accepts connections until Close. Both branches must be accepted from meanwhile.
func (m *connMux) Serve() error {
	defer m.wg.Wait()
	defer m.Close()
	var pause acceptPause
	for {
		conn, err := m.root.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil && pause.wait(err):
			m.logger.Warn("accept refused for a moment", "address", m.root.Addr(), "error", err)
		case err != nil:
			return err
		default:
			pause = 0
			m.dispatch(conn)
		}
	}
}

// dispatch finds out, in its own goroutine, where conn belongs.
func (m *connMux) dispatch(conn net.Conn) {
	m.mu.Lock()
	if m.sniffing == nil {
		m.mu.Unlock()
		conn.Close()
		return
	}
	m.sniffing[conn] = struct{}{}
	m.wg.Add(1)
	m.mu.Unlock()

	go func() {
		defer m.wg.Done()
		kind, replay := sniff(conn)
		m.mu.Lock()
		delete(m.sniffing, conn)
		m.mu.Unlock()
		switch kind {
		case protoGRPC:
			m.grpc.deliver(&replayConn{Conn: conn, replay: replay})
		case protoHTTP1:
			m.http.deliver(&replayConn{Conn: conn, replay: replay})
		case protoHTTP2:
			m.http.deliver(&ackFilter{replayConn: replayConn{Conn: conn, replay: replay}, payload: len(clientPreface)})
		case protoNone:
			conn.Close()
		}
	}()
}

// Close stops accepting, and drops the connections that are not decided. Those handed over are their servers'.
func (m *connMux) Close() error {
	err := m.root.Close()
	m.mu.Lock()
	for conn := range m.sniffing {
		conn.Close()
	}
	m.sniffing = nil
	m.mu.Unlock()
	m.grpc.Close()
	m.http.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// branch is the listener that one of the two servers accepts from.
type branch struct {
	addr net.Addr
	// conns is sent to by dispatch and received from by Accept; unbuffered, so that no connection is lost in it.
	conns chan net.Conn
	// closed is closed by Close.
	closed chan struct{}
	once   sync.Once
}

func newBranch(addr net.Addr) *branch {
	return &branch{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (b *branch) deliver(c net.Conn) {
	select {
	case b.conns <- c:
	case <-b.closed:
		c.Close()
	}
}

func (b *branch) Accept() (net.Conn, error) {
	select {
	case c := <-b.conns:
		return c, nil
	case <-b.closed:
		return nil, net.ErrClosed
	}
}

func (b *branch) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

func (b *branch) Addr() net.Addr { return b.addr }

// acceptPause grows while accepting fails for a reason that passes, like too many open files.
type acceptPause time.Duration

const (
	minAcceptPause = acceptPause(5 * time.Millisecond)
	maxAcceptPause = acceptPause(time.Second)
)

// wait waits and returns true if err may pass.
func (p *acceptPause) wait(err error) bool {
	var temporary interface{ Temporary() bool } // deprecated for lack of meaning, except for accept
	if !errors.As(err, &temporary) || !temporary.Temporary() {
		return false
	}
	*p = min(max(*p*2, minAcceptPause), maxAcceptPause)
	time.Sleep(time.Duration(*p))
	return true
}
