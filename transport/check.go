package transport

import (
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// Check says why a message that arrived at self on a stream of the member from must not go further, or nil. The
// simulator's network passes everything through it, as the streams do.
func Check(m *peerpb.Message, from, self uint64) error {
	if m.GetFrom() != from {
		return fmt.Errorf("message from %x on a stream of %x", m.GetFrom(), from)
	}
	if m.GetTo() != self {
		return fmt.Errorf("message to %x arrived at %x", m.GetTo(), self)
	}
	switch body := m.GetBody().(type) {
	case *peerpb.Message_Raft:
		return checkRaft(body.Raft, from, self)
	case *peerpb.Message_Forward:
		if f := body.Forward; len(f.GetCounters()) != len(f.GetRequests()) {
			return fmt.Errorf("%d counters for %d forwarded requests", len(f.GetCounters()), len(f.GetRequests()))
		}
	case *peerpb.Message_ForwardRefused:
		for _, id := range body.ForwardRefused.GetIds() {
			if id.GetMember() != self {
				return fmt.Errorf("refusal of a command of member %x sent to %x", id.GetMember(), self)
			}
		}
	case *peerpb.Message_LeaseRenew:
		return checkAsker(body.LeaseRenew.GetId(), from)
	case *peerpb.Message_LeaseRenewed:
		if r := body.LeaseRenewed; len(r.GetPlaces()) != len(r.GetValues()) {
			return fmt.Errorf("%d values for %d renewed leases", len(r.GetValues()), len(r.GetPlaces()))
		}
		return checkAsker(body.LeaseRenewed.GetId(), self)
	case *peerpb.Message_LeaseSurvey:
		return checkAsker(body.LeaseSurvey.GetId(), from)
	case *peerpb.Message_LeaseTable:
		return checkAsker(body.LeaseTable.GetId(), self)
	case *peerpb.Message_LogFetch:
		return checkAsker(body.LogFetch.GetId(), from)
	case *peerpb.Message_LogPiece:
		return checkPiece(body.LogPiece, self)
	case nil:
		return fmt.Errorf("message without a body that this version knows")
	}
	return nil
}

// checkAsker makes sure that a question, or the answer to one, carries an id of who asks.
func checkAsker(id *peerpb.RequestID, asker uint64) error {
	if id.GetMember() != asker {
		return fmt.Errorf("question of member %x in the place of one of %x", id.GetMember(), asker)
	}
	return nil
}

// checkPiece makes sure that a piece of a log continues at the index it claims, with terms that never fall.
func checkPiece(p *peerpb.LogPiece, self uint64) error {
	term := uint64(0)
	for i, e := range p.GetEntries() {
		if want := p.GetIndex() + uint64(i) + 1; e.GetIndex() != want {
			return fmt.Errorf("piece of a log with entry %d in the place of %d", e.GetIndex(), want)
		}
		if e.GetTerm() < term || e.GetTerm() == 0 {
			return fmt.Errorf("piece of a log with entry %d of term %d after one of term %d", e.GetIndex(), e.GetTerm(), term)
		}
		term = e.GetTerm()
	}
	return checkAsker(p.GetId(), self)
}

func checkRaft(m *raftpb.Message, from, self uint64) error {
	kind := m.GetType()
	_, known := raftpb.MessageType_name[int32(kind)]
	switch {
	case !known: // raft indexes arrays with it
		return fmt.Errorf("raft message of unknown type %d", kind)
	case raft.IsLocalMsg(kind):
		return fmt.Errorf("%s is local to a node", kind)
	case raft.IsLocalMsgTarget(m.GetFrom()) || raft.IsLocalMsgTarget(m.GetTo()):
		return fmt.Errorf("%s from or to a local storage thread", kind)
	case m.GetFrom() != from:
		return fmt.Errorf("%s from %x on a stream of %x", kind, m.GetFrom(), from)
	case m.GetTo() != self:
		return fmt.Errorf("%s to %x arrived at %x", kind, m.GetTo(), self)
	case len(m.GetResponses()) > 0:
		return fmt.Errorf("%s with attached responses", kind)
	case kind == raftpb.MsgProp:
		// A proposal that the network duplicates would be applied twice. Commands travel as Forward, with an id.
		return fmt.Errorf("%s: proposals are not forwarded by raft", kind)
	case m.GetTerm() == 0 && kind != raftpb.MsgReadIndex:
		// raft takes a message without a term for one of its own.
		return fmt.Errorf("%s without a term", kind)
	}
	return checkEntries(m)
}

// checkEntries makes sure that a MsgApp continues at the index it claims; raft does arithmetic with it.
func checkEntries(m *raftpb.Message) error {
	entries := m.GetEntries()
	switch m.GetType() {
	case raftpb.MsgApp:
	case raftpb.MsgReadIndex, raftpb.MsgReadIndexResp:
		// Their one entry is no entry: it carries the context of the read.
		if len(entries) != 1 {
			return fmt.Errorf("%s with %d contexts", m.GetType(), len(entries))
		}
		return nil
	default:
		if len(entries) > 0 {
			return fmt.Errorf("%s with entries", m.GetType())
		}
	}
	term := m.GetLogTerm()
	for i, e := range entries {
		if want := m.GetIndex() + uint64(i) + 1; e.GetIndex() != want {
			return fmt.Errorf("%s with entry %d in the place of %d", m.GetType(), e.GetIndex(), want)
		}
		if e.GetTerm() < term || e.GetTerm() > m.GetTerm() {
			return fmt.Errorf("%s of term %d with entry %d of term %d after one of term %d",
				m.GetType(), m.GetTerm(), e.GetIndex(), e.GetTerm(), term)
		}
		term = e.GetTerm()
	}
	return nil
}
