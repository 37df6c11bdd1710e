package differential

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/test/cluster"
)

const (
	seedEnv     = "QUORUMKV_TEST_SEED"
	requestsEnv = "QUORUMKV_DIFFERENTIAL_REQUESTS"
	soakEnv     = "QUORUMKV_SOAK"

	defaultRequests = 52_000
	shortRequests   = 3000
	fullRun         = 50_000 // so many requests meet every wanted kind
	historyRequests = 2000
	shrinkBudget    = 2 * time.Minute
)

// TestDifferential runs random histories against etcd and QuorumKV and compares every answer.
func TestDifferential(t *testing.T) {
	requests := setting(t, requestsEnv, defaultRequests)
	if testing.Short() {
		requests = min(requests, shortRequests)
	}
	seed := setting(t, seedEnv, rand.Uint64())
	var soak time.Duration
	if text := os.Getenv(soakEnv); text != "" {
		var err error
		if soak, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", soakEnv, err)
		}
	}

	etcd := start(t, cluster.Config{Nodes: 1, Program: cluster.Etcd(t), Flags: etcdFlags})
	ours := start(t, cluster.Config{Nodes: 3})
	r := newRunner(newPair(etcd, ours))
	r.pair.leases, r.pair.etcd = true, ours.Program.IsEtcd()
	begin := time.Now()
	// What chance left out of a full run gets a few histories more.
	unfinished := func() bool {
		return r.requests >= fullRun && r.requests < requests+20_000 && len(r.coverage.missing()) > 0
	}
	for n := uint64(0); r.requests < requests || time.Since(begin) < soak || unfinished(); n++ {
		if n%50 == 49 {
			r.pair.renew()
		}
		length := historyRequests
		if soak == 0 && r.requests < requests {
			length = int(min(historyRequests, requests-r.requests))
		}
		// Two histories of a run have a restart in them, of a soak one in ten.
		h, found := r.history(seed+n, length, n%10 == 3 || n == 7)
		if soak > 0 && n%50 == 0 {
			t.Logf("%v: %d requests", time.Since(begin).Round(time.Second), r.requests)
		}
		if found != nil {
			t.Errorf("history %d is answered differently\n%s", n, found)
			t.Errorf("as it was, without shrinking: %s=%d %s=%d go test -count=1 -run TestDifferential ./differential",
				seedEnv, seed+n, requestsEnv, length)
			report(t, shrink(r.pair, h, shrinkBudget), fmt.Sprintf("failed-%d.txt", seed+n))
			return
		}
	}
	elapsed := time.Since(begin)
	t.Logf("%d requests in %v (%.0f/s), %d of them refused", r.requests, elapsed.Round(time.Second/10),
		float64(r.requests)/elapsed.Seconds(), r.refused)
	t.Logf("repeat with: %s=%d %s=%d go test -count=1 -run TestDifferential ./differential", seedEnv, seed, requestsEnv, requests)
	t.Logf("decisions, and how often an exception was made:\n%s", r.pair.exceptions)
	t.Logf("kinds of requests and answers:\n%s", r.coverage)
	if missing := r.coverage.missing(); r.requests >= fullRun && len(missing) > 0 {
		t.Errorf("never met: %q", missing)
	}
}

// etcdFlags make the oracle fast. It need not survive a loss of power.
var etcdFlags = []string{"--unsafe-no-fsync"}

// runner makes histories.
type runner struct {
	pair     *pair
	coverage coverage
	requests uint64
	refused  int
}

func newRunner(p *pair) *runner { return &runner{pair: p, coverage: coverage{}} }

// history runs so many requests, and then HashKV at several revisions. With a difference it returns what led to it.
func (r *runner) history(seed uint64, length int, restarts bool) (history, *difference) {
	s := r.pair.begin()
	h := history{base: s.base}
	rng := rand.New(rand.NewPCG(seed, 0))
	g := &generator{state: s, rng: rng, leases: r.pair.leases}
	g.skipped = func(request any) bool { return r.pair.exceptions.skipped(s, request) }
	run := func(st step) *difference {
		done, found := r.pair.run(s, st, func(c call, a answer) {
			r.requests++
			if a.failure != "" {
				r.refused++
			}
			r.coverage.count(s, c, a)
		})
		r.coverage.when(len(st.calls) > 1, "calls at once")
		h.steps = append(h.steps, done)
		return found
	}
	for sent := 0; sent < length; {
		st := step{}
		if restarts && sent >= length/2 {
			st.restart, restarts = stopAll+restart(rng.IntN(2)), false
		}
		for _, request := range g.step() {
			st.calls = append(st.calls, call{rng.IntN(r.pair.got.nodes()), rng.IntN(clients), request})
		}
		if found := run(st); found != nil {
			return h, found
		}
		sent += len(st.calls)
	}
	for _, revision := range []int64{0, s.revision, s.revision - 1, max(s.compacted, s.base) + 1, (max(s.compacted, s.base) + s.revision) / 2} {
		request := &pb.HashKVRequest{Revision: revision}
		if r.pair.exceptions.skipped(s, request) {
			continue
		}
		if found := run(step{calls: []call{{request: request}}}); found != nil {
			return h, found
		}
	}
	return h, nil
}

// report prints a shrunk history and leaves it where TestReplay and, copied, the golden tests find it.
func report(t *testing.T, s *shrinker, name string) {
	t.Helper()
	if s.found == nil {
		t.Errorf("the difference did not come back when the history was repeated %d times: it depends on timing", s.attempts)
		t.Errorf("the history was:\n%s", s.best.script())
		return
	}
	file := fmt.Sprintf("run\n%s----\n", s.best.script())
	t.Errorf("shrunk to %d steps in %d attempts:\n%s\n%s", len(s.best.steps), s.attempts, file, s.found)
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Error(err)
	}
	path := filepath.Join("testdata", name)
	if err := os.WriteFile(path, []byte(file), 0o644); err != nil {
		t.Error(err)
	}
	t.Errorf("this is in %s; replay: go test -count=1 -run TestReplay/%s ./differential", path, name)
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
