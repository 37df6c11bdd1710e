package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/datadir"
	"github.com/quorumkv/quorumkv/storage/wal"
)

// anyPort is a configuration for a member alone, on free ports.
func anyPort(t *testing.T) Config {
	cfg := DefaultConfig()
	cfg.DataDir, cfg.DiskBallastBytes = t.TempDir(), 1<<20
	free := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	cfg.ListenClientURLs, cfg.AdvertiseClientURLs = []url.URL{free}, []url.URL{free}
	cfg.ListenPeerURLs = []url.URL{free}
	return cfg
}

// running is a member that serves until the test ends.
type running struct {
	*Server
	stop func() error
	// ended gets what Run ends with; stop takes it.
	ended chan error
}

func run(t *testing.T, cfg Config) *running {
	t.Helper()
	r := start(t, cfg, hclog.NewNullLogger())
	r.ready(t)
	return r
}

// start does not wait until the member is ready.
func start(t *testing.T, cfg Config, logger hclog.Logger) *running {
	t.Helper()
	s, err := Open(cfg, logger)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	r := &running{Server: s, ended: ended, stop: func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return errors.Join(<-ended, s.Close())
	}}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *running) ready(t *testing.T) {
	t.Helper()
	select {
	case <-r.Ready():
	case err := <-r.ended:
		t.Fatalf("ended before it was ready: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("never ready")
	}
}

func (r *running) client(t *testing.T) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{r.clients[0].Addr().String()}, DialTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func get(t *testing.T, l net.Listener, path string) (status int, body string) {
	t.Helper()
	resp, err := http.Get("http://" + l.Addr().String() + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestMemberKeepsItsDataAcrossARestart(t *testing.T) {
	cfg := anyPort(t)
	r := run(t, cfg)
	put, err := r.client(t).Put(t.Context(), "k", "v")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = run(t, cfg)
	got, err := r.client(t).Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "v" || got.Header.Revision != put.Header.Revision {
		t.Errorf("after the restart: %v", got)
	}
	if got.Header.MemberId != put.Header.MemberId || got.Header.ClusterId != put.Header.ClusterId {
		t.Errorf("ids changed from %v to %v", put.Header, got.Header)
	}
}

func TestAnnouncedAddressHasThePortThatPort0Got(t *testing.T) {
	r := run(t, anyPort(t))
	list, err := r.client(t).MemberList(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := "http://" + r.clients[0].Addr().String(); len(list.Members) != 1 || list.Members[0].Name != "default" ||
		len(list.Members[0].ClientURLs) != 1 || list.Members[0].ClientURLs[0] != want {
		t.Errorf("members %v, want one at %s", list.Members, want)
	}
}

func TestAddressesServeWhatTheyAreFor(t *testing.T) {
	cfg := anyPort(t)
	r := run(t, cfg)
	if code, _ := get(t, r.clients[0], "/health"); code != http.StatusOK {
		t.Errorf("/health on the client address: %d", code)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}

	free := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg.ListenClientHTTPURLs, cfg.ListenMetricsURLs = free, free
	r = run(t, cfg)
	if _, err := r.client(t).Put(t.Context(), "k", "v"); err != nil {
		t.Errorf("gRPC on the client address: %v", err)
	}
	for _, c := range []struct {
		on   net.Listener
		path string
		want int
	}{
		{r.clients[0], "/health", 0}, // gRPC only: no HTTP answer
		{r.httpOnly[0], "/health", http.StatusOK},
		{r.httpOnly[0], "/version", http.StatusOK},
		{r.metricsOnly[0], "/health", http.StatusOK},
		{r.metricsOnly[0], "/readyz", http.StatusOK},
		{r.metricsOnly[0], "/metrics", http.StatusOK},
		{r.metricsOnly[0], "/version", http.StatusNotFound},
	} {
		if code, body := get(t, c.on, c.path); code != c.want {
			t.Errorf("%s on %v: %d, want %d: %s", c.path, c.on.Addr(), code, c.want, body)
		}
	}
	if _, body := get(t, r.metricsOnly[0], "/metrics"); !strings.Contains(body, "etcd_disk_wal_fsync_duration_seconds_count") {
		t.Error("metrics without the log's syncs")
	}
}

// Who browsers may come from, and to, is a matter of the configuration.
func TestConfiguredGuardsOfHTTP(t *testing.T) {
	cfg := anyPort(t)
	cfg.CORS, cfg.HostWhitelist = []string{"http://good"}, []string{"kv.example.com"}
	r := run(t, cfg)
	for _, tc := range []struct {
		host, origin string
		code         int
		allowed      string
	}{
		{"kv.example.com", "http://good", http.StatusOK, "http://good"},
		{"kv.example.com", "http://bad", http.StatusOK, ""},
		{"other.example.com", "http://good", http.StatusMisdirectedRequest, ""},
	} {
		target := "http://" + r.clients[0].Addr().String() + "/version"
		request, err := http.NewRequestWithContext(testContext(t), http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = tc.host
		request.Header.Set("Origin", tc.origin)
		resp, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if allowed := resp.Header.Get("Access-Control-Allow-Origin"); resp.StatusCode != tc.code || allowed != tc.allowed {
			t.Errorf("%+v: status %d, allowed %q", tc, resp.StatusCode, allowed)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	founded := anyPort(t)
	if err := run(t, founded).stop(); err != nil {
		t.Fatal(err)
	}
	three := func(token string) Config {
		cfg := founded
		cfg.InitialClusterToken = token
		for _, m := range []string{"b=127.0.0.1:11", "c=127.0.0.1:12"} {
			name, host, _ := strings.Cut(m, "=")
			cfg.InitialCluster = append(cfg.InitialCluster[:len(cfg.InitialCluster):len(cfg.InitialCluster)],
				InitialMember{Name: name, PeerURLs: []url.URL{{Scheme: "http", Host: host}}})
		}
		return cfg
	}
	_, err := Open(three("etcd-cluster"), hclog.NewNullLogger())
	if !errors.Is(err, raftnode.ErrForeignData) || !strings.Contains(err.Error(), founded.DataDir) {
		t.Errorf("data of another cluster: %v", err)
	}

	if err := os.Truncate(filepath.Join(founded.DataDir, datadir.Identity), 0); err != nil {
		t.Fatal(err)
	}
	_, err = Open(founded, hclog.NewNullLogger())
	if !errors.Is(err, wal.ErrIdentityLost) || !strings.Contains(err.Error(), "keep it down") {
		t.Errorf("lost identity: %v", err)
	}

	cfg := anyPort(t)
	etcds := filepath.Join(cfg.DataDir, "member")
	if err := os.MkdirAll(filepath.Join(etcds, "snap"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = Open(cfg, hclog.NewNullLogger())
	if !errors.Is(err, raftnode.ErrEtcdData) || !strings.Contains(err.Error(), etcds) {
		t.Errorf("directory of an etcd: %v", err)
	}

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg = anyPort(t)
	cfg.ListenClientURLs = []url.URL{{Scheme: "http", Host: taken.Addr().String()}}
	if _, err := Open(cfg, hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("taken port: %v", err)
	}

	cfg = anyPort(t)
	cfg.InitialClusterState = ClusterStateExisting
	if _, err := Open(cfg, hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), "not supported yet") {
		t.Errorf("joining: %v", err)
	}

	r := run(t, anyPort(t))
	if _, err := Open(Config{}, hclog.NewNullLogger()); err == nil {
		t.Error("an empty configuration is accepted")
	}
	cfg = anyPort(t)
	cfg.DataDir = r.cfg.DataDir
	if _, err := Open(cfg, hclog.NewNullLogger()); !errors.Is(err, env.ErrInUse) {
		t.Errorf("directory in use: %v", err)
	}
}

// The ids are on every disk and in every client's headers: a change of how they are made would orphan all data.
func TestFoundingIDsNeverChange(t *testing.T) {
	f := newFounding(DefaultConfig())
	if f.clusterID != 0x4bd3587fc440f9f4 || f.memberID != 0x215d3b825ed86d96 {
		t.Errorf("cluster %x, member %x", f.clusterID, f.memberID)
	}
}
