package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestAgainstEtcdctl runs every command line below with etcdctl against one etcd and with quorumctl against another
// that has seen the same commands, and compares standard output, the exit code and the Error: line. It needs the two
// real programs:
//
//	REFERENCE_ETCD=/path/etcd REFERENCE_ETCDCTL=/path/etcdctl go test -run TestAgainstEtcdctl ./cmd/quorumctl
//
// What it established is kept in golden files, so the other tests of this package need neither.
func TestAgainstEtcdctl(t *testing.T) {
	etcd, etcdctl := os.Getenv("REFERENCE_ETCD"), os.Getenv("REFERENCE_ETCDCTL")
	if etcd == "" || etcdctl == "" {
		t.Skip("REFERENCE_ETCD and REFERENCE_ETCDCTL name no programs to compare with")
	}
	theirs := startEtcd(t, etcd, etcdctl)
	ours := startEtcd(t, etcd, etcdctl)
	for _, c := range comparisons {
		if c.setup {
			theirs.etcdctl(t, c)
			ours.etcdctl(t, c)
			continue
		}
		t.Run(c.name(), func(t *testing.T) {
			want := theirs.etcdctl(t, c)
			server := ours
			if c.same {
				server = theirs
			}
			got := server.quorumctl(c)
			same := got == want
			if same && c.differs != "" {
				t.Errorf("no difference, but the table claims one: %s\n%s", c.differs, got)
			}
			if !same && c.differs == "" {
				t.Errorf("quorumctl\n%s\netcdctl\n%s", got, want)
			}
		})
	}
}

// comparison is one command line for both programs.
type comparison struct {
	args    []string
	stdin   string
	env     []string
	bare    bool   // do not add --endpoints
	same    bool   // a read whose answer depends on the server: ask etcdctl's
	setup   bool   // etcdctl does it to both servers; nothing is compared
	differs string // why a difference is meant
}

func (c comparison) name() string {
	return strings.Join(slices.Concat(c.env, c.args, []string{c.stdin}), " ")
}

func cmp(args ...string) comparison { return comparison{args: args} }

func (c comparison) in(stdin string) comparison    { c.stdin = stdin; return c }
func (c comparison) with(env ...string) comparison { c.env = env; return c }
func (c comparison) noEndpoints() comparison       { c.bare = true; return c }
func (c comparison) sameServer() comparison        { c.same = true; return c }
func (c comparison) prepare() comparison           { c.setup = true; return c }
func (c comparison) but(why string) comparison     { c.differs = why; return c }

// reference is a running etcd and what is particular about it.
type reference struct {
	endpoint string
	socket   string // a second listener, in the file system
	program  string
	replace  map[string]string // what is particular -> what stands for it on every server
}

func startEtcd(t *testing.T, etcd, etcdctl string) *reference {
	t.Helper()
	client, peer := freeAddress(t), freeAddress(t)
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(etcd, "--name", "n1", "--data-dir", filepath.Join(dir, "data"),
		"--listen-client-urls", "http://"+client+",unix://"+socket, "--advertise-client-urls", "http://"+client,
		"--listen-peer-urls", "http://"+peer, "--initial-advertise-peer-urls", "http://"+peer,
		"--initial-cluster", "n1=http://"+peer)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	r := &reference{endpoint: client, socket: socket, program: etcdctl, replace: map[string]string{}}
	ready := r.etcdctl(t, cmp("--command-timeout", "20s", "get", "x"))
	if ready.code != 0 {
		t.Fatalf("etcd does not serve: %+v", ready)
	}
	var members struct {
		Header struct {
			Cluster json.Number `json:"cluster_id"`
			Member  json.Number `json:"member_id"`
		}
	}
	if err := json.Unmarshal([]byte(r.etcdctl(t, cmp("member", "list", "-w", "json")).stdout), &members); err != nil {
		t.Fatal(err)
	}
	for number, name := range map[json.Number]string{members.Header.Cluster: "CLUSTER", members.Header.Member: "MEMBER"} {
		var id uint64
		fmt.Sscan(number.String(), &id)
		r.replace[number.String()] = name
		r.replace[fmt.Sprintf("%x", id)] = name
	}
	grantLease(t, client)
	r.replace[client], r.replace[peer] = "CLIENT", "PEER"
	return r
}

// leaseID is the same on all servers: it is part of what HashKV covers.
const leaseID = 0x694d8f1c0a2b3c01

func grantLease(t *testing.T, address string) {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := pb.NewLeaseClient(conn).LeaseGrant(t.Context(), &pb.LeaseGrantRequest{TTL: 600, ID: leaseID}); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// outcome is what a script sees of a run.
type outcome struct {
	stdout string
	errors string // the Error: line
	code   int
}

func (o outcome) String() string {
	return fmt.Sprintf("exit code %d\n%s\n%s", o.code, o.errors, o.stdout)
}

// arguments fills in what is particular about the server.
func (r *reference) arguments(c comparison) []string {
	var args []string
	if !c.bare {
		args = []string{"--endpoints", r.endpoint}
	}
	for _, arg := range c.args {
		args = append(args, strings.NewReplacer("$LEASE", fmt.Sprintf("%x", leaseID), "$ENDPOINT", r.endpoint,
			"$SOCKET", r.socket).Replace(arg))
	}
	return args
}

func (r *reference) environ(c comparison) []string {
	var env []string
	for _, e := range c.env {
		env = append(env, strings.ReplaceAll(e, "$ENDPOINT", r.endpoint))
	}
	return env
}

func (r *reference) etcdctl(t *testing.T, c comparison) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(r.program, r.arguments(c)...)
	cmd.Env = append(r.environ(c), "PATH="+os.Getenv("PATH"))
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(c.stdin, "$LEASE", fmt.Sprintf("%x", leaseID)))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Run()
	return r.normal(stdout.String(), stderr.String(), cmd.ProcessState.ExitCode())
}

func (r *reference) quorumctl(c comparison) outcome {
	var stdout, stderr bytes.Buffer
	stdin := strings.NewReader(strings.ReplaceAll(c.stdin, "$LEASE", fmt.Sprintf("%x", leaseID)))
	code := newApp(stdin, &stdout, &stderr, r.environ(c)).run(r.arguments(c))
	return r.normal(stdout.String(), stderr.String(), code)
}

var (
	took   = regexp.MustCompile(`[0-9]+\.[0-9]+(ms|µs|s)\b`) // measured, so with a fraction
	size   = regexp.MustCompile(`\([0-9]+ vs`)               // messages differ in length, because ids do
	layout = regexp.MustCompile(`(─| )+`)
)

// normal takes out what differs between servers and runs: ids, addresses and durations.
func (r *reference) normal(stdout, stderr string, code int) outcome {
	if took.MatchString(stdout) {
		stdout = layout.ReplaceAllString(took.ReplaceAllString(stdout, "TOOK"), "$1")
	}
	var errors []string
	for line := range strings.Lines(stderr) {
		if strings.HasPrefix(line, "Error:") {
			errors = append(errors, size.ReplaceAllString(line, "(SIZE vs"))
		}
	}
	// The longest first: one address may be the beginning of another.
	for _, text := range slices.SortedFunc(maps.Keys(r.replace), func(a, b string) int { return len(b) - len(a) }) {
		stdout = strings.ReplaceAll(stdout, text, r.replace[text])
		for i := range errors {
			errors[i] = strings.ReplaceAll(errors[i], text, r.replace[text])
		}
	}
	return outcome{stdout, strings.ReplaceAll(strings.Join(errors, ""), "etcdctl", "quorumctl"), code}
}
