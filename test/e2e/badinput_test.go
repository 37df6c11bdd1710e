package e2e

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestBadInput starts single nodes with something wrong. Each must refuse quickly, with a non-zero exit code and exactly
// one line that names the thing and the value.
func TestBadInput(t *testing.T) {
	program := cluster.Server(t)
	tests := []struct {
		name    string
		prepare func(t *testing.T, n *cluster.Node) (flags []string) // flags are added, and win over earlier ones; !FLAG is removed
		says    []string                                             // what the line names; %DIR %CLIENT %PEER are the node's own
		notEtcd bool                                                 // etcd has no such refusal
	}{
		{"unknown flag", flags("--no-such-flag=1"), []string{"no-such-flag"}, false},
		{"misspelt flag", flags("--data-dirr=x"), []string{"data-dirr", "data-dir"}, false},
		{"argument", flags("stray"), []string{"stray"}, false},
		{"not a number", flags("--heartbeat-interval=often"), []string{"heartbeat-interval", "often"}, false},
		{"not a switch", flags("--enable-pprof=maybe"), []string{"enable-pprof", "maybe"}, false},
		{"negative number", flags("--snapshot-count=-5"), []string{"snapshot-count", "-5"}, false},
		{"election timeout below five heartbeats", flags("--heartbeat-interval=300", "--election-timeout=1000"),
			[]string{"election-timeout", "heartbeat-interval"}, false},
		{"election timeout too long", flags("--election-timeout=60000"), []string{"election-timeout", "50s"}, false},
		{"zero heartbeat", flags("--heartbeat-interval=0"), []string{"heartbeat-interval", "0"}, false},
		{"url without a scheme", flags("--listen-client-urls=127.0.0.1:2379"), []string{"127.0.0.1:2379"}, false},
		{"url with an unknown scheme", flags("--listen-client-urls=ftp://127.0.0.1:2379"), []string{"ftp://127.0.0.1:2379"},
			false},
		{"url without a port", flags("--listen-peer-urls=http://127.0.0.1"), []string{"http://127.0.0.1"}, false},
		{"url with a path", flags("--advertise-client-urls=http://127.0.0.1:2379/v3"), []string{"http://127.0.0.1:2379/v3"},
			false},
		{"url with a host name to listen on", flags("--listen-client-urls=http://no-such-host.invalid:2379"),
			[]string{"no-such-host.invalid"}, false},
		{"url with a port out of range", flags("--listen-client-urls=http://127.0.0.1:99999"), []string{"99999"}, false},
		{"client urls without advertised ones", flags("!--advertise-client-urls"), []string{"advertise-client-urls"}, false},
		{"cluster without this node", func(_ *testing.T, n *cluster.Node) []string {
			return []string{"--initial-cluster=other=http://" + n.PeerAddr}
		}, []string{"initial-cluster", "n1"}, false},
		{"cluster with another url for this node", flags("--initial-cluster=n1=http://127.0.0.1:1"),
			[]string{"initial-cluster", "http://127.0.0.1:1", "%PEER"}, false},
		{"malformed cluster", flags("--initial-cluster=n1"), []string{"initial-cluster", "n1"}, false},
		{"unknown cluster state", flags("--initial-cluster-state=broken"), []string{"initial-cluster-state", "broken"}, false},
		{"unknown log level", flags("--log-level=loud"), []string{"log-level", "loud"}, false},
		{"missing config file", flags("--config-file=/no/such/file.yaml"), []string{"/no/such/file.yaml"}, false},
		{"malformed config file", func(t *testing.T, _ *cluster.Node) []string {
			path := filepath.Join(t.TempDir(), "bad.yaml")
			write(t, path, "name: [unclosed\n")
			return []string{"--config-file=" + path}
		}, []string{"bad.yaml"}, false},
		{"unknown key in the config file", func(t *testing.T, n *cluster.Node) []string {
			path := filepath.Join(t.TempDir(), "typo.yaml")
			write(t, path, "heartbeat-intervall: 100\n")
			return []string{"--config-file=" + path}
		}, []string{"typo.yaml", "heartbeat-intervall"}, true},

		{"client port taken", func(t *testing.T, n *cluster.Node) []string { occupy(t, n.ClientAddr); return nil },
			[]string{"%CLIENT"}, false},
		{"peer port taken", func(t *testing.T, n *cluster.Node) []string { occupy(t, n.PeerAddr); return nil },
			[]string{"%PEER"}, false},
		{"data directory is a file", func(t *testing.T, n *cluster.Node) []string {
			n.Wipe()
			write(t, n.Dir, "a file\n")
			return nil
		}, []string{"%DIR"}, false},
		{"data directory below a file", func(t *testing.T, n *cluster.Node) []string {
			n.Wipe()
			write(t, n.Dir, "a file\n")
			return []string{"--data-dir=" + filepath.Join(n.Dir, "deeper")}
		}, []string{"%DIR/deeper"}, false},
		{"data directory of another cluster", func(t *testing.T, n *cluster.Node) []string {
			foundAndStop(n)
			return []string{"--initial-cluster-token=another", "--initial-cluster=n1=http://" + n.PeerAddr +
				",n2=http://127.0.0.1:1"}
		}, []string{"%DIR"}, true},
		{"identity truncated", func(t *testing.T, n *cluster.Node) []string {
			foundAndStop(n)
			truncate(t, filepath.Join(n.Dir, "identity"), 20)
			return nil
		}, []string{"identity"}, true},
		{"identity empty", func(t *testing.T, n *cluster.Node) []string {
			foundAndStop(n)
			truncate(t, filepath.Join(n.Dir, "identity"), 0)
			return nil
		}, []string{"identity"}, true},
		{"hard state lost", func(t *testing.T, n *cluster.Node) []string {
			foundAndStop(n)
			scribble(t, filepath.Join(n.Dir, "hardstate"), 0, 8192)
			return nil
		}, []string{"hardstate"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.notEtcd && program.IsEtcd() {
				t.Skip("QuorumKV only")
			}
			t.Parallel() // light: each process ends within a moment
			c := cluster.New(t, cluster.Config{Nodes: 1, Program: program})
			n := c.Nodes[0]
			args := n.Args()
			for _, f := range tt.prepare(t, n) {
				if name, without := strings.CutPrefix(f, "!"); without {
					args = slices.DeleteFunc(args, func(a string) bool { return strings.HasPrefix(a, name+"=") })
				} else {
					args = append(args, f)
				}
			}
			result := cluster.Run(t, program.Path, args, 20*time.Second)
			if result.TimedOut {
				t.Fatalf("it still ran after 20 s; stderr:\n%s", result.Stderr)
			}
			if result.Code <= 0 {
				t.Errorf("exit code %d", result.Code)
			}
			line := result.Stdout + result.Stderr // etcd: somewhere
			if !program.IsEtcd() {
				line = onlyComplaint(t, result)
			}
			if strings.Contains(result.Stderr, "goroutine ") && !program.IsEtcd() {
				t.Errorf("a stack trace is no explanation:\n%s", result.Stderr)
			}
			names := strings.NewReplacer("%DIR", n.Dir, "%CLIENT", n.ClientAddr, "%PEER", n.PeerAddr)
			for _, part := range tt.says {
				// etcd's wording is its own: it only has to refuse.
				if !program.IsEtcd() && !strings.Contains(line, names.Replace(part)) {
					t.Errorf("does not name %q: %s", names.Replace(part), line)
				}
			}
			t.Logf("%s", line)
		})
	}
}

