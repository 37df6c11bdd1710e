package raftnode

import (
	"errors"
	"slices"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/storage/wal"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

func TestOwnRuns(t *testing.T) {
	for _, c := range []struct {
		what  string
		file  wal.Peers
		epoch uint64
		want  []uint64
	}{
		{"the first run", wal.Peers{}, 1, nil},
		{"runs before the file had any", wal.Peers{}, 4, []uint64{0, 0, 0}},
		{"the next run", wal.Peers{Epoch: 2, Runs: []uint64{7, 8}}, 3, []uint64{7, 8}},
		{"runs that ended too soon", wal.Peers{Epoch: 2, Runs: []uint64{7, 8}}, 5, []uint64{7, 8, 0, 0}},
		{"an epoch that the disk took back", wal.Peers{Epoch: 9, Runs: []uint64{7, 8, 9}}, 8, []uint64{7}},
		{"one far back", wal.Peers{Epoch: 9, Runs: []uint64{7, 8}}, 2, nil},
	} {
		if got := ownRuns(c.file, c.epoch); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
	if got := len(ownRuns(wal.Peers{Epoch: 1, Runs: []uint64{1}}, 1<<40)); got != 1+wal.MaxRuns {
		t.Errorf("%d runs", got)
	}
}

// TestJudge holds each rule against a run that just keeps it and one that just breaks it.
func TestJudge(t *testing.T) {
	message := func(kind raftpb.MessageType, term, index uint64, reject bool) *raftpb.Message {
		return &raftpb.Message{Type: &kind, Term: &term, Index: &index, Reject: &reject}
	}
	a := &acquaintances{
		met:  map[uint64]wal.Peer{2: {Member: 2, Incarnation: [16]byte{1}, Epoch: 5, Nonce: 50, Refused: 66}},
		told: map[uint64]told{},
	}
	a.takeNote(2, message(raftpb.MsgAppResp, 3, 90, false))
	a.takeNote(2, message(raftpb.MsgAppResp, 4, 20, false))
	a.takeNote(2, message(raftpb.MsgAppResp, 4, 99, true)) // refused entries are not stored
	a.takeNote(2, message(raftpb.MsgAppResp, 3, 95, false))
	a.takeNote(2, message(raftpb.MsgPreVoteResp, 9, 0, false)) // a term that nobody has
	a.takeNote(2, message(raftpb.MsgVoteResp, 4, 0, false))
	for _, c := range []struct {
		what   string
		change func(*peerpb.Hello)
		want   error
	}{
		{"the next run", func(*peerpb.Hello) {}, nil},
		{"a later run, of which others came between", func(h *peerpb.Hello) { h.Epoch, h.Runs = 8, []uint64{50, 0, 7, 60} }, nil},
		{"a run long after", func(h *peerpb.Hello) { h.Epoch = 500 }, nil},
		{"the run that was met, with less than it has now", func(h *peerpb.Hello) {
			h.Epoch, h.Nonce, h.Runs, h.Term = 5, 50, []uint64{50}, 1
		}, nil},
		{"a log in repair", func(h *peerpb.Hello) { h.Last, h.Repairing = 0, true }, nil},
		{"a shorter log in a later term", func(h *peerpb.Hello) { h.Term, h.Last = 5, 2 }, nil},
		{"another directory", func(h *peerpb.Hello) { h.Incarnation[3] = 1 }, errWiped},
		{"an older run", func(h *peerpb.Hello) { h.Epoch, h.Runs = 4, []uint64{60} }, errCopy},
		{"a second run of that epoch", func(h *peerpb.Hello) { h.Epoch, h.Runs = 5, []uint64{60} }, errCopy},
		{"a copy started once more", func(h *peerpb.Hello) { h.Runs = []uint64{51, 60} }, errCopy},
		{"a copy of before the first run", func(h *peerpb.Hello) { h.Runs = []uint64{0, 60} }, errCopy},
		{"a term forgotten", func(h *peerpb.Hello) { h.Term = 3 }, errForgetful},
		{"a term forgotten by a log in repair", func(h *peerpb.Hello) { h.Term, h.Repairing = 3, true }, errForgetful},
		{"an entry forgotten", func(h *peerpb.Hello) { h.Last = 19 }, errForgetful},
		{"what comes from a run that was refused", func(h *peerpb.Hello) { h.Epoch, h.Runs = 7, []uint64{50, 66, 60} }, errForgetful},
	} {
		h := peerpb.Hello{
			Boot: peerpb.Boot{Incarnation: [16]byte{1}, Epoch: 6, Nonce: 60}, Runs: []uint64{50, 60}, Term: 4, Last: 20,
		}
		c.change(&h)
		if err := a.judge(2, h); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
	if err := a.judge(3, peerpb.Hello{}); err != nil {
		t.Errorf("somebody new: %v", err)
	}
}
