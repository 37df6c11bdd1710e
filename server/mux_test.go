package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// httpClient speaks one version of HTTP, without TLS.
func httpClient(t *testing.T, http2 bool) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!http2)
	tr.Protocols.SetUnencryptedHTTP2(http2)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func TestOnePortForAll(t *testing.T) {
	n := newSoloNode(t)
	e := serve(t, n, testConfig())
	ctx := testContext(t)
	get := func(c *http.Client, proto string) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+e.addr+"/health", nil)
		if err != nil {
			return err
		}
		r, err := c.Do(request)
		if err != nil {
			return err
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Proto != proto || string(body) != `{"health":"true","reason":""}` {
			return fmt.Errorf("%s %s %q: %v", r.Proto, r.Status, body, err)
		}
		return nil
	}
	var wg sync.WaitGroup
	errs := make(chan error, 3*10*5)
	for range 10 {
		h1, h2, conn := httpClient(t, false), httpClient(t, true), e.dial(t)
		for _, call := range []func() error{
			func() error { return get(h1, "HTTP/1.1") },
			func() error { return get(h2, "HTTP/2.0") },
			func() error {
				_, err := pb.NewKVClient(conn).Put(ctx, &pb.PutRequest{Key: []byte("k")})
				return err
			},
		} {
			wg.Go(func() {
				for range 5 { // on one connection
					errs <- call()
				}
			})
		}
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
}

// A request that is sent one byte at a time goes where it belongs.
func TestSlowClients(t *testing.T) {
	e := serve(t, newSoloNode(t), testConfig())
	for _, request := range []string{
		"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"PROPFIND /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", // starts like HTTP/2's preface
	} {
		conn, err := net.Dial("tcp", e.addr)
		if err != nil {
			t.Fatal(err)
		}
		for i := range len(request) {
			if _, err := io.WriteString(conn, request[i:i+1]); err != nil {
				t.Fatal(err)
			}
		}
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 ") {
			t.Errorf("%q: %v", answer, err)
		}
		conn.Close()
	}
}

// A client that connects ahead of time and pings gets its answers before its first request.
func TestPingBeforeFirstRequest(t *testing.T) {
	e := serve(t, newSoloNode(t), testConfig())
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f := http2.NewFramer(conn, conn)
	ping := [8]byte{1, 2, 3}
	_, err = io.WriteString(conn, http2.ClientPreface)
	for _, write := range []func() error{
		func() error { return err },
		func() error { return f.WriteSettings() },
		func() error { return f.WritePing(false, ping) },
	} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if p, ok := frame.(*http2.PingFrame); ok && p.IsAck() && p.Data == ping {
			return
		}
	}
}

// A client that is not gRPC's acknowledges two SETTINGS, of which its server has sent one, and stays connected.
func TestHTTP2KeepsItsConnection(t *testing.T) {
	e := serve(t, newSoloNode(t), testConfig())
	conn, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	f := http2.NewFramer(conn, conn)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	get := headers(":method", "GET", ":scheme", "http", ":path", "/version", ":authority", "x")
	if _, err := conn.Write(frames(t, get)); err != nil {
		t.Fatal(err)
	}
	acks, answered := 0, false
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				acks++
				err = f.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			if got := frame.PseudoValue("status"); got != "200" {
				t.Errorf("status %q", got)
			}
		case *http2.DataFrame:
			answered = answered || frame.StreamEnded()
		case *http2.GoAwayFrame:
			t.Fatalf("connection ended: %s %s", frame.ErrCode, frame.DebugData())
		case *http2.PingFrame:
			return
		}
		if err == nil && acks == 2 && answered {
			err = f.WritePing(false, [8]byte{1})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// frames are what a client sends first.
func frames(t testing.TB, write func(*http2.Framer)) []byte {
	t.Helper()
	b := bytes.NewBufferString(http2.ClientPreface)
	f := http2.NewFramer(b, nil)
	if err := f.WriteSettings(http2.Setting{ID: http2.SettingEnablePush}); err != nil {
		t.Fatal(err)
	}
	write(f)
	return b.Bytes()
}

func headers(fields ...string) func(*http2.Framer) {
	return func(f *http2.Framer) {
		var b bytes.Buffer
		e := hpack.NewEncoder(&b)
		for i := 0; i < len(fields); i += 2 {
			_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		half := b.Len() / 2
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b.Bytes()[:half]})
		_ = f.WriteContinuation(1, true, b.Bytes()[half:])
	}
}

func both(fs ...func(*http2.Framer)) func(*http2.Framer) {
	return func(f *http2.Framer) {
		for _, write := range fs {
			write(f)
		}
	}
}

