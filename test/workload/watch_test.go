package workload

import (
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func put(key string, revision, lease int64) *mvccpb.Event {
	return &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: revision, CreateRevision: revision, Version: 1, Lease: lease}}
}

func del(key string, revision, before, lease int64) *mvccpb.Event {
	return &mvccpb.Event{Type: mvccpb.Event_DELETE, Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: revision},
		PrevKv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: before, Lease: lease}}
}

// TestJudgeWatcher: each kind of wrong response is noticed.
func TestJudgeWatcher(t *testing.T) {
	history := []*mvccpb.Event{put("a", 2, 0), put("b", 3, 0), put("c", 3, 0), del("a", 4, 2, 0), put("other", 5, 0), put("b", 6, 0)}
	response := func(revision int64, events ...*mvccpb.Event) clientv3.WatchResponse {
		r := clientv3.WatchResponse{Header: &pb.ResponseHeader{Revision: revision}}
		for _, e := range events {
			r.Events = append(r.Events, (*clientv3.Event)(e))
		}
		return r
	}
	h := history
	tests := []struct {
		name      string
		responses []clientv3.WatchResponse
		says      string // "": all is well
	}{
		{"all", []clientv3.WatchResponse{response(2, h[0]), response(3, h[1], h[2]), response(4, h[3]), response(5), response(6, h[5])}, ""},
		{"in batches", []clientv3.WatchResponse{response(4, h[:4]...), response(6, h[5])}, ""},
		{"the last is missing", []clientv3.WatchResponse{response(4, h[:4]...)}, "the first missing one is 6"},
		{"one is missing", []clientv3.WatchResponse{response(3, h[:3]...), response(6, h[5])}, "the 2-th revision is 6, want 4"},
		{"twice", []clientv3.WatchResponse{response(4, h[:4]...), response(4, h[3]), response(6, h[5])}, "everything up to 4 was told"},
		{"in two", []clientv3.WatchResponse{response(3, h[:2]...), response(3, h[2]), response(4, h[3]), response(6, h[5])}, "everything up to 3"},
		{"half a revision", []clientv3.WatchResponse{response(3, h[:2]...), response(4, h[3]), response(6, h[5])}, "revision 3 has other events"},
		{"another lease", []clientv3.WatchResponse{response(2, put("a", 2, 7)), response(4, h[1:4]...), response(6, h[5])}, "revision 2 has other"},
		{"no prev_kv", []clientv3.WatchResponse{response(3, h[:3]...), response(4, &mvccpb.Event{Type: h[3].Type, Kv: h[3].Kv}),
			response(6, h[5])}, "revision 4 has other"},
		{"foreign", []clientv3.WatchResponse{response(6, h...)}, "want 6"},
		{"progress ahead", []clientv3.WatchResponse{response(3, h[:3]...), response(4), response(4, h[3]), response(6, h[5])},
			"progress up to 4 before revision 4"},
		{"ended", []clientv3.WatchResponse{{CompactRevision: 3, Canceled: true}, response(4, h[:4]...), response(6, h[5])}, "compaction"},
	}
	for _, tt := range tests {
		w := NewWatcher(&Watcher{PrevKV: true, From: 1, Until: "none"})
		w.first, w.next = 1, 1
		for _, r := range tt.responses {
			w.take(r)
		}
		var filtered []*mvccpb.Event
		for _, e := range history {
			if string(e.Kv.Key) != "other" {
				filtered = append(filtered, e)
			}
		}
		got := strings.Join(w.Judge(filtered, false), "\n")
		if (got == "") != (tt.says == "") || !strings.Contains(got, tt.says) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.says)
		}
	}
}

// TestJudgeLeases: deaths too early, too late, in two revisions, and keys that were left.
// TestWatchFromNowResumes: etcd's client resumes a watch from now on at the revision of its creation if it was told nothing yet,
// and at no other.
func TestWatchFromNowResumes(t *testing.T) {
	created := clientv3.WatchResponse{Header: &pb.ResponseHeader{Revision: 3}, Created: true}
	for revision, fine := range map[int64]bool{2: false, 3: true, 4: true} {
		w := NewWatcher(&Watcher{Until: "none"})
		w.take(created)
		w.take(clientv3.WatchResponse{
			Header: &pb.ResponseHeader{Revision: revision}, Events: []*clientv3.Event{(*clientv3.Event)(put("a", revision, 0))},
		})
		broken := w.Judge([]*mvccpb.Event{put("a", revision, 0)}, false)
		if (len(broken) == 0) != fine {
			t.Errorf("first revision %d after a creation at 3: %q", revision, broken)
		}
	}
	w := NewWatcher(&Watcher{Until: "none"})
	w.take(created)
	w.take(clientv3.WatchResponse{Header: &pb.ResponseHeader{Revision: 3}}) // progress
	w.take(clientv3.WatchResponse{Header: &pb.ResponseHeader{Revision: 4}})
	w.take(clientv3.WatchResponse{Header: &pb.ResponseHeader{Revision: 4}, Events: []*clientv3.Event{(*clientv3.Event)(put("a", 3, 0))}})
	if len(w.Judge(nil, false)) == 0 {
		t.Error("an event behind a promise of progress is no resumption")
	}
}

func TestJudgeLeases(t *testing.T) {
	start := time.Now()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	const id = firstLease
	attached := []*mvccpb.Event{put("l/0", 2, id), put("l/1", 3, id)}
	tests := []struct {
		name    string
		history []*mvccpb.Event
		died    int // seconds after the start
		says    string
	}{
		{"in time", []*mvccpb.Event{del("l/0", 4, 2, id), del("l/1", 4, 3, id)}, 11, ""},
		{"too early", []*mvccpb.Event{del("l/0", 4, 2, id), del("l/1", 4, 3, id)}, 8, "ended 7s after it was last renewed"},
		{"too late", []*mvccpb.Event{del("l/0", 4, 2, id), del("l/1", 4, 3, id)}, 20, "ended 18s after anybody renewed it"},
		{"in two revisions", []*mvccpb.Event{del("l/0", 4, 2, id), del("l/1", 5, 3, id)}, 11, "at revisions 4 and 5"},
		{"a key is left", []*mvccpb.Event{del("l/0", 4, 2, id)}, 11, "left 1 keys"},
		{"never", nil, 11, "left 2 keys"},
		{"used afterwards", []*mvccpb.Event{del("l/0", 4, 2, id), del("l/1", 4, 3, id), put("l/0", 5, id)}, 11, "which ended at 4"},
	}
	for _, tt := range tests {
		l := &Leases{leases: []*leased{{id: id, ttl: 10 * time.Second, granted: true, sure: at(1), latest: at(2)}}}
		got := strings.Join(l.Judge(append(attached, tt.history...), func(int64) time.Time { return at(tt.died) }, 3*time.Second), "\n")
		if (got == "") != (tt.says == "") || !strings.Contains(got, tt.says) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.says)
		}
	}
}
