// Package h2 is a gRPC client that generates load. It shares its processors with the servers that it measures, so it does
// little: requests come encoded, answers are scanned where they were read, and nothing waits between the two.
//
// A call is no goroutine. Its end is reported to a function, on the goroutine that reads the connection, and that function may
// make the next call. Whatever the answers that were read at once lead to is written at once. There is neither encryption nor
// compression, and no metadata beyond what gRPC asks for.
package h2

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Message is what an answer is scanned into. The bytes are valid until Scan returns.
type Message interface{ Scan([]byte) error }

// redial is the least time between two attempts to connect: calls in between fail at once.
const redial = 10 * time.Millisecond

// Conn is a connection to one server: it opens when it is used, and again after a loss.
//
// Functions that are given to it are called on the goroutine that reads. They must not block.
type Conn struct {
	addr    string
	current atomic.Pointer[transport]

	mu     sync.Mutex // of the two below, and of storing current
	dialed time.Time
	closed bool
}

// New returns a connection that is not open yet.
func New(addr string) *Conn { return &Conn{addr: addr} }

// Call sends a request. done is called once, when the answer has been scanned or the call has failed, perhaps before Call
// returns. The request is copied.
func (c *Conn) Call(method string, request []byte, into Message, done func(error)) {
	c.start(&Stream{method: method, into: into, report: done, unary: true}, request)
}

// Invoke calls and waits for the answer. When ctx ends first, the call is cancelled and nothing is scanned any more.
func (c *Conn) Invoke(ctx context.Context, method string, request []byte, into Message) error {
	done := make(chan error, 1)
	s := &Stream{method: method, into: into, report: func(err error) { done <- err }, unary: true}
	c.start(s, request)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		if s.Cancel() {
			return status.FromContextError(ctx.Err()).Err()
		}
		return <-done
	}
}

// Open starts a stream of both directions. each is called with nil after each message that was scanned, and with an error at
// the end, which is io.EOF if the server ended it well.
func (c *Conn) Open(method string, into Message, each func(error)) *Stream {
	s := &Stream{method: method, into: into, report: each}
	c.start(s, nil)
	return s
}

// start puts a stream on the connection, and ends it if there is none.
func (c *Conn) start(s *Stream, request []byte) {
	for {
		t := c.current.Load()
		if t != nil && t.start(s, request) {
			return
		}
		if err := c.connect(t); err != nil {
			s.finish(err)
			return
		}
	}
}

var (
	errClosed = status.Error(codes.Unavailable, "the connection was closed")
	errReset  = status.Error(codes.Unavailable, "the connection was reset")
	errEmpty  = status.Error(codes.Internal, "the answer has no message")
	errRedial = status.Error(codes.Unavailable, "the connection was lost a moment ago")
)

// connect replaces a transport that takes no more streams, or nil.
func (c *Conn) connect(old *transport) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return errClosed
	case c.current.Load() != old:
		return nil // another call has done it
	case time.Since(c.dialed) < redial:
		return errRedial
	}
	c.dialed = time.Now()
	t := newTransport(c.addr)
	c.current.Store(t)
	go t.run()
	return nil
}

// Reset fails what is under way. Later calls connect again.
func (c *Conn) Reset() {
	if t := c.current.Load(); t != nil {
		t.fail(errReset)
	}
}

// Close fails what is under way, and later calls.
func (c *Conn) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	if t := c.current.Load(); t != nil {
		t.fail(errClosed)
	}
}