func TestSniff(t *testing.T) {
	request := []string{":method", "POST", ":scheme", "http", ":path", "/x", ":authority", "a"}
	with := func(more ...string) func(*http2.Framer) { return headers(append(request[:8:8], more...)...) }
	window := func(f *http2.Framer) { _ = f.WriteWindowUpdate(0, 1<<20) }
	priority := func(f *http2.Framer) { _ = f.WritePriority(3, http2.PriorityParam{Weight: 200}) }
	ack := func(f *http2.Framer) { _ = f.WriteSettingsAck() }
	ping := func(f *http2.Framer) { _ = f.WritePing(false, [8]byte{}) }
	nothing := func(*http2.Framer) {}
	for name, tc := range map[string]struct {
		sent []byte
		want protocol
		took time.Duration // until decided, while the client waits
	}{
		"silence":              {nil, protoNone, firstByteTimeout},
		"HTTP/1":               {[]byte("GET / HTTP/1.1\r\n"), protoHTTP1, 0},
		"HTTP/1, one byte":     {[]byte("G"), protoHTTP1, 0},
		"like the preface":     {[]byte("PRI * HTTP/2.1\r\n"), protoHTTP1, 0},
		"part of the preface":  {[]byte("PRI * HT"), protoHTTP1, firstByteTimeout},
		"TLS":                  {[]byte{0x16, 3, 1, 2, 0}, protoHTTP1, 0},
		"gRPC":                 {frames(t, with("content-type", "application/grpc")), protoGRPC, 0},
		"gRPC with a codec":    {frames(t, with("te", "trailers", "content-type", "application/grpc+proto")), protoGRPC, 0},
		"gRPC after all sorts": {frames(t, both(window, priority, ack, with("content-type", "application/grpc"))), protoGRPC, 0},
		"HTTP/2":               {frames(t, both(window, with("accept", "*/*"))), protoHTTP2, 0},
		"HTTP/2 with a body":   {frames(t, with("content-type", "application/json")), protoHTTP2, 0},
		"waits for SETTINGS":   {frames(t, nothing), protoGRPC, firstRequestTimeout},
		"only the preface":     {[]byte(http2.ClientPreface), protoGRPC, firstRequestTimeout},
		"half a frame":         {frames(t, window)[:40], protoGRPC, firstRequestTimeout},
		"pings":                {frames(t, ping), protoGRPC, 0},
		"too much before it": {frames(t, func(f *http2.Framer) {
			for range sniffFrames {
				window(f)
			}
		}), protoGRPC, 0},
		"nonsense in a frame":   {append(frames(t, nothing), 0, 0, 1, 1, 4, 0, 0, 0, 1, 0xff), protoGRPC, 0},
		"a frame without bound": {append(frames(t, nothing), 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1), protoGRPC, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := net.Pipe()
				defer conn.Close()
				defer client.Close()
				go func() { _, _ = client.Write(tc.sent) }()
				go func() { _, _ = io.Copy(io.Discard, client) }()
				start := time.Now()
				got, replay := sniff(conn)
				if got != tc.want || time.Since(start) != tc.took {
					t.Errorf("protocol %d after %s, want %d after %s", got, time.Since(start), tc.want, tc.took)
				}
				if !bytes.HasPrefix(tc.sent, replay) || len(replay) == 0 && len(tc.sent) > 0 {
					t.Errorf("replays %q of %q", replay, tc.sent)
				}
				if got == protoNone {
					return
				}
				// No deadline may be left behind.
				time.Sleep(2 * firstByteTimeout)
				go func() { _, _ = client.Write([]byte("more")) }()
				all, want := make([]byte, len(tc.sent)+4), append(bytes.Clone(tc.sent), "more"...)
				if _, err := io.ReadFull(&replayConn{Conn: conn, replay: replay}, all); err != nil || !bytes.Equal(all, want) {
					t.Errorf("server reads %q, %v, want %q", all, err, want)
				}
			})
		})
	}
}

func FuzzSniff(f *testing.F) {
	f.Add(frames(f, headers("content-type", "application/grpc")))
	f.Add(frames(f, headers("accept", "*/*")))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		client, conn := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, client) }()
		go func() {
			_, _ = client.Write(sent)
			client.Close()
		}()
		if _, replay := sniff(conn); !bytes.HasPrefix(sent, replay) {
			t.Errorf("replays %q of %q", replay, sent)
		}
		conn.Close()
	})
}

// readerConn reads from r.
type readerConn struct {
	net.Conn
	r io.Reader
}

func (c readerConn) Read(p []byte) (int, error) { return c.r.Read(p) }

