package server

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// socketBridge lets browsers, which have no other way to stream both ways, use the gateway through a WebSocket: each
// message from the client is one request, each line of the answer a message to it. Everything else passes by.
//
// The form is that of the bridge in etcd, except that there unary methods and those that stream in one direction wait
// for the client to close before they answer.
type socketBridge struct {
	next  http.Handler
	limit int64 // bytes in one message from the client
	guard guard
}

// twoWay are the paths of the methods that take a stream of requests; all others take one.
var twoWay = map[string]bool{"/v3/watch": true, "/v3/lease/keepalive": true}

func (b *socketBridge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !wantsSocket(r.Header) {
		b.next.ServeHTTP(w, r)
		return
	}
	// Browsers do not ask before they connect, so it is refused here.
	if b.guard.refuse(w, r) {
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: []string{bearer}, InsecureSkipVerify: true, // the origin is checked
	})
	if err != nil {
		return // it has been answered
	}
	defer conn.CloseNow()
	conn.SetReadLimit(b.limit)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()

	body, requests := io.Pipe()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL.String(), body)
	if err != nil {
		return
	}
	request.Header = socketHeaders(r)
	received := make(chan struct{})
	go func() {
		defer close(received)
		defer cancel() // the client is gone
		receiveSocket(ctx, conn, requests, !twoWay[r.URL.Path])
	}()
	answer := &socketWriter{ctx: ctx, conn: conn, header: http.Header{}}
	b.next.ServeHTTP(answer, request)
	_ = body.Close() // nobody reads what still comes
	if answer.end() == nil && ctx.Err() == nil {
		_ = conn.Close(websocket.StatusNormalClosure, "")
	}
	conn.CloseNow()
	<-received
}

// receiveSocket writes the client's messages to requests until the client closes. If once is set, only the first.
func receiveSocket(ctx context.Context, conn *websocket.Conn, requests *io.PipeWriter, once bool) {
	defer requests.Close()
	for {
		_, message, err := conn.Read(ctx)
		if err != nil {
			return
		}
		// An error means that the request has been answered: what is left is to wait for the client's close.
		_, _ = requests.Write(append(message, '\n'))
		if once {
			requests.Close()
		}
	}
}

const bearer = "Bearer"

// socketHeaders are the headers of the request behind r. Browsers cannot set any on a WebSocket, so the token comes as a
// subprotocol ("Bearer, TOKEN") or as a cookie.
func socketHeaders(r *http.Request) http.Header {
	h := http.Header{}
	for _, name := range []string{"Origin", "Referer"} {
		if v := r.Header.Get(name); v != "" {
			h.Set(name, v)
		}
	}
	if _, token, ok := strings.Cut(r.Header.Get("Sec-Websocket-Protocol"), bearer+","); ok {
		h.Set("Authorization", bearer+" "+strings.TrimSpace(token))
	}
	if c, err := r.Cookie("token"); err == nil {
		h.Set("Authorization", bearer+" "+c.Value)
	}
	return h
}

func wantsSocket(h http.Header) bool {
	return headerHas(h, "Connection", "upgrade") && headerHas(h, "Upgrade", "websocket")
}

// headerHas reports whether token is in the comma-separated list under name.
func headerHas(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// socketWriter is the response to a request that came through a WebSocket. There is no place for its status or headers.
type socketWriter struct {
	ctx    context.Context
	conn   *websocket.Conn
	header http.Header
	line   []byte // begun, and not sent yet
}

func (s *socketWriter) Header() http.Header { return s.header }
func (s *socketWriter) WriteHeader(int)     {}
func (s *socketWriter) Flush()              {} // a line is sent when it ends

func (s *socketWriter) Write(p []byte) (int, error) {
	s.line = append(s.line, p...)
	for {
		line, rest, ok := bytes.Cut(s.line, []byte{'\n'})
		if !ok {
			return len(p), nil
		}
		s.line = rest
		if len(line) == 0 {
			continue
		}
		if err := s.conn.Write(s.ctx, websocket.MessageText, line); err != nil {
			return 0, err
		}
	}
}

// end sends what is left without the end of a line.
func (s *socketWriter) end() error {
	if len(s.line) == 0 {
		return nil
	}
	_, err := s.Write([]byte{'\n'})
	return err
}
