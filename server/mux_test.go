package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
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