func flags(f ...string) func(*testing.T, *cluster.Node) []string {
	return func(*testing.T, *cluster.Node) []string { return f }
}

// onlyComplaint returns the one line in which our server says why it ends. Log lines of what went well before are fine; a
// second line about the failure is not.
func onlyComplaint(t *testing.T, result cluster.Result) string {
	t.Helper()
	var complaints, others []string
	for line := range strings.Lines(result.Stderr) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "quorumkv: "):
			complaints = append(complaints, line)
		case !strings.Contains(line, `"@level":"info"`) && !strings.Contains(line, "[INFO]"):
			others = append(others, line)
		}
	}
	if len(complaints) != 1 || len(others) != 0 {
		t.Errorf("%d complaints and %d other lines on stderr, want one and none:\n%s", len(complaints), len(others),
			result.Stderr)
	}
	return strings.Join(complaints, "\n")
}

// foundAndStop gives the node a data directory of its own cluster.
func foundAndStop(n *cluster.Node) {
	n.Restart()
	n.Stop()
}

func occupy(t *testing.T, addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("occupy %s: %v", addr, err)
	}
	t.Cleanup(func() { listener.Close() })
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

// scribble overwrites part of a file with what it never held.
func scribble(t *testing.T, path string, offset int64, size int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, size), offset); err != nil {
		t.Fatal(err)
	}
}

// TestOverLimitRequest sends more than the server takes, from the command line: one line, non-zero exit code, and the
// server goes on.
func TestOverLimitRequest(t *testing.T) {
	c := cluster.Start(t, cluster.Config{Nodes: 1, Flags: []string{"--max-request-bytes=100000"}})
	etcdctl := cluster.Etcdctl(t)
	for size, want := range map[int]string{
		150_000:   "Error: etcdserver: request is too large",
		1_000_000: "received message larger than max",
	} {
		result := runTool(t, etcdctl, c.Endpoints(), strings.Repeat("x", size), []string{"put", "big"})
		lines := strings.Split(strings.TrimSpace(logLine.ReplaceAllString(result.stderr, "")), "\n")
		if result.code == 0 || len(lines) != 1 || !strings.Contains(lines[0], want) {
			t.Errorf("%d bytes: exit code %d, stderr %q; want one line with %q", size, result.code, result.stderr, want)
		}
	}
	result := runTool(t, etcdctl, c.Endpoints(), strings.Repeat("x", 90_000), []string{"put", "fits"})
	if result.code != 0 {
		t.Errorf("90,000 bytes: %s", result.stderr)
	}
}
