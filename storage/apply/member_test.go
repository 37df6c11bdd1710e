package apply

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"

	"go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/membershippb"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

func TestMembersRoundTrip(t *testing.T) {
	mixed := []Member{testMembers[2], testMembers[0], testMembers[1]}
	if string(EncodeMembers(mixed)) != string(EncodeMembers(testMembers)) {
		t.Error("the order matters")
	}
	got, err := DecodeMembers(EncodeMembers(mixed))
	if err != nil || !reflect.DeepEqual(got, testMembers) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{``, `{}`, `[{"id":0}]`, `[{"id":1},{"id":1}]`, `[{"id":-1}]`, `[{"id":"1"}]`, `[{"id":1}`} {
		if got, err := DecodeMembers([]byte(bad)); !errors.Is(err, ErrMalformedMembers) {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
}

func TestInitialStateIsEtcds(t *testing.T) {
	r := newRig(t, RequestID{})
	want := map[string]string{
		"members/1":    `{"id":1,"peerURLs":["http://a:2380"]}`,
		"members/2":    `{"id":2,"peerURLs":["http://b:2380"]}`,
		"members/ffee": `{"id":65518,"peerURLs":["http://c:2380"],"isLearner":true}`,

		"meta/consistent_index": "\x00\x00\x00\x00\x00\x00\x00\x01",
		"meta/term":             "\x00\x00\x00\x00\x00\x00\x00\x01",
		"meta/confState":        `{"voters":[1,2],"learners":[65518],"auto_leave":false}`,
	}
	err := r.db.Read(func(tx *bbolt.Tx) error {
		for _, bucket := range [][]byte{backend.Members, backend.Meta} {
			tx.Bucket(bucket).ForEach(func(k, v []byte) error {
				key := string(bucket) + "/" + string(k)
				if w, ok := want[key]; ok && w != string(v) {
					t.Errorf("%s is %q", key, v)
				}
				delete(want, key)
				return nil
			})
		}
		return nil
	})
	if err != nil || len(want) > 0 {
		t.Errorf("%v, not found: %v", err, want)
	}
	if index, term := r.m.Applied(); index != 1 || term != 1 || r.m.Revision() != 1 || r.m.Pending() {
		t.Errorf("at entry %d of term %d, revision %d, pending %t", index, term, r.m.Revision(), r.m.Pending())
	}
	if cs := r.m.ConfState(); !slices.Equal(cs.Voters, []uint64{1, 2}) || !slices.Equal(cs.Learners, []uint64{0xffee}) {
		t.Errorf("configuration %v", cs)
	}
}

// A view keeps the members it was made with.
func TestViewsKeepTheirMembers(t *testing.T) {
	r := newRig(t, RequestID{Member: 1, Epoch: 1})
	before := r.m.View()
	r.commit(&pb.InternalRaftRequest{ClusterMemberAttrSet: &membershippb.ClusterMemberAttrSetRequest{
		Member_ID: 2, MemberAttributes: &membershippb.Attributes{Name: "two"},
	}})
	if before.Members[1].Name != "" || r.m.View().Members[1].Name != "two" {
		t.Errorf("before %v, after %v", before.Members[1], r.m.View().Members[1])
	}
}

func TestOpenRefusesAnotherCluster(t *testing.T) {
	r := newRig(t, RequestID{})
	if _, err := Open(r.db, testCluster+1, mvcc.Recent{}); !errors.Is(err, ErrClusterMismatch) {
		t.Errorf("got %v", err)
	}
}

// Whatever bit of our own bookkeeping flips, Open says so.
func TestOpenFindsDamage(t *testing.T) {
	r := newRig(t, RequestID{Member: 1, Epoch: 1})
	r.commit(putOf("k", "v"))
	r.flush()
	type row struct{ bucket, key, value []byte }
	var rows []row
	err := r.db.Read(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{backend.Members, backend.Meta} {
			tx.Bucket(name).ForEach(func(k, v []byte) error {
				rows = append(rows, row{name, slices.Clone(k), slices.Clone(v)})
				return nil
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ours := []string{string(keyIndex), string(keyTerm), string(keyConfState), string(keyState), "dedupe/1"}
	for _, row := range rows {
		if string(row.bucket) == string(backend.Meta) && !slices.Contains(ours, string(row.key)) {
			continue
		}
		commit := func(change func(b *backend.Batch)) {
			var b backend.Batch
			change(&b)
			if err := r.db.Commit(&b); err != nil {
				t.Fatal(err)
			}
		}
		expect := func(what string) {
			if _, err := Open(r.db, testCluster, mvcc.Recent{}); !errors.Is(err, backend.ErrDamaged) {
				t.Errorf("%s/%s %s: %v", row.bucket, row.key, what, err)
			}
		}
		bad := slices.Clone(row.value)
		bad[len(bad)/2] ^= 4
		commit(func(b *backend.Batch) { b.Put(row.bucket, row.key, bad) })
		if !json.Valid(row.value) || sameJSON(bad, row.value) == false {
			expect("changed")
		}
		commit(func(b *backend.Batch) { b.Delete(row.bucket, row.key) })
		expect("lost")
		commit(func(b *backend.Batch) { b.Put(row.bucket, row.key, row.value) })
	}
	if _, err := Open(r.db, testCluster, mvcc.Recent{}); err != nil {
		t.Errorf("put back: %v", err)
	}
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func TestEqualInitialBatches(t *testing.T) {
	batch := func(members ...Member) string {
		fs := memfs.New(1, t.TempDir())
		db, err := backend.Create(fs, "state", backend.Options{NoSync: true}, InitialBatch(testCluster, members))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		m, err := Open(db, testCluster, mvcc.Recent{})
		if err != nil {
			t.Fatal(err)
		}
		return (&rig{t: t, db: db, m: m}).dump()
	}
	if a, b := batch(testMembers...), batch(testMembers[1], testMembers[2], testMembers[0]); a != b {
		t.Errorf("the order of the members matters:\n%s\n%s", a, b)
	}
	if a, b := batch(testMembers...), batch(testMembers[:2]...); a == b {
		t.Error("the members do not matter")
	}
}
