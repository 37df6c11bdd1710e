package apply

import (
	"fmt"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// State is what a state file says about itself.
type State struct {
	ClusterID, Index, Term uint64
	Members                []Member
	Leases                 int
}

// Inspect reads everything but the key space, and verifies it.
func Inspect(db *backend.DB) (State, error) {
	var s state
	err := db.Read(s.load)
	if err != nil {
		return State{}, fmt.Errorf("load state: %w", err)
	}
	return State{ClusterID: s.clusterID, Index: s.index, Term: s.term, Members: s.members, Leases: s.leases.Len()}, nil
}
