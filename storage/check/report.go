package check

import "slices"

// Report is what a directory holds, as far as it could be read, and what is wrong with it. A nil part could not be read.
type Report struct {
	Identity  *Identity  `json:"identity"`
	HardState *HardState `json:"hardState"`
	Log       *Log       `json:"log"`
	State     *State     `json:"state"`
	Snapshots []Snapshot `json:"snapshots"`
	Findings  []Finding  `json:"findings"`
}

// Damaged says whether anything was found that a crash alone does not leave.
func (r Report) Damaged() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Start != Note })
}

// Identity is whose data this is. Ids are hexadecimal.
type Identity struct {
	ClusterID   string `json:"clusterID"`
	MemberID    string `json:"memberID"`
	Incarnation string `json:"incarnation"`
}

// HardState is what the member has promised.
type HardState struct {
	Term      uint64 `json:"term"`
	Vote      string `json:"vote"`
	BootEpoch uint64 `json:"bootEpoch"`
}

// Log is the part of the log that can be read from its start on.
type Log struct {
	Segments int    `json:"segments"`
	Bytes    int64  `json:"bytes"`
	First    uint64 `json:"firstIndex"`
	Last     uint64 `json:"lastIndex"`
	LastTerm uint64 `json:"lastTerm"`
	Commit   uint64 `json:"commitHint"`
}

// State is what the state file holds.
type State struct {
	File            string   `json:"file"`
	Bytes           int64    `json:"bytes"`
	Index           uint64   `json:"appliedIndex"`
	Term            uint64   `json:"appliedTerm"`
	Revision        int64    `json:"revision"`
	CompactRevision int64    `json:"compactRevision"`
	Keys            int      `json:"keys"`
	Rows            int64    `json:"rows"`
	Leases          int      `json:"leases"`
	Members         []Member `json:"members"`
	Alarms          []string `json:"alarms"`
}

// Member is a member of the cluster as the state knows it.
type Member struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	PeerURLs []string `json:"peerURLs"`
}

// Snapshot is a snapshot file.
type Snapshot struct {
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
	Bytes int64  `json:"bytes"`
}

// Start is what a server does about a finding when it is started on the directory.
type Start string

// The values of Start, from good to bad.
const (
	// Note is no damage: a crash leaves such things.
	Note Start = "note"
	// Harmless is damage that costs nothing.
	Harmless Start = "harmless"
	// Repairs means that the server makes it good by itself.
	Repairs Start = "repairs"
	// Refuses means that it does not start, or takes no part.
	Refuses Start = "refuses"
	// Unsafe means that it would start, and must not be.
	Unsafe Start = "unsafe"
)

// Finding is one thing that was found.
type Finding struct {
	// Part is identity, hardstate, wal, state, snap or ballast.
	Part string `json:"part"`
	// File is relative to the data directory.
	File string `json:"file"`
	// Offset is the byte where the damage begins, nil if that is not known.
	Offset *int64 `json:"offset,omitempty"`
	// First and Last bound the indexes of the entries that are damaged; 0 where that is not known.
	First uint64 `json:"firstIndex,omitempty"`
	Last  uint64 `json:"lastIndex,omitempty"`
	What  string `json:"what"`
	Start Start  `json:"start"`
	// Then is what the server does, in words; empty for notes.
	Then string `json:"then,omitempty"`
	// Next are the commands to run, or what to do where no command does it.
	Next []string `json:"next,omitempty"`
}
