package h2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// bytesCodec lets a server take and give bytes as they are.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "proto" }

func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

var _ encoding.CodecV2 = bytesCodec{}

// handler answers a request.
type handler func(ctx context.Context, request []byte) ([]byte, error)

func echo(_ context.Context, request []byte) ([]byte, error) { return request, nil }

const (
	unaryMethod  = "/test.Test/Unary"
	streamMethod = "/test.Test/Stream"
)

// serve starts grpc-go's server with a method that f answers, and another that does the same for each message of a stream until
// one says "end".
func serve(t *testing.T, addr string, f handler, options ...grpc.ServerOption) (*grpc.Server, string) {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(append([]grpc.ServerOption{
		grpc.ForceServerCodecV2(bytesCodec{}), grpc.MaxRecvMsgSize(math.MaxInt32), grpc.MaxSendMsgSize(math.MaxInt32),
	}, options...)...)
	answer := func(ctx context.Context, receive func(any) error) (any, error) {
		var request []byte
		if err := receive(&request); err != nil {
			return nil, err
		}
		response, err := f(ctx, request)
		return &response, err
	}
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Test",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary",
			Handler: func(_ any, ctx context.Context, receive func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				return answer(ctx, receive)
			}}},
		Streams: []grpc.StreamDesc{{StreamName: "Stream", ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error {
				for {
					response, err := answer(stream.Context(), stream.RecvMsg)
					if err == nil && string(*response.(*[]byte)) == "end" {
						return nil
					}
					if err == nil {
						err = stream.SendMsg(response)
					}
					if err != nil {
						return err
					}
				}
			}}},
	}, nil)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s, listener.Addr().String()
}

func connect(t *testing.T, addr string) *Conn {
	c := New(addr)
	t.Cleanup(c.Close)
	return c
}

// kept is a message of which all is kept.
type kept []byte

func (k *kept) Scan(b []byte) error {
	*k = append((*k)[:0], b...)
	return nil
}

// random returns as many bytes as it is told, others for each seed.
func random(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // it has no failure
	return b
}

// settings of servers that their peers have to heed.
var settings = map[string][]grpc.ServerOption{
	"default":  nil,
	"windows":  {grpc.StaticStreamWindowSize(64 << 10), grpc.StaticConnWindowSize(64 << 10)},
	"streams":  {grpc.MaxConcurrentStreams(2)},
	"no table": {grpc.HeaderTableSize(0)},
}

// TestEcho sends messages of many sizes from many callers on one connection, and each gets its own back.
func TestEcho(t *testing.T) {
	for name, options := range settings {
		t.Run(name, func(t *testing.T) {
			_, addr := serve(t, "127.0.0.1:0", echo, options...)
			c := connect(t, addr)
			var callers sync.WaitGroup
			for caller := range 20 {
				callers.Go(func() {
					var got kept
					for _, size := range []int{0, 1, 256, frameBytes - prefixBytes, frameBytes - prefixBytes + 1, 70_000, 17} {
						request := random(byte(caller), size)
						if err := c.Invoke(t.Context(), unaryMethod, request, &got); err != nil || !bytes.Equal(got, request) {
							t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
						}
					}
				})
			}
			callers.Wait()
			request := random(99, 1<<20)
			var got kept
			if err := c.Invoke(t.Context(), unaryMethod, request, &got); err != nil || !bytes.Equal(got, request) {
				t.Errorf("%d bytes: %d came back, %v", len(request), len(got), err)
			}
			if s := c.current.Load(); len(s.streams)+len(s.waiting)+len(s.blocked) > 0 {
				t.Errorf("%d streams are left, %d wait, %d are blocked", len(s.streams), len(s.waiting), len(s.blocked))
			}
		})
	}
}

// TestChain makes each call from the answer to the one before, as load does.
func TestChain(t *testing.T) {
	_, addr := serve(t, "127.0.0.1:0", echo)
	c := connect(t, addr)
	const chains, length = 50, 100
	var running sync.WaitGroup
	for chain := range chains {
		running.Add(1)
		var got kept
		n := 0
		var next func(error)
		next = func(err error) {
			want := fmt.Sprintf("%d of %d", n, chain)
			if n > 0 && (err != nil || string(got) != want) {
				t.Errorf("%q, %v, want %q", got, err, want)
			}
			if n == length {
				running.Done()
				return
			}
			n++
			c.Call(unaryMethod, fmt.Appendf(nil, "%d of %d", n, chain), &got, next)
		}
		next(nil)
	}
	running.Wait()
}

