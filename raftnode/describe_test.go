package raftnode_test

import (
	"fmt"
	"strings"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// describe names a message and tells what a reader of a script wants to know of it.
func describe(m *peerpb.Message) (kind, text string) {
	switch b := m.GetBody().(type) {
	case *peerpb.Message_Raft:
		kind = b.Raft.GetType().String()
		return kind, kind + describeRaft(b.Raft)
	case *peerpb.Message_Forward:
		return "Forward", fmt.Sprintf("Forward %d commands", len(b.Forward.GetRequests()))
	case *peerpb.Message_ForwardRefused:
		return "ForwardRefused", fmt.Sprintf("ForwardRefused %d commands: %s", len(b.ForwardRefused.GetIds()),
			b.ForwardRefused.GetReason())
	case *peerpb.Message_SnapshotFetch:
		f := b.SnapshotFetch
		return "SnapshotFetch", fmt.Sprintf("SnapshotFetch index %d from offset %d", f.GetIndex(), f.GetOffset())
	case *peerpb.Message_SnapshotChunk:
		c := b.SnapshotChunk
		return "SnapshotChunk", fmt.Sprintf("SnapshotChunk index %d, [%d,+%d) of %d", c.GetIndex(), c.GetOffset(),
			len(c.GetData()), c.GetTotal())
	case *peerpb.Message_SnapshotFailed:
		return "SnapshotFailed", fmt.Sprintf("SnapshotFailed index %d: %s", b.SnapshotFailed.GetIndex(),
			b.SnapshotFailed.GetReason())
	case *peerpb.Message_LogFetch:
		f := b.LogFetch
		return "LogFetch", fmt.Sprintf("LogFetch after index %d, known index %d, term %d", f.GetIndex(), f.GetKnownIndex(),
			f.GetKnownTerm())
	case *peerpb.Message_LogPiece:
		p := b.LogPiece
		text := fmt.Sprintf("LogPiece %s after index %d, %d entries", p.GetSource(), p.GetIndex(), len(p.GetEntries()))
		if p.GetSource() == peerpb.LogPiece_LEADS {
			text += fmt.Sprintf(" of a log to %d in term %d", p.GetLast(), p.GetTerm())
		}
		if p.GetReason() != "" {
			text += ": " + p.GetReason()
		}
		return "LogPiece", text
	}
	return describeLease(m)
}

func describeLease(m *peerpb.Message) (kind, text string) {
	switch b := m.GetBody().(type) {
	case *peerpb.Message_LeaseRenew:
		verb := "of"
		if b.LeaseRenew.GetLook() {
			verb = "looking at"
		}
		return "LeaseRenew", fmt.Sprintf("LeaseRenew %s %v, applied %d", verb, b.LeaseRenew.GetLeases(), b.LeaseRenew.GetApplied())
	case *peerpb.Message_LeaseRenewed:
		r := b.LeaseRenewed
		if r.GetOverloaded() {
			return "LeaseRenewed", "LeaseRenewed: overloaded"
		}
		return "LeaseRenewed", fmt.Sprintf("LeaseRenewed %v: %v", r.GetPlaces(), r.GetValues())
	case *peerpb.Message_LeaseRound:
		r := b.LeaseRound
		return "LeaseRound", fmt.Sprintf("LeaseRound %d of term %d for %v", r.GetNumber(), r.GetTerm(), r.GetLeases())
	case *peerpb.Message_LeaseRoundAck:
		return "LeaseRoundAck", fmt.Sprintf("LeaseRoundAck %d of term %d", b.LeaseRoundAck.GetNumber(), b.LeaseRoundAck.GetTerm())
	case *peerpb.Message_LeaseSurvey:
		s := b.LeaseSurvey
		return "LeaseSurvey", fmt.Sprintf("LeaseSurvey of term %d for %v, applied %d", s.GetTerm(), s.GetLeases(), s.GetApplied())
	case *peerpb.Message_LeaseTable:
		t := b.LeaseTable
		return "LeaseTable", fmt.Sprintf("LeaseTable of term %d: %v ms, assumed %v", t.GetTerm(), t.GetRemaining(), t.GetAssumed())
	}
	return "unknown", "unknown"
}

func describeRaft(m *raftpb.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, " term %d", m.GetTerm())
	switch m.GetType() {
	case raftpb.MsgApp:
		if es := m.GetEntries(); len(es) > 0 {
			fmt.Fprintf(&b, ", entries %d to %d", es[0].GetIndex(), es[len(es)-1].GetIndex())
		}
		fmt.Fprintf(&b, ", commit %d", m.GetCommit())
	case raftpb.MsgAppResp:
		fmt.Fprintf(&b, ", index %d", m.GetIndex())
	case raftpb.MsgSnap:
		fmt.Fprintf(&b, ", snapshot at %d", m.GetSnapshot().GetMetadata().GetIndex())
	case raftpb.MsgReadIndexResp:
		fmt.Fprintf(&b, ", index %d", m.GetIndex())
	}
	if m.GetReject() {
		b.WriteString(", rejected")
	}
	return b.String()
}

// isIdleHeartbeat tells a heartbeat that confirms no read: too many and too dull for a story.
func isIdleHeartbeat(m *peerpb.Message) bool {
	r := m.GetRaft()
	beat := r.GetType() == raftpb.MsgHeartbeat || r.GetType() == raftpb.MsgHeartbeatResp
	return beat && len(r.GetContext()) == 0
}
