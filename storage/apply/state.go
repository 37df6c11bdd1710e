package apply

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strings"

	"go.etcd.io/bbolt"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/lease"
)

var (
	keyIndex     = []byte("consistent_index")
	keyTerm      = []byte("term")
	keyConfState = []byte("confState")
	keyState     = []byte("quorumState")
)

const (
	stateVersion = 4
	stateBytes   = 61
)

// state is everything that a flush makes durable besides mvcc's revisions. Of what is written only when it changed, it knows
// what the file holds once the flush under way is committed.
type state struct {
	clusterID   uint64
	index, term uint64
	// hash is the history hash as of the last save; in between Machine.history runs ahead of it.
	hash      uint64
	confState *raftpb.ConfState
	// members is in order of ids and never changed in place: views share it.
	members []Member
	// membersDirty is set while the last save does not hold members or confState.
	membersDirty bool
	// windows is in order of member ids.
	windows []*window
	leases  *lease.Set
	// alarms is in order of types and members, and never changed in place; storedAlarms is what the last save holds.
	alarms, storedAlarms []Alarm
	// check is replaced, never changed; storedCheck is what the last save holds.
	check, storedCheck *Check
	// taken is what the flush under way takes along.
	taken taken
}

// taken is what a flush takes along, and what the file holds instead until that is committed.
type taken struct {
	members bool
	windows []*window
	alarms  []Alarm
	check   *Check
}

// InitialBatch returns the state of a cluster before its first entry, which counts as the snapshot at index 1, term 1:
// all nodes start with it, so raft never sees its own bootstrap entries.
func InitialBatch(clusterID uint64, members []Member) *backend.Batch {
	s := state{clusterID: clusterID, index: 1, term: 1, members: byID(members), membersDirty: true,
		leases: &lease.Set{}, check: &Check{}}
	s.confState = confStateOf(s.members)
	s.hash = foundingHash(0, clusterID, members)
	b := &backend.Batch{}
	s.save(b)
	return b
}

// save adds to b what has changed since the last one, and takes it for stored.
func (s *state) save(b *backend.Batch) {
	s.taken = taken{members: s.membersDirty, alarms: s.storedAlarms, check: s.storedCheck}
	confState := mustJSON(s.confState)
	if s.membersDirty {
		b.Put(backend.Meta, keyConfState, confState)
		for i := range s.members {
			b.Put(backend.Members, s.members[i].key(), s.members[i].encode())
		}
	}
	for _, w := range s.windows {
		if w.dirty {
			b.Put(backend.Meta, w.key(), w.encode())
			w.dirty = false
			s.taken.windows = append(s.taken.windows, w)
		}
	}
	s.leases.Seal(b)
	s.saveAlarms(b)
	s.saveCheck(b)
	s.membersDirty, s.storedAlarms, s.storedCheck = false, s.alarms, s.check
	b.Put(backend.Meta, keyIndex, binary.BigEndian.AppendUint64(nil, s.index))
	b.Put(backend.Meta, keyTerm, binary.BigEndian.AppendUint64(nil, s.term))

	r := make([]byte, 0, stateBytes)
	r = append(r, stateVersion)
	for _, v := range [...]uint64{s.clusterID, s.index, s.term, s.hash} {
		r = binary.LittleEndian.AppendUint64(r, v)
	}
	r = binary.LittleEndian.AppendUint32(r, uint32(len(s.windows)))
	r = binary.LittleEndian.AppendUint32(r, uint32(s.leases.Len()))
	r = binary.LittleEndian.AppendUint32(r, checksum(confState))
	r = binary.LittleEndian.AppendUint32(r, checksum(EncodeMembers(s.members)))
	r = binary.LittleEndian.AppendUint32(r, alarmsChecksum(s.alarms))
	r = binary.LittleEndian.AppendUint32(r, checksum(s.check.encode()))
	r = binary.LittleEndian.AppendUint32(r, checksum(r))
	b.Put(backend.Meta, keyState, r)
}

// saved says that what save took is committed.
func (s *state) saved() {
	s.leases.Flushed()
	s.taken = taken{}
}

