package apply

import (
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// TestRefound keeps keys, revisions and leases, and nothing of the former cluster, in memory and on disk.
func TestRefound(t *testing.T) {
	r := newRig(t, RequestID{Member: 1, Epoch: 1})
	r.flush()
	apply := func(requests ...*pb.InternalRaftRequest) { r.commit(requests...) }
	apply(&pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: 5, TTL: 60}},
		&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("a"), Value: []byte("1"), Lease: 5}},
		&pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: 2, Alarm: pb.AlarmType_NOSPACE}})
	r.flush()
	apply(&pb.InternalRaftRequest{Put: &pb.PutRequest{Key: []byte("b"), Value: []byte("2")}}) // not flushed yet
	index, term := r.m.Applied()
	revision, history := r.m.Revision(), r.m.HistoryHash()

	self := Member{ID: 9, Name: "n9", PeerURLs: []string{"http://a:2380"}}
	if err := r.m.Refound(0xc2, self); err != nil {
		t.Fatal(err)
	}
	before := r.dump()
	if err := r.db.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.db, err = backend.Open(r.fs, "state", backend.Options{NoSync: true}); err != nil {
		t.Fatal(err)
	}
	if r.m, err = Open(r.db, 0xc2, mvcc.Recent{}); err != nil {
		t.Fatal(err)
	}
	if after := r.dump(); after != before {
		t.Errorf("on disk:\n%s\nin memory:\n%s", after, before)
	}
	if i, tm := r.m.Applied(); i != index || tm != term || r.m.Revision() != revision {
		t.Errorf("index %d, term %d, revision %d; were %d, %d, %d", i, tm, r.m.Revision(), index, term, revision)
	}
	if r.m.HistoryHash() == history {
		t.Error("the history hash is the former cluster's")
	}
	for _, want := range []string{`"a" = "1"`, `"b" = "2"`, `lease 5 of 60 s: ["a"]`, `"voters":[9]`, `member {"id":9`} {
		if !strings.Contains(before, want) {
			t.Errorf("%s is not in\n%s", want, before)
		}
	}
	for _, gone := range []string{"alarm", "window", `"id":1`, `"id":2`, "learners"} {
		if strings.Contains(before, gone) {
			t.Errorf("%s is still in\n%s", gone, before)
		}
	}
	s, err := Inspect(r.db)
	if err != nil || s.ClusterID != 0xc2 || s.Index != index || s.Term != term || len(s.Members) != 1 || s.Leases != 1 {
		t.Errorf("inspected: %+v, %v", s, err)
	}
}
