package differential

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/test/cluster"
	"github.com/quorumkv/quorumkv/test/script"
)

// lying is a system that tells the truth but for one kind of answer.
type lying struct {
	*processes
	lie func(request any, a *answer)
}

func (l lying) nodes() int { return 3 } // all are the same one

func (l lying) ask(node, client int, request any) answer {
	a := l.processes.ask(0, client, request)
	l.lie(request, &a)
	return a
}

// TestPlanted plants wrong answers between two real etcds: each has to be found, and shrunk to what it takes to see it.
func TestPlanted(t *testing.T) {
	plants := []struct {
		name  string
		steps int // that a person would need
		lie   func(request any, a *answer)
	}{
		{"limit without more", 3, func(_ any, a *answer) {
			if r, ok := a.message.(*pb.RangeResponse); ok {
				r.More = false
			}
		}},
		{"version ends at 3", 4, func(_ any, a *answer) {
			if r, ok := a.message.(*pb.RangeResponse); ok {
				for _, kv := range r.Kvs {
					kv.Version = min(kv.Version, 2)
				}
			}
		}},
		{"code of a compacted revision", 3, func(_ any, a *answer) {
			if a.failure == "OutOfRange: etcdserver: mvcc: required revision has been compacted" {
				a.failure = "InvalidArgument: etcdserver: mvcc: required revision has been compacted"
			}
		}},
		{"delete in a nested transaction", 2, func(_ any, a *answer) {
			if r, ok := a.message.(*pb.TxnResponse); ok {
				for _, op := range r.Responses {
					for _, inner := range op.GetResponseTxn().GetResponses() {
						if d := inner.GetResponseDeleteRange(); d.GetDeleted() > 0 {
							d.Deleted = 0
						}
					}
				}
			}
		}},
		{"HashKV", 1, func(request any, a *answer) {
			if r, ok := a.message.(*pb.HashKVResponse); ok && request.(*pb.HashKVRequest).Revision > 0 {
				r.Hash++
			}
		}},
		{"a read of the past", 2, func(request any, a *answer) {
			if r, ok := a.message.(*pb.RangeResponse); ok && len(r.Kvs) == 1 && bytes.Equal(r.Kvs[0].Key, []byte("c")) {
				r.Header.Revision--
			}
		}},
	}
	seed := setting(t, seedEnv, rand.Uint64())
	t.Logf("repeat with: %s=%d go test -count=1 -run TestPlanted ./differential", seedEnv, seed)
	truth := start(t, cluster.Config{Nodes: 1, Program: cluster.Etcd(t), Flags: etcdFlags})
	other := start(t, cluster.Config{Nodes: 1, Program: cluster.Etcd(t), Flags: etcdFlags})
	for _, plant := range plants {
		t.Run(plant.name, func(t *testing.T) {
			r := newRunner(newPair(truth, lying{other, plant.lie}))
			r.pair.fresh = false
			var (
				h     history
				s     *shrinker
				begin time.Time
			)
			// A difference that does not come back is the clock's, on a busy machine: a lease that is over on one side only.
			for n := uint64(0); s == nil || s.found == nil; n++ {
				if r.requests > 20_000 {
					t.Fatalf("not found in %d requests", r.requests)
				}
				var found *difference
				if h, found = r.history(seed+n, historyRequests, false); found != nil {
					begin = time.Now()
					s = shrink(r.pair, h, 20*time.Second)
				}
			}
			t.Logf("%d requests, shrunk from %d to %d steps in %d attempts and %v:\n%s", r.requests, len(h.steps),
				len(s.best.steps), s.attempts, time.Since(begin).Round(time.Millisecond), s.best.script())
			if len(s.best.steps) > plant.steps+1 { // what is left is a local minimum
				t.Errorf("%d steps, %d would do", len(s.best.steps), plant.steps)
			}
		})
	}
}

// TestScript prints generated requests as a script and reads them back.
func TestScript(t *testing.T) {
	seed := setting(t, seedEnv, rand.Uint64())
	t.Logf("repeat with: %s=%d go test -count=1 -run TestScript ./differential", seedEnv, seed)
	s := &state{revision: 1000, base: 900, compacted: 950, asked: map[int64]bool{}}
	g := &generator{state: s, rng: rand.New(rand.NewPCG(seed, 0)), skipped: func(any) bool { return false }}
	for range 5000 {
		for _, request := range g.step() {
			line := script.Print(request, s.base)
			back, err := script.Parse(line, s.base)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if !proto.Equal(message(request), message(back)) {
				t.Fatalf("%s\n%v\nis read as\n%v", line, request, back)
			}
			moved := relocate(relocate(request, s.base, 5000), 5000, s.base)
			if !proto.Equal(message(request), message(moved)) {
				t.Fatalf("%s\nmoved there and back is\n%s", line, script.Print(moved, s.base))
			}
		}
	}
}

func message(request any) proto.Message {
	if r, ok := request.(*script.Stream); ok {
		return r.RangeRequest
	}
	return request.(proto.Message)
}
