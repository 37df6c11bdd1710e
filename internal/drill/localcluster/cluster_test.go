package localcluster

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/internal/drill"
	"github.com/quorumkv/quorumkv/internal/fault"
	"github.com/quorumkv/quorumkv/internal/local"
	"github.com/quorumkv/quorumkv/internal/local/fakenode"
)

// asNode makes the test binary stand in for a server when it is executed again.
const asNode = "TEST_AS_NODE"

func TestMain(m *testing.M) {
	if os.Getenv(asNode) != "" {
		os.Exit(fakenode.Main(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

func testConfig(t *testing.T) Config {
	t.Helper()
	t.Setenv(asNode, "yes")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Server: self, Members: 3,
		Died: func(e local.Exit) { t.Errorf("%s reported: %s", e.Node.Name, e.Reason) },
	}
}

func start(t *testing.T, cfg Config) *Cluster {
	t.Helper()
	c, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// id asks a member who it is.
func id(t *testing.T, c *Cluster, i int) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	status, err := c.Client(i).Status(ctx, c.Members()[i].Endpoint)
	if err != nil {
		t.Fatalf("%s: %v", c.Members()[i].Name, err)
	}
	return status.Header.MemberId
}

func TestMembersAndClients(t *testing.T) {
	c := start(t, testConfig(t))
	var want []drill.Member
	for i, name := range []string{"n1", "n2", "n3"} {
		want = append(want, drill.Member{Name: name, ID: fakenode.ID(name), Endpoint: c.local.Nodes()[i].ClientAddress()})
	}
	if diff := cmp.Diff(want, c.Members()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for i, m := range c.Members() {
		if got := id(t, c, i); got != m.ID {
			t.Errorf("the client of %s talks to %x", m.Name, got)
		}
		if eps := c.Client(i).Endpoints(); !slices.Equal(eps, []string{m.Endpoint}) {
			t.Errorf("the client of %s knows %v", m.Name, eps)
		}
	}
}

// A client finds its member again after each of these, well before gRPC's own backoff of up to two minutes would let it.
func TestProcesses(t *testing.T) {
	c := start(t, testConfig(t))
	p := c.Processes()
	for name, act := range map[string]func() error{
		"kill": func() error { return errors.Join(p.Kill(0), p.Start(0)) },
		"stop": func() error { return errors.Join(p.Stop(0), p.Start(0)) },
		"stop when paused": func() error {
			return errors.Join(p.Pause(0), p.Stop(0), p.Start(0))
		},
		"pause": func() error { return errors.Join(p.Pause(0), p.Continue(0)) },
	} {
		if err := act(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		id(t, c, 0)
	}
	log, err := os.ReadFile(p.Log(0))
	if err != nil || strings.Count(string(log), "fake node n1 starts") != 4 {
		t.Errorf("want the log of four runs (%v):\n%s", err, log)
	}
}

func TestStopOfOneThatDoesNotListen(t *testing.T) {
	t.Setenv(fakenode.Deaf, "n3")
	c := start(t, testConfig(t))
	n := c.local.Nodes()[2]
	if err := stop(n, 10*time.Millisecond); err == nil || !strings.HasPrefix(err.Error(), "n3 did not stop within 10ms of SIGTERM") {
		t.Error(err)
	}
	if n.Runs() {
		t.Error("it runs on")
	}
}

func TestSetFaults(t *testing.T) {
	cfg := testConfig(t)
	cfg.Token = "secret"
	cfg.Settings = map[string]string{"drills-token": "secret"}
	want := fault.Rules{Links: []fault.Link{{Peer: 3, In: true, Drop: 1}}}
	// Whoever is behind the connection answers; what is sent is another package's concern.
	var asked uint64
	cfg.SetFaults = func(ctx context.Context, conn grpc.ClientConnInterface, token string, r fault.Rules, ttl time.Duration) error {
		if token != "secret" || ttl != time.Minute || !cmp.Equal(r, want) {
			t.Errorf("%s, %v, %+v", token, ttl, r)
		}
		status, err := pb.NewMaintenanceClient(conn).Status(ctx, &pb.StatusRequest{})
		asked = status.GetHeader().GetMemberId()
		return err
	}
	c := start(t, cfg)
	if err := c.SetFaults(t.Context(), 2, want, time.Minute); err != nil || asked != c.Members()[2].ID {
		t.Errorf("member %x was asked: %v", asked, err)
	}
	text, err := os.ReadFile(c.local.Nodes()[0].Config)
	if err != nil || !strings.Contains(string(text), "drills-token: secret\n") {
		t.Errorf("%v:\n%s", err, text)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	c := start(t, testConfig(t))
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(c.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// What does not start leaves its log behind, and nothing that runs.
func TestStartFails(t *testing.T) {
	cfg := testConfig(t)
	t.Setenv(fakenode.Broken, "n2")
	cfg.Died = nil
	_, err := Start(t.Context(), cfg)
	if err == nil || !strings.HasPrefix(err.Error(), "n2 ended before it was healthy (exit status 3): the disk is on fire") {
		t.Fatal(err)
	}
	_, path, _ := strings.Cut(err.Error(), "(its log is ")
	path = strings.TrimSuffix(path, ")")
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "the disk is on fire") {
		t.Errorf("%v: %s", err, text)
	}
	os.RemoveAll(strings.TrimSuffix(path, "/n2.log"))
}

func TestStartInterrupted(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	cfg := testConfig(t)
	t.Setenv(fakenode.Sick, "n3")
	ctx, cancel := context.WithCancel(t.Context())
	cfg.Progress.Healthy = func(*local.Node, int) { cancel() }
	if _, err := Start(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}
