package apply

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// Refound makes the state that of another cluster with one member, durably: keys, their history, and leases stay; the
// former members, their alarms, what they asked for and the comparison of their histories go. Index and term stay as well, so the log of the new cluster
// starts after them. The history hash starts anew, so that a state of the former cluster is never taken for one of this.
//
// Nothing may have been applied that is not meant to stay. After an error the machine is of no further use.
func (m *Machine) Refound(clusterID uint64, self Member) error {
	if m.err != nil {
		return m.err
	}
	former, windows := m.members, m.windows
	m.clusterID = clusterID
	m.members, m.membersDirty = []Member{self}, true
	m.confState = confStateOf(m.members)
	m.alarms, m.check, m.windows = nil, &Check{}, nil
	m.history.sum = foundingHash(m.history.sum, clusterID, m.members)
	for i := range former {
		m.batch.Delete(backend.Members, former[i].key())
	}
	for _, w := range windows {
		m.batch.Delete(backend.Meta, w.key())
	}
	f := m.seal()
	if err := m.Flushed(f, f.Commit()); err != nil {
		return fmt.Errorf("found a new cluster at entry %d: %w", m.index, err)
	}
	return nil
}

// foundingHash is the history hash of a cluster before its first entry; before is that of what it starts from, 0 if it
// starts from nothing.
func foundingHash(before, clusterID uint64, members []Member) uint64 {
	b := binary.LittleEndian.AppendUint64(EncodeMembers(members), clusterID)
	if before != 0 {
		b = binary.LittleEndian.AppendUint64(b, before)
	}
	return xxhash.Sum64(b)
}