func TestErrorStatus(t *testing.T) {
	long := strings.Repeat("long ", 10_000) // more than a frame of headers
	_, addr := serve(t, "127.0.0.1:0", func(ctx context.Context, request []byte) ([]byte, error) {
		switch string(request) {
		case "long":
			return nil, status.Error(codes.Aborted, long)
		case "late":
			if err := grpc.SendHeader(ctx, metadata.Pairs("a", "b")); err != nil {
				return nil, err
			}
			return nil, status.Error(codes.OutOfRange, "late")
		case "ok":
			return []byte("ok"), nil
		default:
			return nil, status.Error(codes.NotFound, "100 % größer\n")
		}
	})
	c := connect(t, addr)
	for range 3 { // the first enters tables
		for request, want := range map[string]error{
			"":     status.Error(codes.NotFound, "100 % größer\n"),
			"late": status.Error(codes.OutOfRange, "late"),
			"long": status.Error(codes.Aborted, long),
			"ok":   nil,
		} {
			var got kept
			err := c.Invoke(t.Context(), unaryMethod, []byte(request), &got)
			if status.Code(err) != status.Code(want) || status.Convert(err).Message() != status.Convert(want).Message() {
				t.Errorf("%q: %.100v, want %.100v", request, err, want)
			}
		}
		if err := c.Invoke(t.Context(), "/test.Test/None", nil, &kept{}); status.Code(err) != codes.Unimplemented {
			t.Errorf("a method that is not there: %v", err)
		}
	}
}

type refusing struct{}

var errRefused = errors.New("refused")

func (refusing) Scan([]byte) error { return errRefused }

