package server

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

func urlsOf(t *testing.T, words ...string) []url.URL {
	t.Helper()
	var urls []url.URL
	for _, w := range words {
		u, err := url.Parse(w)
		if err != nil {
			t.Fatal(err)
		}
		urls = append(urls, *u)
	}
	return urls
}

func TestDefaultConfigIsValid(t *testing.T) {
	c := DefaultConfig()
	before := fmt.Sprintf("%+v", c)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := c.ValidateBootstrap(); err != nil {
		t.Fatal(err)
	}
	if after := fmt.Sprintf("%+v", c); after != before {
		t.Errorf("Validate changed the defaults:\n%s\n%s", before, after)
	}
}

func TestZeroStandsForDefault(t *testing.T) {
	c := DefaultConfig()
	c.SnapshotCount, c.SnapshotCatchUpEntries, c.QuotaBackendBytes, c.MaxConcurrentStreams, c.LogOutputs = 0, 0, 0, 0, nil
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%+v", c), fmt.Sprintf("%+v", DefaultConfig()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	c.QuotaBackendBytes = -1
	if err := c.Validate(); err != nil || c.QuotaBackendBytes != -1 {
		t.Errorf("no quota: %v, %d", err, c.QuotaBackendBytes)
	}
}

// Each message names the field and the value.
func TestValidate(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Name = "" }, `name "" must not be empty and must not hold ',' or '='`},
		{func(c *Config) { c.Name = "a=b" }, `name "a=b" must not be empty and must not hold ',' or '='`},
		{func(c *Config) { c.DataDir = "" }, "data-dir is empty"},
		{func(c *Config) { c.InitialClusterState = "old" }, `initial-cluster-state "old" must be "new" or "existing"`},
		{func(c *Config) { c.InitialCluster = nil }, "initial-cluster is empty: list all members as NAME=PEER-URL,NAME=PEER-URL"},
		{func(c *Config) { c.InitialCluster[0].PeerURLs = nil },
			"initial-cluster default is empty: give at least one URL such as http://127.0.0.1:2379"},
		{func(c *Config) { c.InitialCluster[0].Name = "" },
			"initial-cluster has a member without a name at http://127.0.0.1:2380"},
		{func(c *Config) { c.AdvertiseClientURLs = nil },
			"advertise-client-urls is empty: give at least one URL such as http://127.0.0.1:2379"},
		{func(c *Config) { c.HeartbeatInterval = 0 }, "heartbeat-interval 0s must be at least 1ms"},
		{func(c *Config) { c.ElectionTimeout = 499 * time.Millisecond },
			"election-timeout 499ms must be at least 5 times heartbeat-interval 100ms"},
		{func(c *Config) { c.ElectionTimeout = 500 * time.Millisecond }, ""},
		{func(c *Config) { c.ElectionTimeout = 50 * time.Second }, ""},
		{func(c *Config) { c.ElectionTimeout = 51 * time.Second }, "election-timeout 51s must be at most 50s"},
		{func(c *Config) { c.GRPCKeepAliveTimeout = -1 }, "grpc-keepalive-timeout -1ns must not be negative (0 switches it off)"},
		{func(c *Config) { c.CorruptCheckTime = -1 }, "corrupt-check-time -1ns must not be negative (0 is the default)"},
		{func(c *Config) { c.MaxRequestBytes = 0 }, "max-request-bytes 0 must be between 1 and 67108864"},
		{func(c *Config) { c.MaxRequestBytes = 64<<20 + 1 }, "max-request-bytes 67108865 must be between 1 and 67108864"},
		{func(c *Config) { c.MaxTxnOps = 0 }, "max-txn-ops 0 must be at least 1"},
		{func(c *Config) { c.ScrubRateBytes = 100 }, "scrub-rate-bytes 100 must be at least 4096, or 0 to switch scrubbing off"},
		{func(c *Config) { c.ScrubRateBytes = -1 }, "scrub-rate-bytes -1 must be at least 4096, or 0 to switch scrubbing off"},
		{func(c *Config) { c.ScrubInterval = 0 }, "scrub-interval 0s must be at least 1s (scrub-rate-bytes 0 switches scrubbing off)"},
		{func(c *Config) { c.EnableDrills = true }, ""},
		{func(c *Config) { c.EnableDrills, c.DrillsToken = true, "12345678" }, ""},
		{func(c *Config) { c.DrillsToken = "12345678" },
			"drills-token is set but drills are off: add --enable-drills, or leave the token out"},
		{func(c *Config) { c.EnableDrills, c.DrillsToken = true, "1234567" },
			"drills-token (7 bytes) must be 8 to 256 printable ASCII characters without spaces: openssl rand -hex 16 makes one"},
		{func(c *Config) { c.EnableDrills, c.DrillsToken = true, "with a space" },
			"drills-token (12 bytes) must be 8 to 256 printable ASCII characters without spaces: openssl rand -hex 16 makes one"},
		{func(c *Config) { c.LogLevel = "loud" }, `log-level "loud" must be debug, info, warn or error`},
		{func(c *Config) { c.LogLevel = "fatal" }, ""},
		{func(c *Config) { c.LogFormat = "xml" }, `log-format "xml" must be json or text`},
		{func(c *Config) {
			c.CORS = []string{"*", "http://ui:8080"}
			c.HostWhitelist = []string{"kv.example.com", "::1"}
		}, ""},
		{func(c *Config) { c.CORS = []string{"ui.example.com"} },
			`cors "ui.example.com" must be * or where a page comes from, such as https://ui.example.com:8080`},
		{func(c *Config) { c.CORS = []string{"http://ui.example.com/"} },
			`cors "http://ui.example.com/" must be * or where a page comes from, such as https://ui.example.com:8080`},
		{func(c *Config) { c.HostWhitelist = []string{"kv.example.com:2379"} },
			`host-whitelist "kv.example.com:2379" must be * or a host name without a port, such as kv.example.com`},
		{func(c *Config) { c.LogOutputs = []string{"systemd/journal"} },
			`log-outputs "systemd/journal" is not supported: use stdout, a file or stderr, which systemd sends to its journal`},
		{func(c *Config) { c.ListenMetricsURLs = c.ListenPeerURLs },
			"listen-metrics-urls http://127.0.0.1:2380 is an address of listen-peer-urls already: use another port"},
	} {
		cfg := DefaultConfig()
		c.change(&cfg)
		if got := text(cfg.Validate()); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestValidateURLs(t *testing.T) {
	const tls = "TLS is not supported yet: use http or unix, on a network that only trusted machines reach"
	for _, c := range []struct{ url, listen, advertise string }{
		{"http://127.0.0.1:2379", "", ""},
		{"http://localhost:2379", "", ""},
		{"http://[::1]:2379", "", ""},
		{"http://0.0.0.0:0", "", ""},
		{"unix:///run/quorumkv.sock", "", ""},
		{"unix://localhost:2379", "", ""},
		{"http://node1.example.com:2379",
			`the host "node1.example.com" must be an IP address or localhost; names are for advertised URLs`, ""},
		{"http://:2379", "must be http://HOST:PORT", "must be http://HOST:PORT"},
		{"http://127.0.0.1", "must be http://HOST:PORT", "must be http://HOST:PORT"},
		{"http://127.0.0.1:", "must be http://HOST:PORT", "must be http://HOST:PORT"},
		{"http://127.0.0.1:65536", "port 65536 must be between 0 and 65535", "port 65536 must be between 0 and 65535"},
		{"http://127.0.0.1:1/v3", "must be http://HOST:PORT and nothing more", "must be http://HOST:PORT and nothing more"},
		{"http://me:pw@127.0.0.1:1", "must be http://HOST:PORT and nothing more", "must be http://HOST:PORT and nothing more"},
		{"https://127.0.0.1:2379", tls, tls},
		{"unixs://localhost:2379", tls, tls},
		{"tcp://127.0.0.1:2379", "must start with http:// or unix://", "must start with http:// or unix://"},
		{"unix:///" + strings.Repeat("x", 110), "the socket's path has 111 bytes; it must have 1 to 103",
			"the socket's path has 111 bytes; it must have 1 to 103"},
	} {
		for _, f := range []struct {
			field string
			set   func(*Config, []url.URL)
			want  string
		}{
			{"listen-client-urls", func(c *Config, u []url.URL) { c.ListenClientURLs = u }, c.listen},
			{"listen-peer-urls", func(c *Config, u []url.URL) {
				c.ListenClientURLs, c.ListenPeerURLs = urlsOf(t, "http://127.0.0.1:7"), u
			}, c.listen},
			{"listen-client-http-urls", func(c *Config, u []url.URL) {
				c.ListenClientURLs, c.ListenClientHTTPURLs = urlsOf(t, "http://127.0.0.1:7"), u
			}, c.listen},
			{"listen-metrics-urls", func(c *Config, u []url.URL) {
				c.ListenClientURLs, c.ListenMetricsURLs = urlsOf(t, "http://127.0.0.1:7"), u
			}, c.listen},
			{"advertise-client-urls", func(c *Config, u []url.URL) { c.AdvertiseClientURLs = u }, c.advertise},
			{"initial-advertise-peer-urls", func(c *Config, u []url.URL) { c.AdvertisePeerURLs = u }, c.advertise},
			{"initial-cluster default", func(c *Config, u []url.URL) { c.InitialCluster[0].PeerURLs = u }, c.advertise},
		} {
			cfg := DefaultConfig()
			urls := urlsOf(t, c.url)
			f.set(&cfg, urls)
			want := f.want
			if want != "" {
				want = f.field + " " + urls[0].String() + ": " + want
			}
			if got := text(cfg.Validate()); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
	}
}

func TestValidateBootstrap(t *testing.T) {
	member := func(name string, urls ...string) InitialMember { return InitialMember{name, urlsOf(t, urls...)} }
	for _, c := range []struct {
		name      string
		advertise []string
		members   []InitialMember
		want      string
	}{
		{"several URLs in another order", []string{"http://a:1", "http://b:1"},
			[]InitialMember{member("other", "http://c:1"), member("default", "http://b:1", "http://a:1")}, ""},
		{"not a member", []string{"http://a:1"}, []InitialMember{member("n1", "http://a:1"), member("n2", "http://b:1")},
			`initial-cluster has no member named "default" (it has n1, n2): set --name to this member's entry, or add one`},
		{"other URLs", []string{"http://a:1"}, []InitialMember{member("default", "http://b:1")}, "initial-cluster says " +
			"default=http://b:1 but initial-advertise-peer-urls is http://a:1: give both the same URLs"},
		{"same name", []string{"http://a:1"}, []InitialMember{member("n1", "http://a:1"), member("n1", "http://b:1")},
			`initial-cluster has two members named "n1"`},
		{"same URL", []string{"http://a:1"}, []InitialMember{member("default", "http://a:1"), member("n2", "http://a:1")},
			`initial-cluster gives http://a:1 to both "default" and "n2"`},
	} {
		cfg := DefaultConfig()
		cfg.AdvertisePeerURLs, cfg.InitialCluster = urlsOf(t, c.advertise...), c.members
		if got := text(cfg.ValidateBootstrap()); got != c.want {
			t.Errorf("%s: got  %s\nwant %s", c.name, got, c.want)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