func TestAckFilter(t *testing.T) {
	seed := rand.Uint64()
	if s := testSeed(); s != 0 {
		seed = s
	}
	r := rand.New(rand.NewPCG(seed, 0))
	for range 500 {
		var sent, want bytes.Buffer
		for _, b := range []*bytes.Buffer{&sent, &want} {
			b.WriteString(http2.ClientPreface)
		}
		acks := 0
		for range r.IntN(12) {
			var frame bytes.Buffer
			f := http2.NewFramer(&frame, nil)
			switch r.IntN(4) {
			case 0:
				_ = f.WriteSettingsAck()
				acks++
			case 1:
				_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
			case 2:
				_ = f.WriteData(1, false, make([]byte, r.IntN(3000)))
			case 3:
				_ = f.WritePing(true, [8]byte{4, 1}) // an acknowledgement, but of something else
			}
			sent.Write(frame.Bytes())
			if acks != 1 || !bytes.Equal(frame.Bytes(), []byte{0, 0, 0, 4, 1, 0, 0, 0, 0}) {
				want.Write(frame.Bytes())
			}
		}
		split := r.IntN(sent.Len() + 1)
		replay, rest := bytes.Clone(sent.Bytes()[:split]), io.Reader(bytes.NewReader(sent.Bytes()[split:]))
		if r.IntN(2) == 0 {
			rest = iotest.OneByteReader(rest)
		}
		filter := &ackFilter{replayConn: replayConn{Conn: readerConn{r: rest}, replay: replay}, payload: len(clientPreface)}
		var out io.Reader = filter
		if r.IntN(2) == 0 {
			out = iotest.HalfReader(filter)
		}
		if got, err := io.ReadAll(out); err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%d bytes, %v, want %d\nrepeat: SEED=%d go test ./server -run TestAckFilter", len(got), err, want.Len(), seed)
		}
	}
	cut := &ackFilter{replayConn: replayConn{Conn: readerConn{r: strings.NewReader("")}, replay: []byte{0, 0, 0}}}
	if _, err := cut.Read(make([]byte, 9)); err != io.ErrUnexpectedEOF {
		t.Errorf("end within a header: %v", err)
	}
}

// failingListener refuses a few times before it accepts, and then is closed.
type failingListener struct {
	net.Listener
	errs []error
}

func (l *failingListener) Accept() (net.Conn, error) {
	err := l.errs[0]
	l.errs = l.errs[1:]
	return nil, err
}

type temporaryError struct{ error }

func (temporaryError) Temporary() bool { return true }

func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		busy := temporaryError{io.ErrNoProgress}
		for _, tc := range []struct {
			errs []error
			want error
			took time.Duration
		}{
			{[]error{busy, busy, busy, net.ErrClosed}, nil, 35 * time.Millisecond},
			{[]error{io.ErrUnexpectedEOF}, io.ErrUnexpectedEOF, 0},
		} {
			start := time.Now()
			m := newConnMux(&failingListener{root, tc.errs}, hclog.NewNullLogger())
			if err := m.Serve(); err != tc.want || time.Since(start) != tc.took {
				t.Errorf("%v after %s, want %v after %s", err, time.Since(start), tc.want, tc.took)
			}
		}
	})
}

// After a stop nothing of the server is left, whatever the clients were doing.
func TestStopLeavesNothingBehind(t *testing.T) {
	n := newSoloNode(t)
	entered := make(chan struct{})
	e := serve(t, n, testConfig(), blocking(entered))

	silent, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	half, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	if _, err := io.WriteString(half, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*http.Client{httpClient(t, false), httpClient(t, true)} {
		r, err := c.Get("http://" + e.addr + "/version")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
	}
	conn := e.dial(t)
	inRead := make(chan struct{})
	n.beforeRead = func(ctx context.Context) {
		inRead <- struct{}{}
		<-ctx.Done()
	}
	go func() { _, _ = pb.NewKVClient(conn).Range(context.Background(), &pb.RangeRequest{Key: []byte("k")}) }()
	<-inRead
	stream, err := conn.NewStream(testContext(t), &blockDesc, "/etcdserverpb.Blocking/Block")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	<-entered

	e.stop()
	if stacks := serverGoroutines(); stacks != "" {
		t.Errorf("still running:\n%s", stacks)
	}
	if _, err := net.Dial("tcp", e.addr); err == nil {
		t.Error("still listening")
	}
}

// serverGoroutines returns the stacks of what runs in this package, tests aside. HTTP's connections are given a moment:
// closing them does not wait for their goroutines.
func serverGoroutines() string {
	var found []string
	for range 1_000_000 {
		buf := make([]byte, 1<<20)
		found = nil
		for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(stack, "quorumkv/server.(") && !strings.Contains(stack, "testing.tRunner") {
				found = append(found, stack)
			}
		}
		if found == nil {
			return ""
		}
		runtime.Gosched()
	}
	return strings.Join(found, "\n\n")
}

// Requests that are under way when a stop begins are answered.
func TestShutdownLetsRequestsFinish(t *testing.T) {
	n := newSoloNode(t)
	e := serve(t, n, testConfig())
	conn := e.dial(t)
	inRead, proceed := make(chan struct{}), make(chan struct{})
	n.beforeRead = func(context.Context) {
		close(inRead)
		<-proceed
	}
	answered := make(chan error, 1)
	go func() {
		_, err := pb.NewKVClient(conn).Range(context.Background(), &pb.RangeRequest{Key: []byte("k")})
		answered <- err
	}()
	<-inRead
	stopped := make(chan struct{})
	go func() {
		e.port.Shutdown(testContext(t))
		close(stopped)
	}()
	for { // until the port is closed
		c, err := net.Dial("tcp", e.addr)
		if err != nil {
			break
		}
		c.Close()
	}
	close(proceed)
	if err := <-answered; err != nil {
		t.Errorf("request during the stop: %v", err)
	}
	<-stopped
	if l, err := net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	} else if err := e.port.Serve(l); err != nil {
		t.Errorf("serve after the stop: %v", err)
	} else if _, err := l.Accept(); err == nil {
		t.Error("listener left open")
	}
}