func TestScanFails(t *testing.T) {
	_, addr := serve(t, "127.0.0.1:0", echo)
	c := connect(t, addr)
	if err := c.Invoke(t.Context(), unaryMethod, []byte("x"), refusing{}); !errors.Is(err, errRefused) {
		t.Errorf("%v, want %v", err, errRefused)
	}
	if err := c.Invoke(t.Context(), unaryMethod, []byte("x"), &kept{}); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// TestServerStops ends a server under calls that it does not answer. They fail, later ones fail, and when there is a server
// again they succeed.
func TestServerStops(t *testing.T) {
	for name, stop := range map[string]func(*grpc.Server){
		"stop":     (*grpc.Server).Stop,
		"graceful": func(s *grpc.Server) { go s.GracefulStop() },
	} {
		t.Run(name, func(t *testing.T) {
			arrived, release := make(chan struct{}), make(chan struct{})
			s, addr := serve(t, "127.0.0.1:0", func(ctx context.Context, request []byte) ([]byte, error) {
				arrived <- struct{}{}
				select {
				case <-release:
				case <-ctx.Done():
				}
				return request, nil
			})
			c := connect(t, addr)
			ended := make(chan error, 3)
			for range cap(ended) {
				c.Call(unaryMethod, []byte("x"), &kept{}, func(err error) { ended <- err })
				<-arrived
			}
			stop(s)
			want := codes.Unavailable
			if name == "graceful" {
				// The server ends when it has answered.
				close(release)
				want = codes.OK
			}
			for range cap(ended) {
				if err := <-ended; status.Code(err) != want {
					t.Errorf("a call that was under way: %v, want %v", err, want)
				}
			}
			s.Stop()
			for range 3 {
				if err := c.Invoke(t.Context(), unaryMethod, []byte("x"), &kept{}); status.Code(err) != codes.Unavailable {
					t.Errorf("without a server: %v, want %v", err, codes.Unavailable)
				}
			}
			serve(t, addr, echo)
			for {
				err := c.Invoke(t.Context(), unaryMethod, []byte("x"), &kept{})
				if err == nil {
					break
				}
				if status.Code(err) != codes.Unavailable {
					t.Fatalf("with the next server: %v", err)
				}
			}
		})
	}
}

// TestCancel ends calls whose answer does not come. The server learns it, and there is room for others.
func TestCancel(t *testing.T) {
	arrived, gone := make(chan struct{}), make(chan struct{})
	_, addr := serve(t, "127.0.0.1:0", func(ctx context.Context, request []byte) ([]byte, error) {
		switch string(request) {
		case "quick":
			return request, nil
		case "slow":
			arrived <- struct{}{}
			defer func() { gone <- struct{}{} }()
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}, grpc.MaxConcurrentStreams(1))
	c := connect(t, addr)
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		go func() { ended <- c.Invoke(ctx, unaryMethod, []byte("slow"), &kept{}) }()
		<-arrived
		go func() { ended <- c.Invoke(ctx, unaryMethod, []byte("waits for its turn"), &kept{}) }()
		cancel()
		for range cap(ended) {
			if err := <-ended; status.Code(err) != codes.Canceled {
				t.Errorf("%v, want %v", err, codes.Canceled)
			}
		}
		<-gone
		if err := c.Invoke(t.Context(), unaryMethod, []byte("quick"), &kept{}); err != nil {
			t.Errorf("the next call: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := c.Invoke(ctx, unaryMethod, []byte("waits for its end"), &kept{}); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v, want %v", err, codes.DeadlineExceeded)
	}
}

// TestStream sends messages on an open stream, small and large, and both sides end some.
func TestStream(t *testing.T) {
	_, addr := serve(t, "127.0.0.1:0", echo, settings["windows"]...)
	c := connect(t, addr)
	var got kept
	each := make(chan error, 1)
	s := c.Open(streamMethod, &got, func(err error) { each <- err })
	for _, size := range []int{0, 3, 100_000, 256, 500_000} {
		message := random(1, size)
		if err := s.Send(message); err != nil {
			t.Fatalf("send %d bytes: %v", size, err)
		}
		if err := <-each; err != nil || !bytes.Equal(got, message) {
			t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
		}
	}
	if err := s.Send([]byte("end")); err != nil {
		t.Fatal(err)
	}
	if err := <-each; err != io.EOF {
		t.Errorf("the stream ends with %v, want %v", err, io.EOF)
	}
	if err := s.Send([]byte("x")); err != io.EOF || s.Cancel() {
		t.Errorf("after the end a message is sent: %v", err)
	}

	s = c.Open(streamMethod, &got, func(err error) { t.Errorf("a cancelled stream reports %v", err) })
	if !s.Cancel() || s.Cancel() {
		t.Error("a stream is not cancelled once")
	}
}

// TestStreamIDsEnd uses the last number that a stream can have: the next call needs another connection, and those under way come
// to their end.
func TestStreamIDsEnd(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	_, addr := serve(t, "127.0.0.1:0", func(_ context.Context, request []byte) ([]byte, error) {
		if string(request) == "slow" {
			close(arrived)
			<-release
		}
		return request, nil
	})
	c := connect(t, addr)
	var got kept
	if err := c.Invoke(t.Context(), unaryMethod, []byte("x"), &got); err != nil {
		t.Fatal(err)
	}
	first := c.current.Load()
	first.mu.Lock()
	first.nextID = maxStreamID
	first.mu.Unlock()
	ended := make(chan error, 1)
	var slow kept
	c.Call(unaryMethod, []byte("slow"), &slow, func(err error) { ended <- err })
	<-arrived
	for status.Code(c.Invoke(t.Context(), unaryMethod, []byte("x"), &got)) == codes.Unavailable {
		// Connections are not made in quick succession.
	}
	if string(got) != "x" || c.current.Load() == first {
		t.Errorf("%q, on another connection: %v", got, c.current.Load() != first)
	}
	close(release)
	if err := <-ended; err != nil || string(slow) != "slow" {
		t.Errorf("the call that was under way: %q, %v", slow, err)
	}
}

// TestReset fails what waits for a server that says nothing, and TestClose what comes later.
func TestReset(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := connect(t, listener.Addr().String())
	ended := make(chan error, 1)
	for _, f := range []func(){c.Reset, c.Close} {
		c.Call(unaryMethod, nil, &kept{}, func(err error) { ended <- err })
		f()
		if err := <-ended; status.Code(err) != codes.Unavailable {
			t.Errorf("%v, want %v", err, codes.Unavailable)
		}
	}
	if err := c.Invoke(t.Context(), unaryMethod, nil, &kept{}); !errors.Is(err, errClosed) {
		t.Errorf("%v, want %v", err, errClosed)
	}
}
