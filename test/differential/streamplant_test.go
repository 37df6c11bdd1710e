package differential

import (
	"math/rand/v2"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestPlantedStreams plants wrong responses between two real etcds: each has to be found, and shrunk.
func TestPlantedStreams(t *testing.T) {
	truth := func(r *pb.WatchResponse) []*pb.WatchResponse { return []*pb.WatchResponse{r} }
	change := func(f func(r *pb.WatchResponse)) func(*pb.WatchResponse) []*pb.WatchResponse {
		return func(r *pb.WatchResponse) []*pb.WatchResponse { f(r); return truth(r) }
	}
	var held *pb.WatchResponse
	plants := []struct {
		name string
		lie  func(*pb.WatchResponse) []*pb.WatchResponse
	}{
		{"a delete is lost", func(r *pb.WatchResponse) []*pb.WatchResponse {
			if len(r.Events) == 1 && r.Events[0].Type == mvccpb.Event_DELETE {
				return nil
			}
			return truth(r)
		}},
		{"a delete comes twice", func(r *pb.WatchResponse) []*pb.WatchResponse {
			if len(r.Events) == 1 && r.Events[0].Type == mvccpb.Event_DELETE {
				return []*pb.WatchResponse{r, r}
			}
			return truth(r)
		}},
		{"a revision comes in two responses", func(r *pb.WatchResponse) []*pb.WatchResponse {
			n := len(r.Events)
			if n < 2 || r.Events[n-2].Kv.ModRevision != r.Events[n-1].Kv.ModRevision {
				return truth(r)
			}
			first, second := proto.CloneOf(r), proto.CloneOf(r)
			first.Events, second.Events = first.Events[:n-1], second.Events[n-1:]
			return []*pb.WatchResponse{first, second}
		}},
		{"a deleted key keeps its version", change(func(r *pb.WatchResponse) {
			for _, e := range r.Events {
				if e.Type == mvccpb.Event_DELETE {
					e.Kv.Version = 1
				}
			}
		})},
		{"no prev_kv of deletes", change(func(r *pb.WatchResponse) {
			for _, e := range r.Events {
				if e.Type == mvccpb.Event_DELETE {
					e.PrevKv = nil
				}
			}
		})},
		{"progress overtakes events", func(r *pb.WatchResponse) []*pb.WatchResponse {
			switch before := held; {
			case r.Created: // perhaps of another stream
				held = nil
				return truth(r)
			case held != nil: // until the next response of the stream
				held = nil
				return []*pb.WatchResponse{r, before}
			case len(r.Events) > 0:
				held = r
				return nil
			default:
				return truth(r)
			}
		}},
		{"progress of a revision that is not there yet", change(func(r *pb.WatchResponse) {
			if r.WatchId == -1 && !r.Created && !r.Canceled {
				r.Header.Revision++
			}
		})},
		{"created at the next revision", change(func(r *pb.WatchResponse) {
			if r.Created {
				r.Header.Revision++
			}
		})},
		{"another reason for a refusal", change(func(r *pb.WatchResponse) {
			if r.CancelReason == "mvcc: watcher range is empty" {
				r.CancelReason = "watcher range is empty"
			}
		})},
		{"another compact revision", change(func(r *pb.WatchResponse) {
			if r.CompactRevision > 0 {
				r.CompactRevision++
			}
		})},
	}
	seed := setting(t, seedEnv, rand.Uint64())
	t.Logf("repeat with: %s=%d go test -count=1 -run TestPlantedStreams ./differential", seedEnv, seed)
	cfg := cluster.Config{Nodes: 1, Program: cluster.Etcd(t), Flags: etcdFlags}
	want, got := start(t, cfg), start(t, cfg)
	for _, plant := range plants {
		t.Run(plant.name, func(t *testing.T) {
			held = nil
			s := newStageOf(want, got)
			s.pair.fresh, s.patience, s.got.lie = false, time.Second, plant.lie
			var acts, shorter []act
			var base int64
			var again error
			sent := 0
			// A difference that rests on what an earlier history left does not come back: then the next one has to.
			for n := uint64(0); again == nil; n++ {
				if sent > 3000 {
					t.Fatalf("nothing found in %d acts that comes back", sent)
				}
				var err error
				held = nil
				acts, base, err = s.random(seed+n, historyActs)
				sent += len(acts)
				if held = nil; err != nil {
					shorter, base, again = s.shrink(acts, base, 3*time.Second)
				}
			}
			t.Logf("%d acts, shrunk from %d to %d:\n%s%.200v", sent, len(acts), len(shorter), printActs(shorter, base), again)
		})
	}
}
