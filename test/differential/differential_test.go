package differential

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/quorumkv/quorumkv/test/cluster"
)

const (
	seedEnv     = "QUORUMKV_TEST_SEED"
	requestsEnv = "QUORUMKV_DIFFERENTIAL_REQUESTS"
)

func TestDifferential(t *testing.T) {
	requests := setting(t, requestsEnv, 6000)
	if testing.Short() {
		requests = min(requests, 1500)
	}
	seed := setting(t, seedEnv, rand.Uint64())
	t.Logf("repeat with: %s=%d %s=%d go test ./differential", seedEnv, seed, requestsEnv, requests)

	etcd := cluster.Start(t, cluster.Config{Nodes: 1, Program: cluster.Etcd(t)})
	ours := cluster.Start(t, cluster.Config{Nodes: 3, Program: cluster.Server(t)})
	h := &history{t: t, etcd: etcd, ours: ours, rng: rand.New(rand.NewPCG(seed, 1))}
	g := newGenerator(rand.New(rand.NewPCG(seed, 0)))
	for i := range requests {
		if i == requests/3 || i == requests*2/3 {
			h.restart()
		}
		a, ok := h.compare(g.next())
		if !ok {
			t.Fatalf("request %d of seed %d is answered differently", i, seed)
		}
		g.revision, g.compacted = max(g.revision, a.revision), max(g.compacted, a.compact)
	}
	if _, ok := h.compare(hashRequest{0}); !ok {
		t.Fatalf("histories of seed %d have different hashes", seed)
	}
	t.Logf("%d requests, %d of them refused, revision %d, compacted at %d", requests, h.refused, g.revision, g.compacted)
}

func setting(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// history is a sequence of requests that both systems have answered alike so far.
type history struct {
	t          *testing.T
	etcd, ours *cluster.Cluster
	rng        *rand.Rand
	last       int      // the node of ours that last did as it was asked
	recent     []string // requests
	refused    int
}

// compare asks both systems; ok is false when they disagree.
func (h *history) compare(request any) (a answer, ok bool) {
	h.t.Helper()
	text := describe(request)
	node := h.last
	if !local(request) {
		node = h.rng.IntN(len(h.ours.Nodes))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var want, got answer
	var both sync.WaitGroup
	both.Go(func() { want = at(h.etcd, 0).ask(ctx, request) })
	both.Go(func() { got = at(h.ours, node).ask(ctx, request) })
	both.Wait()
	if want.Error != "" {
		h.refused++
	} else {
		h.last = node // a refusal may come from a node that lags
	}
	if diff := cmp.Diff(want, got, protocmp.Transform(), cmpopts.IgnoreUnexported(answer{})); diff != "" {
		h.t.Errorf("%s\n(-etcd +QuorumKV, node %s)\n%s\nbefore it:\n%s", text, h.ours.Nodes[node].Name, diff,
			strings.Join(h.recent, "\n"))
		return want, false
	}
	h.recent = append(h.recent, h.ours.Nodes[node].Name+" "+text)
	if len(h.recent) > 25 {
		h.recent = h.recent[1:]
	}
	return want, true
}

// restart stops both systems, in order or not, and starts them again.
func (h *history) restart() {
	h.t.Helper()
	for _, c := range []*cluster.Cluster{h.etcd, h.ours} {
		if h.rng.IntN(2) == 0 {
			c.StopAll()
		} else {
			c.KillAll()
		}
		c.StartAll()
		for i := range c.Nodes {
			c.Revision(i) // connected again, and nothing is missing
		}
	}
}

func at(c *cluster.Cluster, node int) endpoint {
	conn := c.Client(node).ActiveConnection()
	return endpoint{kv: pb.NewKVClient(conn), maintenance: pb.NewMaintenanceClient(conn)}
}

// local tells the requests that a node answers from what it has: they stay with the node that is known to be up to date, all others
// may go anywhere.
func local(request any) bool {
	switch r := request.(type) {
	case *pb.RangeRequest:
		return r.Serializable
	case *streamRequest:
		return r.Serializable
	case hashRequest:
		return true
	case *pb.TxnRequest:
		// Read-only transactions may be answered locally; QuorumKV does so only if every range agrees to it.
		for _, op := range append(r.Success, r.Failure...) {
			if inner := op.GetRequestRange(); inner == nil || !inner.Serializable {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// describe prints a request on one line.
func describe(request any) string {
	text := prototext(request)
	return longRuns.ReplaceAllStringFunc(text, func(run string) string { return fmt.Sprintf("x...(%d)", len(run)) })
}

var longRuns = regexp.MustCompile("x{30,}")

func prototext(request any) string {
	switch r := request.(type) {
	case *streamRequest:
		return fmt.Sprintf("stream %v", r.RangeRequest)
	case proto.Message:
		return fmt.Sprintf("%s %v", r.ProtoReflect().Descriptor().Name(), r)
	default:
		return fmt.Sprintf("%T%+v", r, r)
	}
}