// notSaved says that what save took is not committed, and never will be: the next one takes it again.
func (s *state) notSaved() {
	s.leases.NotFlushed()
	s.membersDirty = s.membersDirty || s.taken.members
	s.storedAlarms, s.storedCheck = s.taken.alarms, s.taken.check
	for _, w := range s.taken.windows {
		w.dirty = true
	}
	s.taken = taken{}
}

// load reads what save wrote. Whatever does not add up is damage: the caller rebuilds the state from a peer.
func (s *state) load(tx *bbolt.Tx) error {
	meta, members := tx.Bucket(backend.Meta), tx.Bucket(backend.Members)
	if meta == nil || members == nil {
		return fmt.Errorf("find buckets: %w", backend.ErrDamaged)
	}
	r := meta.Get(keyState)
	if len(r) != stateBytes || r[0] != stateVersion ||
		binary.LittleEndian.Uint32(r[stateBytes-4:]) != checksum(r[:stateBytes-4]) {
		return fmt.Errorf("read %s, %d bytes: %w", keyState, len(r), backend.ErrDamaged)
	}
	s.clusterID = binary.LittleEndian.Uint64(r[1:])
	s.index = binary.LittleEndian.Uint64(r[9:])
	s.term = binary.LittleEndian.Uint64(r[17:])
	s.hash = binary.LittleEndian.Uint64(r[25:])
	if !is(meta.Get(keyIndex), s.index) || !is(meta.Get(keyTerm), s.term) {
		return fmt.Errorf("compare applied index %d, term %d with etcd's record: %w", s.index, s.term, backend.ErrDamaged)
	}
	if err := s.loadMembers(meta.Get(keyConfState), members, r); err != nil {
		return err
	}
	if err := s.loadWindows(meta, binary.LittleEndian.Uint32(r[33:])); err != nil {
		return err
	}
	if err := s.loadAlarms(tx, binary.LittleEndian.Uint32(r[49:])); err != nil {
		return err
	}
	if err := s.loadCheck(meta, binary.LittleEndian.Uint32(r[53:])); err != nil {
		return err
	}
	return s.loadLeases(tx, binary.LittleEndian.Uint32(r[37:]))
}

func (s *state) loadMembers(confState []byte, members *bbolt.Bucket, record []byte) error {
	s.confState = &raftpb.ConfState{}
	if checksum(confState) != binary.LittleEndian.Uint32(record[41:]) || json.Unmarshal(confState, s.confState) != nil {
		return fmt.Errorf("read %s: %w", keyConfState, backend.ErrDamaged)
	}
	err := members.ForEach(func(k, v []byte) error {
		var m Member
		if err := json.Unmarshal(v, &m); err != nil || string(k) != string(m.key()) {
			return fmt.Errorf("read member %q: %w", k, backend.ErrDamaged)
		}
		s.members = append(s.members, m)
		return nil
	})
	if err != nil {
		return err
	}
	s.members = byID(s.members) // the bucket's keys are hex without leading zeros: another order
	if checksum(EncodeMembers(s.members)) != binary.LittleEndian.Uint32(record[45:]) {
		return fmt.Errorf("read %d members: %w", len(s.members), backend.ErrDamaged)
	}
	return nil
}

func (s *state) loadWindows(meta *bbolt.Bucket, count uint32) error {
	c := meta.Cursor()
	for k, v := c.Seek([]byte(windowPrefix)); strings.HasPrefix(string(k), windowPrefix); k, v = c.Next() {
		w, err := decodeWindow(k, v)
		if err != nil {
			return err
		}
		s.insertWindow(w)
	}
	if uint32(len(s.windows)) != count {
		return fmt.Errorf("find %d dedupe windows of %d: %w", len(s.windows), count, backend.ErrDamaged)
	}
	return nil
}

func (s *state) loadLeases(tx *bbolt.Tx, count uint32) (err error) {
	if s.leases, err = lease.Load(tx); err != nil {
		return err
	}
	if uint32(s.leases.Len()) != count {
		return fmt.Errorf("find %d leases of %d: %w", s.leases.Len(), count, backend.ErrDamaged)
	}
	return nil
}

func is(b []byte, v uint64) bool { return len(b) == 8 && binary.BigEndian.Uint64(b) == v }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(parts ...[]byte) uint32 {
	sum := uint32(0)
	for _, p := range parts {
		sum = crc32.Update(sum, castagnoli, p)
	}
	return sum
}
