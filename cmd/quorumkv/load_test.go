package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/quorumkv/quorumkv/server"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrecedence(t *testing.T) {
	file := writeConfig(t, "name: file\n")
	const flag, ours, etcds = "--name=flag", "QUORUMKV_NAME=ours", "ETCD_NAME=etcds"
	for _, c := range []struct {
		name    string
		args    []string
		environ []string
		want    string
	}{
		{"nothing", nil, nil, "default"},
		{"file", []string{"--config-file", file}, nil, "file"},
		{"etcd's variable over file", []string{"--config-file", file}, []string{etcds}, "etcds"},
		{"our variable over etcd's", []string{"--config-file", file}, []string{etcds, ours}, "ours"},
		{"flag over all", []string{flag, "--config-file", file}, []string{etcds, ours}, "flag"},
		{"last flag wins", []string{"--name=a", "--name", "b", "-name=c"}, nil, "c"},
		{"file named by a variable", nil, []string{"ETCD_CONFIG_FILE=" + file}, "file"},
		{"file of our variable over file of etcd's", nil,
			[]string{"ETCD_CONFIG_FILE=/none", "QUORUMKV_CONFIG_FILE=" + file}, "file"},
		{"file flag over file variable", []string{"--config-file", file}, []string{"QUORUMKV_CONFIG_FILE=/none"}, "file"},
		{"empty variable is none", []string{"--config-file", file}, []string{"QUORUMKV_NAME="}, "file"},
		{"empty flag is the default", []string{"--config-file", file, "--name="}, []string{ours}, "default"},
		{"the value may be a command's name", []string{"--name", "cluster"}, nil, "cluster"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, _, err := loadArgs(c.args, c.environ)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Name != c.want || cfg.InitialCluster[0].Name != c.want {
				t.Errorf("name %q, in the cluster %q, want %q", cfg.Name, cfg.InitialCluster[0].Name, c.want)
			}
			if cfg.DataDir != c.want+".quorumkv" {
				t.Errorf("data-dir %q does not follow the name", cfg.DataDir)
			}
		})
	}
}

