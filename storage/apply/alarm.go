package apply

import (
	"cmp"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// Alarm says that something is wrong with a member. The whole cluster knows it until it is cleared.
type Alarm struct {
	Member uint64
	Type   pb.AlarmType
}

// alarm raises or clears an alarm. As in etcd, the answer names it if it was raised or is, and raising it twice is fine.
func (m *Machine) alarm(req *pb.AlarmRequest, want bool) (Response, error) {
	resp := Response{Revision: m.kv.Revision()}
	a := Alarm{Member: req.GetMemberID(), Type: req.GetAlarm()}
	at, raised := slices.BinarySearchFunc(m.alarms, a, compareAlarms)
	known := a.Type == pb.AlarmType_NOSPACE || a.Type == pb.AlarmType_CORRUPT
	var about []Alarm
	switch {
	case req.GetAction() == pb.AlarmRequest_GET:
		about = ofType(m.alarms, a.Type)
	case req.GetAction() == pb.AlarmRequest_ACTIVATE && known:
		if !raised {
			m.alarms = slices.Insert(slices.Clone(m.alarms), at, a) // views hold the old list
			m.history.alarm(a, true)
		}
		about = []Alarm{a}
	case req.GetAction() == pb.AlarmRequest_DEACTIVATE && raised:
		m.alarms = slices.Delete(slices.Clone(m.alarms), at, at+1)
		m.history.alarm(a, false)
		about = []Alarm{a}
	}
	if want {
		resp.Alarm = &pb.AlarmResponse{Header: &pb.ResponseHeader{Revision: resp.Revision}, Alarms: AlarmMembers(about)}
	}
	return resp, nil
}

// AlarmsOf lists those of a type; NONE stands for all.
func (v *View) AlarmsOf(t pb.AlarmType) []Alarm { return ofType(v.Alarms, t) }

// NoSpace reports whether some member has no space left. Then nothing may be proposed that [Grows].
func (v *View) NoSpace() bool {
	return slices.ContainsFunc(v.Alarms, func(a Alarm) bool { return a.Type == pb.AlarmType_NOSPACE })
}

// HasAlarm reports whether this very alarm is raised.
func (v *View) HasAlarm(a Alarm) bool { return slices.Contains(v.Alarms, a) }

// AlarmMembers returns alarms in the form of the API.
func AlarmMembers(alarms []Alarm) []*pb.AlarmMember {
	var list []*pb.AlarmMember
	for _, a := range alarms {
		list = append(list, &pb.AlarmMember{MemberID: a.Member, Alarm: a.Type})
	}
	return list
}

func ofType(alarms []Alarm, t pb.AlarmType) []Alarm {
	if t == pb.AlarmType_NONE {
		return alarms
	}
	return slices.DeleteFunc(slices.Clone(alarms), func(a Alarm) bool { return a.Type != t })
}

func compareAlarms(a, b Alarm) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Member, b.Member))
}

// Grows reports whether a request would add to the store: puts, transactions with a put in any branch, and grants of
// leases. Whatever frees space, and what a cluster needs to look after itself, does not count.
func Grows(r *pb.InternalRaftRequest) bool {
	return r.GetPut() != nil || r.GetLeaseGrant() != nil || puts(r.GetTxn().GetSuccess()) || puts(r.GetTxn().GetFailure())
}

func puts(ops []*pb.RequestOp) bool {
	return slices.ContainsFunc(ops, func(op *pb.RequestOp) bool {
		t := op.GetRequestTxn()
		return op.GetRequestPut() != nil || puts(t.GetSuccess()) || puts(t.GetFailure())
	})
}

// key is the alarm's key in the bucket alarm, which holds nothing else: an encoded AlarmMember.
func (a Alarm) key() []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.AlarmMember{MemberID: a.Member, Alarm: a.Type})
	if err != nil {
		panic(fmt.Sprintf("encode an alarm: %v", err))
	}
	return b
}

// saveAlarms adds to b what makes the stored alarms those of now.
func (s *state) saveAlarms(b *backend.Batch) {
	for _, a := range s.storedAlarms {
		if !slices.Contains(s.alarms, a) {
			b.Delete(backend.Alarm, a.key())
		}
	}
	for _, a := range s.alarms {
		if !slices.Contains(s.storedAlarms, a) {
			b.Put(backend.Alarm, a.key(), nil)
		}
	}
}

func (s *state) loadAlarms(tx *bbolt.Tx, sum uint32) error {
	bucket := tx.Bucket(backend.Alarm)
	if bucket == nil {
		return fmt.Errorf("find bucket %s: %w", backend.Alarm, backend.ErrDamaged)
	}
	err := bucket.ForEach(func(k, _ []byte) error {
		m := &pb.AlarmMember{}
		if err := proto.Unmarshal(k, m); err != nil {
			return fmt.Errorf("read alarm %x: %w", k, backend.ErrDamaged)
		}
		s.alarms = append(s.alarms, Alarm{Member: m.GetMemberID(), Type: m.GetAlarm()})
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(s.alarms, compareAlarms)
	if alarmsChecksum(s.alarms) != sum {
		return fmt.Errorf("read %d alarms: %w", len(s.alarms), backend.ErrDamaged)
	}
	s.storedAlarms = s.alarms
	return nil
}

func alarmsChecksum(alarms []Alarm) uint32 {
	keys := make([][]byte, len(alarms))
	for i, a := range alarms {
		keys[i] = a.key()
	}
	return checksum(keys...)
}
