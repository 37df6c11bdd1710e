package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/quorumkv/quorumkv/raftnode"
)

// testdata/http.golden was recorded from etcd 3.7.3: status, headers (without the date) and body of each request. The
// only thing changed is the order of the lines of a failed /readyz, which etcd writes in a random one.
func TestHTTPIsEtcds(t *testing.T) {
	golden, err := os.ReadFile("testdata/http.golden")
	if err != nil {
		t.Fatal(err)
	}
	n := newSoloNode(t)
	n.change(func(s *raftnode.Status) { s.Applied = 2 })
	e := serve(t, n, testConfig())
	var got strings.Builder
	for line := range strings.Lines(string(golden)) {
		line = strings.TrimSpace(line)
		if line == "=== no leader" {
			n.change(func(s *raftnode.Status) { s.Leader = 0 })
			n.readError = raftnode.ErrTimeout
			fmt.Fprintln(&got, line)
		}
		if request, ok := strings.CutPrefix(line, "> "); ok {
			method, path, _ := strings.Cut(request, " ")
			writeExchange(t, &got, method, "http://"+e.addr, path)
		}
	}
	if diff := cmp.Diff(strings.Split(string(golden), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("-etcd +ours:\n%s", diff)
	}
}

func writeExchange(t *testing.T, w io.Writer, method, base, path string) {
	t.Helper()
	request, err := http.NewRequestWithContext(testContext(t), method, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	r, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	var headers []string
	for name, values := range r.Header {
		if name != "Date" {
			headers = append(headers, name+": "+strings.Join(values, ", "))
		}
	}
	slices.Sort(headers)
	fmt.Fprintf(w, "> %s %s\n%s\n%s\n\n%s\n", method, path, r.Status, strings.Join(headers, "\n"), body)
}

// ask calls the handler without a network.
func ask(a *api, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	newHTTPHandler(a).ServeHTTP(w, r)
	return w
}

func TestHTTPWhenThingsFail(t *testing.T) {
	n := newSoloNode(t)
	a := testAPI(t, n, testConfig())
	check := func(target string, code int, body string) {
		t.Helper()
		if w := ask(a, http.MethodGet, target); w.Code != code || w.Body.String() != body {
			t.Errorf("%s: %d %q, want %d %q", target, w.Code, w.Body.String(), code, body)
		}
	}
	check("/version", 200, `{"etcdserver":"3.7.3","etcdcluster":"not_decided","storage":"unknown"}`)
	check("/debug/pprof/", 404, "404 page not found\n")

	n.change(func(s *raftnode.Status) { s.Learner = true })
	check("/readyz/non_learner", 503, "[-]non_learner failed: not supported for learner\n\n")
	check("/readyz?exclude=non_learner&exclude=linearizable_read&verbose", 200,
		"[+]data_corruption ok\n[+]serializable_read ok\nok\n")
	n.readError = raftnode.ErrTimeoutConnectionLost
	check("/health", 503, `{"health":"false","reason":"RANGE ERROR:`+
		`etcdserver: request timed out, possibly due to connection lost"}`+"\n")
	n.readError = errors.New(`a "quoted" reason`)
	check("/health", 503, `{"health":"false","reason":"RANGE ERROR:a \"quoted\" reason"}`+"\n")
	n.view.Store(nil)
	check("/livez", 503,
		"[-]serializable_read failed: etcdserver: request timed out, waiting for the applied index took too long\n\n")
}

// A health check ends when the member does not.
func TestHealthCheckHasADeadline(t *testing.T) {
	n := newSoloNode(t)
	cfg := testConfig()
	a := testAPI(t, n, cfg)
	if want := 5_000_000_000 + 2*testElection; a.readLimit != want {
		t.Errorf("limit %s, want %s", a.readLimit, want)
	}
	a.readLimit = 1
	n.beforeRead = func(ctx context.Context) { <-ctx.Done() }
	want := `{"health":"false","reason":"RANGE ERROR:context deadline exceeded"}` + "\n"
	if w := ask(a, http.MethodGet, "/health"); w.Code != 503 || w.Body.String() != want {
		t.Errorf("%d %q", w.Code, w.Body.String())
	}
}

func TestDebug(t *testing.T) {
	cfg := testConfig()
	cfg.Profiles = true
	a := testAPI(t, newSoloNode(t), cfg)
	w := ask(a, http.MethodGet, "/debug/vars")
	var vars map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &vars); err != nil || vars["memstats"] == nil || vars["cmdline"] == nil {
		t.Errorf("%v: %s", err, w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
	if w := ask(a, http.MethodGet, "/debug/pprof/goroutine?debug=1"); w.Code != 200 {
		t.Errorf("profile: %d", w.Code)
	}
}

func TestGuard(t *testing.T) {
	for _, tc := range []struct {
		origins, hosts []string
		target, origin string
		code           int
		allowed        string
	}{
		{nil, nil, "http://any/version", "", 200, "*"},
		{nil, nil, "http://any/version", "http://page", 200, "*"},
		{[]string{"http://page", "*"}, nil, "http://any/version", "http://other", 200, "*"},
		{[]string{"http://page"}, nil, "http://any/version", "http://page", 200, "http://page"},
		{[]string{"http://page"}, nil, "http://any/version", "http://other", 200, ""},
		{nil, []string{"me"}, "http://me:2379/version", "", 200, "*"},
		{nil, []string{"me"}, "http://me/version", "", 200, "*"},
		{nil, []string{"me"}, "http://evil/version", "", 421, ""},
		{nil, []string{"me"}, "https://evil/version", "", 200, "*"},
		{nil, []string{"me", "*"}, "http://evil/version", "", 200, "*"},
	} {
		cfg := testConfig()
		cfg.Origins, cfg.Hosts, cfg.Logger = tc.origins, tc.hosts, hclog.NewNullLogger()
		w := ask(testAPI(t, newSoloNode(t), cfg), http.MethodGet, tc.target, "Origin", tc.origin)
		if got := w.Header().Get("Access-Control-Allow-Origin"); w.Code != tc.code || got != tc.allowed {
			t.Errorf("%+v: code %d, allowed origin %q", tc, w.Code, got)
		}
	}
}

// A page that may not call cannot do by a POST, which browsers send without asking, what it may not read the answer of.
func TestGuardOfPosts(t *testing.T) {
	for origin, code := range map[string]int{
		"": 400, "http://page": 400, "http://other": 403, "http://me:2379": 400, "http://me:2380": 403, "null": 403,
	} {
		cfg := testConfig()
		cfg.Origins, cfg.Logger = []string{"http://page"}, hclog.NewNullLogger()
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "http://me:2379/v3/kv/range", strings.NewReader("{"))
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		newHTTPHandler(testAPI(t, newSoloNode(t), cfg)).ServeHTTP(w, r)
		if w.Code != code {
			t.Errorf("from %q: %d %s", origin, w.Code, w.Body)
		}
	}
}
