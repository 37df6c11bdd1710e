package apply

import (
	"errors"
	"testing"

	"go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

func alarmOf(action pb.AlarmRequest_AlarmAction, member uint64) *pb.InternalRaftRequest {
	return &pb.InternalRaftRequest{Alarm: &pb.AlarmRequest{Action: action, MemberID: member, Alarm: pb.AlarmType_NOSPACE}}
}

func TestGrows(t *testing.T) {
	for text, want := range map[string]bool{
		`put { key: "a" }`:                      true,
		`lease_grant { ID: 1 }`:                 true,
		`txn { success { request_put { } } }`:   true,
		`txn { failure { request_put { } } }`:   true,
		`txn { success { request_range { } } }`: false,
		`txn { success { request_txn { failure { request_txn { success { request_put { } } } } } } }`: true,
		`txn { failure { request_txn { failure { request_delete_range { } } } } }`:                    false,
		`delete_range { key: "a" }`:   false,
		`compaction { }`:              false,
		`lease_revoke { ID: 1 }`:      false,
		`alarm { }`:                   false,
		`cluster_member_attr_set { }`: false,
		``:                            false,
	} {
		r := &pb.InternalRaftRequest{}
		if err := prototext.Unmarshal([]byte(text), r); err != nil {
			t.Fatal(err)
		}
		if got := Grows(r); got != want {
			t.Errorf("%s grows: %t, want %t", text, got, want)
		}
	}
}

// The bucket is etcd's, so that its snapshots and ours can be exchanged.
func TestAlarmsAreStoredAsInEtcd(t *testing.T) {
	r := newRig(t, RequestID{Member: 1, Epoch: 1})
	r.commit(alarmOf(pb.AlarmRequest_ACTIVATE, 0xffee), alarmOf(pb.AlarmRequest_ACTIVATE, 1))
	old := r.m.View()
	r.commit(alarmOf(pb.AlarmRequest_DEACTIVATE, 1))
	if len(old.Alarms) != 2 || len(r.m.View().Alarms) != 1 {
		t.Fatalf("alarms %v, then %v", old.Alarms, r.m.View().Alarms)
	}
	r.flush()
	want := &pb.AlarmMember{MemberID: 0xffee, Alarm: pb.AlarmType_NOSPACE}
	err := r.db.Read(func(tx *bbolt.Tx) error {
		return tx.Bucket(backend.Alarm).ForEach(func(k, v []byte) error {
			got := &pb.AlarmMember{}
			if err := proto.Unmarshal(k, got); err != nil || !proto.Equal(got, want) || len(v) != 0 {
				t.Errorf("%x = %x: %v, %v", k, v, got, err)
			}
			want = nil
			return nil
		})
	})
	if err != nil || want != nil {
		t.Fatalf("%v, still wants %v", err, want)
	}
}

// An alarm that rots is damage: no replica may think that there is space where the others know that there is none.
func TestRottenAlarm(t *testing.T) {
	r := newRig(t, RequestID{Member: 1, Epoch: 1})
	r.commit(alarmOf(pb.AlarmRequest_ACTIVATE, 1))
	r.flush()
	b := &backend.Batch{}
	b.Delete(backend.Alarm, Alarm{1, pb.AlarmType_NOSPACE}.key())
	if err := r.db.Commit(b); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(r.db, testCluster, mvcc.Recent{}); !errors.Is(err, backend.ErrDamaged) {
		t.Fatal(err)
	}
}