// Sources are merged setting by setting, and all spellings of a value mean the same.
func TestSourcesMerge(t *testing.T) {
	file := writeConfig(t, `
name: n1
heartbeat-interval: 50             # milliseconds
election-timeout: 400ms
grpc-keepalive-min-time: 7000000000 # nanoseconds
grpc-keepalive-interval: 1h
initial-cluster: [n1=http://10.0.0.1:2380, n2=http://10.0.0.2:2380]
log-outputs: [stderr, stdout]
enable-pprof: true
max-txn-ops:
snapshot-count: 0
`)
	cfg, warnings, err := loadArgs([]string{
		"--config-file", file, "--election-timeout", "500", "--initial-advertise-peer-urls=http://10.0.0.1:2380",
	}, []string{"ETCD_MAX_REQUEST_BYTES=0x1000", "QUORUMKV_LOG_LEVEL=fatal", "QUORUMKV_LOG_FORMAT=console"})
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	want := server.DefaultConfig()
	want.Name, want.DataDir = "n1", "n1.quorumkv"
	want.HeartbeatInterval, want.ElectionTimeout = 50*time.Millisecond, 500*time.Millisecond
	want.GRPCKeepAliveMinTime, want.GRPCKeepAliveInterval = 7*time.Second, time.Hour
	want.AdvertisePeerURLs[0].Host = "10.0.0.1:2380"
	want.InitialCluster = []server.InitialMember{
		{Name: "n1", PeerURLs: want.AdvertisePeerURLs}, {Name: "n2", PeerURLs: want.AdvertisePeerURLs[:0:0]},
	}
	if err := (urlsValue{&want.InitialCluster[1].PeerURLs}).Set("http://10.0.0.2:2380"); err != nil {
		t.Fatal(err)
	}
	want.LogOutputs, want.EnablePprof = []string{"stderr", "stdout"}, true
	want.MaxRequestBytes, want.LogLevel, want.LogFormat = 4096, "error", "text"
	if diff := cmp.Diff(want, cfg); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// Every setting can be given its own default as text, which is what the help shows.
func TestDefaultsRoundTrip(t *testing.T) {
	var args []string
	defaults := server.DefaultConfig()
	for _, s := range settings {
		if text := s.bind(&defaults).String(); text != "" {
			args = append(args, "--"+s.name+"="+text)
		}
	}
	cfg, _, err := loadArgs(args, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(server.DefaultConfig(), cfg); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if cfg, _, err := loadArgs(nil, nil); err != nil || cmp.Diff(server.DefaultConfig(), cfg) != "" {
		t.Errorf("without flags: %v\n%s", err, cmp.Diff(server.DefaultConfig(), cfg))
	}
}

func TestAdvertisedURLs(t *testing.T) {
	for _, c := range []struct{ args, client, peer, cluster string }{
		{"", "http://127.0.0.1:2379", "http://127.0.0.1:2380", "default=http://127.0.0.1:2380"},
		{"--listen-peer-urls http://127.0.0.1:7", "http://127.0.0.1:2379", "http://127.0.0.1:7", "default=http://127.0.0.1:7"},
		{"--listen-peer-urls http://0.0.0.0:7,http://[::]:8", "http://127.0.0.1:2379", "http://127.0.0.1:7,http://127.0.0.1:8",
			"default=http://127.0.0.1:7,default=http://127.0.0.1:8"},
		{"--listen-peer-urls http://0.0.0.0:7 --initial-advertise-peer-urls http://a.b:9 --name n", "http://127.0.0.1:2379",
			"http://a.b:9", "n=http://a.b:9"},
		{"--listen-client-urls http://0.0.0.0:1,unix:///tmp/s --advertise-client-urls http://me:1", "http://me:1",
			"http://127.0.0.1:2380", "default=http://127.0.0.1:2380"},
		{"--listen-peer-urls unix://localhost:7", "http://127.0.0.1:2379", "unix://localhost:7", "default=unix://localhost:7"},
		{"--initial-cluster a=http://a:1,default=http://127.0.0.1:2380,a=http://a:2", "http://127.0.0.1:2379",
			"http://127.0.0.1:2380", "a=http://a:1,a=http://a:2,default=http://127.0.0.1:2380"},
	} {
		t.Run(c.args, func(t *testing.T) {
			cfg, _, err := loadArgs(strings.Fields(c.args), nil)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{
				urlsValue{&cfg.AdvertiseClientURLs}.String(), urlsValue{&cfg.AdvertisePeerURLs}.String(),
				membersValue{&cfg.InitialCluster}.String(),
			}
			if diff := cmp.Diff([]string{c.client, c.peer, c.cluster}, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// Listening elsewhere without saying how clients get there is an error wherever the setting stands.
func TestAdvertiseClientURLsRequired(t *testing.T) {
	file := writeConfig(t, "listen-client-urls: http://127.0.0.1:1\n")
	for _, c := range []struct{ args, environ []string }{
		{[]string{"--listen-client-urls=http://127.0.0.1:1"}, nil},
		{nil, []string{"ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:1"}},
		{[]string{"--config-file", file}, nil},
	} {
		if _, _, err := loadArgs(c.args, c.environ); err != server.ErrAdvertiseClientURLs {
			t.Errorf("%v %v: %v", c.args, c.environ, err)
		}
		if _, _, err := loadArgs(append(c.args, "--advertise-client-urls=http://me:1"), c.environ); err != nil {
			t.Errorf("%v %v: %v", c.args, c.environ, err)
		}
	}
}

func TestUnknownEnvironmentDoesNotDisturb(t *testing.T) {
	cfg, warnings, err := loadArgs(nil, []string{
		"ETCD_VERSION=v3.5.0", "ETCD_UNSUPPORTED_ARCH=arm64", "ETCD_PORT=tcp://10.0.0.1:2379", "ETCD_HELP=1", "ETCDCTL_API=3",
		"QUORUMKV_PORT_2379_TCP=tcp://10.0.0.1:2379", "QUORUMKV_SERVICE_HOST=10.0.0.1", "QUORUMKV_DATADIR=/x", "HOME", "=C:=x",
	})
	if err != nil || cmp.Diff(server.DefaultConfig(), cfg) != "" {
		t.Fatalf("%v\n%s", err, cmp.Diff(server.DefaultConfig(), cfg))
	}
	want := []string{"the environment variable QUORUMKV_DATADIR is not a setting; did you mean QUORUMKV_DATA_DIR?"}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// Every flag of etcd is known, so that none is mistaken for a spelling mistake.
func TestEtcdFlagsAreKnown(t *testing.T) {
	text, err := os.ReadFile("testdata/etcd-3.7.3-flags.txt")
	if err != nil {
		t.Fatal(err)
	}
	root := newRoot()
	for _, name := range strings.Fields(string(text)) {
		if root.Flags().Lookup(name) == nil {
			t.Errorf("--%s is unknown", name)
		}
	}
}

func TestForeignSettings(t *testing.T) {
	block := writeConfig(t, "name: a\nclient-transport-security:\n  cert-file: server.crt\n")
	sample := writeConfig(t, `
name: 'default'
data-dir:
wal-dir:
max-snapshots: 5
cors:
discovery:
discovery-fallback: 'exit'
strict-reconfig-check: true
client-transport-security:
  cert-file:
  client-cert-auth: false
  trusted-ca-file: ''
peer-transport-security:
  auto-tls: false
  allowed-cn: []
self-signed-cert-validity: 1
force-new-cluster: false
auto-compaction-mode: periodic
tls-min-version: 'TLS1.2'
`)
	for _, c := range []struct {
		args, environ string
		warning, err  string // "" for none
	}{
		{args: "--pre-vote --strict-reconfig-check=1 --enable-grpc-gateway=false --logger=zap"},
		{args: "--auto-compaction-mode=revision --auto-compaction-retention=0 --cert-file= --host-whitelist=*"},
		{args: "--pre-vote=false", err: `--pre-vote: etcd has this setting, but QuorumKV does not support the value "false": ` +
			`elections always start with a pre-vote; remove it`},
		{args: "-force-new-cluster",
			err: `--force-new-cluster: etcd has this setting, but QuorumKV does not support the value "true": ` +
				`remove it; a new cluster is made from one member's data by quorumctl recover DATA-DIR --plan`},
		{args: "--cert-file=a.crt", err: "--cert-file: etcd has this setting, but QuorumKV does not support it: " + adviceTLS},
		{environ: "ETCD_CLIENT_CERT_AUTH=true",
			err: `ETCD_CLIENT_CERT_AUTH: etcd has this setting, but QuorumKV does not support ` +
				`the value "true": ` + adviceTLS},
		{environ: "QUORUMKV_PRE_VOTE=2", err: `QUORUMKV_PRE_VOTE: "2": want true or false`},
		{args: "--unsafe-no-fsync",
			warning: "--unsafe-no-fsync has no effect here: every write is synced, which is slower and safe"},
		{environ: "ETCD_MAX_WALS=5", warning: "ETCD_MAX_WALS has no effect here: log segments go as soon as nothing needs them"},
		{args: "--config-file=" + block, err: block + ":2: client-transport-security.cert-file: etcd has this setting, " +
			"but QuorumKV does not support it: " + adviceTLS},
		{args: "--config-file=" + sample,
			warning: sample + ":5: max-snapshots has no effect here: snapshots go as soon as nothing needs them"},
	} {
		t.Run(c.args+c.environ, func(t *testing.T) {
			_, warnings, err := loadArgs(strings.Fields(c.args), strings.Fields(c.environ))
			if got := errorText(err); got != c.err {
				t.Errorf("error %q\n want %q", got, c.err)
			}
			if got := strings.Join(warnings, "\n"); got != c.warning {
				t.Errorf("warning %q\n   want %q", got, c.warning)
			}
		})
	}
}

func TestConfigFileMistakes(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"typo", "name: a\ndata-dri: x\n", `PATH:2: unknown key "data-dri"; did you mean "data-dir"?`},
		{"underscore", "data_dir: x\n", `PATH:1: unknown key "data_dir"; did you mean "data-dir"?`},
		{"nothing near", "colour: red\n", `PATH:1: unknown key "colour"`},
		{"not a setting of files", "config-file: x\n", `PATH:1: unknown key "config-file"`},
		{"twice", "name: a\n\nname: b\n", "PATH:3: name stands on line 1 already"},
		{"value", "name: a\nheartbeat-interval: soon\n",
			`PATH:2: heartbeat-interval: "soon": want milliseconds, such as 100, or a duration, such as 100ms or 1s`},
		{"nanoseconds where etcd has milliseconds", "heartbeat-interval: 100000000\n",
			`PATH:1: heartbeat-interval: "100000000": ` +
				`a bare number counts milliseconds here, and this is over an hour: give the unit, such as 100ms`},
		{"nested", "name:\n  first: a\n", "PATH:1: name: want a single value or a list, not a nested section or an alias"},
		{"list", "- name\n", `PATH:1: want lines such as "name: node1"`},
		{"two documents", "name: a\n---\nname: b\n",
			"read --config-file PATH: it must hold one YAML document and nothing after it"},
		{"syntax", "name: [a\n", "read --config-file PATH: yaml: line 1: did not find expected ',' or ']'"},
		{"empty", "", ""},
		{"comment", "# nothing yet\n", ""},
		{"null", "---\n", ""},
		{"json", `{"name": "a", "max-txn-ops": 5}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := writeConfig(t, c.text)
			_, _, err := loadArgs([]string{"--config-file", path}, nil)
			if got := strings.ReplaceAll(errorText(err), path, "PATH"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return oneLine(err)
}
