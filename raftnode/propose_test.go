package raftnode

import (
	"bytes"
	"testing"

	"github.com/hashicorp/go-hclog"
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// TestRaftCopiesProposals: the memory that a batch is encoded in is used for the next one, while raft holds the entry.
func TestRaftCopiesProposals(t *testing.T) {
	storage := raft.NewMemoryStorage()
	if err := storage.ApplySnapshot(&raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
		Index: new(uint64(1)), Term: new(uint64(1)), ConfState: &raftpb.ConfState{Voters: []uint64{1}},
	}}); err != nil {
		t.Fatal(err)
	}
	raw, err := raft.NewRawNode(&raft.Config{
		ID: 1, ElectionTick: 10, HeartbeatTick: 1, Storage: storage, MaxSizePerMsg: 1 << 20, MaxInflightMsgs: 16, Applied: 1,
		Logger: raftLogger{hclog.NewNullLogger()},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Campaign(); err != nil {
		t.Fatal(err)
	}
	for raw.HasReady() {
		rd := raw.Ready()
		if err := storage.Append(rd.Entries); err != nil {
			t.Fatal(err)
		}
		raw.Advance(rd)
	}
	data := []byte("batch")
	if err := raw.Propose(data); err != nil {
		t.Fatal(err)
	}
	copy(data, "next!")
	entries := raw.Ready().Entries
	if len(entries) != 1 || !bytes.Equal(entries[0].GetData(), []byte("batch")) {
		t.Errorf("raft holds %v", entries)
	}
}
