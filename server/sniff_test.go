package server

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

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
