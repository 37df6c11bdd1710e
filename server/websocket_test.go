package server

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/hashicorp/go-hclog"
)

// dialSocket connects to h through a WebSocket.
func dialSocket(t *testing.T, h http.Handler, path string, o *websocket.DialOptions) (*websocket.Conn, error) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	conn, _, err := websocket.Dial(testContext(t), "ws"+strings.TrimPrefix(s.URL, "http")+path, o)
	if err == nil {
		t.Cleanup(func() { conn.CloseNow() })
	}
	return conn, err
}

// echo answers each line of the request, and says at its end that it came.
func echo(w http.ResponseWriter, r *http.Request) {
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		fmt.Fprintf(w, "%s %s: %s\n\n", r.Method, r.Header.Get("Authorization"), lines.Text())
	}
	fmt.Fprint(w, "end")
}

func expectMessage(t *testing.T, conn *websocket.Conn, want string) {
	t.Helper()
	kind, got, err := conn.Read(testContext(t))
	if err != nil || kind != websocket.MessageText || string(got) != want {
		t.Errorf("message %d %q, %v; want %q", kind, got, err, want)
	}
}

func say(t *testing.T, conn *websocket.Conn, message string) {
	t.Helper()
	if err := conn.Write(testContext(t), websocket.MessageText, []byte(message)); err != nil {
		t.Fatal(err)
	}
}

func TestSocketStreamsBothWays(t *testing.T) {
	conn, err := dialSocket(t, &socketBridge{next: http.HandlerFunc(echo), limit: 100}, "/v3/watch",
		&websocket.DialOptions{Subprotocols: []string{"Bearer", "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := conn.Subprotocol(); got != "Bearer" {
		t.Errorf("subprotocol %q", got)
	}
	for _, m := range []string{"one", "two"} {
		say(t, conn, m)
		expectMessage(t, conn, "POST Bearer secret: "+m)
	}
	// More than the limit ends it.
	say(t, conn, strings.Repeat("x", 101))
	if _, _, err := conn.Read(testContext(t)); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("after a message that is too large: %v", err)
	}
}

func TestSocketWithOneRequest(t *testing.T) {
	h := http.Header{}
	h.Set("Cookie", "token=mine")
	conn, err := dialSocket(t, &socketBridge{next: http.HandlerFunc(echo), limit: 100}, "/v3/election/observe",
		&websocket.DialOptions{HTTPHeader: h})
	if err != nil {
		t.Fatal(err)
	}
	say(t, conn, "one")
	expectMessage(t, conn, "POST Bearer mine: one")
	expectMessage(t, conn, "end")
	if _, _, err := conn.Read(testContext(t)); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("after the answer: %v", err)
	}
}

func TestSocketWhoseClientLeaves(t *testing.T) {
	left := make(chan error, 1)
	conn, err := dialSocket(t, &socketBridge{limit: 100, next: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		_, err := io.Copy(io.Discard, r.Body)
		left <- err
	})}, "/v3/watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.CloseNow()
	if err := <-left; err != nil {
		t.Errorf("the request ended with %v", err)
	}
}

func TestSocketFromAForeignPage(t *testing.T) {
	bridge := &socketBridge{next: http.HandlerFunc(echo), limit: 100, guard: newGuard([]string{"http://good"}, nil, hclog.NewNullLogger())}
	for origin, ok := range map[string]bool{"http://good": true, "http://bad": false, "": true} {
		h := http.Header{}
		if origin != "" {
			h.Set("Origin", origin)
		}
		_, err := dialSocket(t, bridge, "/v3/watch", &websocket.DialOptions{HTTPHeader: h})
		if (err == nil) != ok {
			t.Errorf("origin %q: %v", origin, err)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/v3/watch", nil)
	r.Header = http.Header{"Origin": {"http://bad"}, "Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	w := httptest.NewRecorder()
	bridge.ServeHTTP(w, r)
	const want = `Pages from "http://bad" may not use this server: allow them with --cors.`
	if got := strings.TrimSpace(w.Body.String()); w.Code != http.StatusForbidden || got != want {
		t.Errorf("%d %s, want %s", w.Code, got, want)
	}
}

// net/http forgets a connection that became a WebSocket; Shutdown ends it all the same.
func TestShutdownEndsSockets(t *testing.T) {
	e := serve(t, newSoloNode(t), testConfig())
	conn, _, err := websocket.Dial(testContext(t), "ws://"+e.addr+"/v3/kv/range", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	ctx := testContext(t)
	closed := make(chan error, 1)
	go func() {
		_, _, err := conn.Read(ctx)
		closed <- err
	}()
	e.stop()
	if err := <-closed; err == nil || ctx.Err() != nil {
		t.Errorf("it went on until %v", err)
	}
}
