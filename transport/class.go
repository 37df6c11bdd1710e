package transport

import (
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// class is a kind of traffic with its own queue, stream and connection. Its String is part of the handshake.
type class int

const (
	control class = iota
	bulk
	snapshot
	classes // how many there are
)

func (c class) String() string { return [classes]string{"control", "bulk", "snapshot"}[c] }

func parseClass(s string) (class, bool) {
	for c := range classes {
		if c.String() == s {
			return c, true
		}
	}
	return 0, false
}

// limits bounds one queue. The control queue holds seconds of heartbeats. The bulk queue holds what raft lets be in
// flight to one peer (16 MiB, 256 messages) and as much again for forwarded commands. Snapshot chunks are asked for one
// by one, so their queue is short.
func (c class) limits() (count, bytes int) {
	switch c {
	case control:
		return 4096, 4 << 20
	case bulk:
		return 4096, 32 << 20
	default:
		return 64, 16 << 20
	}
}

// classOf sorts a message. A MsgApp goes as bulk even when it is empty: it names the entry before it, and if it overtook
// that entry the follower would reject it and the leader fall back to probing.
func classOf(m *peerpb.Message) class {
	switch body := m.GetBody().(type) {
	case *peerpb.Message_Raft:
		switch body.Raft.GetType() {
		case raftpb.MsgApp, raftpb.MsgSnap:
			return bulk
		}
		return control
	case *peerpb.Message_SnapshotFetch, *peerpb.Message_SnapshotChunk, *peerpb.Message_SnapshotFailed,
		*peerpb.Message_LogFetch, *peerpb.Message_LogPiece:
		return snapshot // asked for piece by piece
	case *peerpb.Message_LeaseRenew, *peerpb.Message_LeaseRenewed, *peerpb.Message_LeaseRound, *peerpb.Message_LeaseRoundAck:
		return control // small, and no lease must run out behind a full log
	default:
		return bulk
	}
}

// weightOf estimates a message's size in memory and on the wire, without the walk over every field that proto.Size is.
func weightOf(m *peerpb.Message) int {
	const message, element = 96, 48
	w := message
	switch body := m.GetBody().(type) {
	case *peerpb.Message_Raft:
		w += len(body.Raft.GetContext()) + len(body.Raft.GetSnapshot().GetData())
		for _, e := range body.Raft.GetEntries() {
			w += element + len(e.GetData())
		}
	case *peerpb.Message_Forward:
		for _, r := range body.Forward.GetRequests() {
			w += element + len(r)
		}
	case *peerpb.Message_ForwardRefused:
		w += element * len(body.ForwardRefused.GetIds())
	case *peerpb.Message_LeaseRenew:
		w += 8 * len(body.LeaseRenew.GetLeases())
	case *peerpb.Message_LeaseRenewed:
		w += 12 * len(body.LeaseRenewed.GetPlaces())
	case *peerpb.Message_LeaseRound:
		w += 8 * len(body.LeaseRound.GetLeases())
	case *peerpb.Message_LeaseSurvey:
		w += 8 * len(body.LeaseSurvey.GetLeases())
	case *peerpb.Message_LeaseTable:
		w += 8*len(body.LeaseTable.GetRemaining()) + 4*len(body.LeaseTable.GetAssumed())
	case *peerpb.Message_SnapshotChunk:
		w += len(body.SnapshotChunk.GetData())
	case *peerpb.Message_LogPiece:
		for _, e := range body.LogPiece.GetEntries() {
			w += element + len(e.GetData())
		}
	}
	return w
}
