package transport

import (
	"strings"
	"testing"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/transport/peerpb"
)

type checkCase struct {
	name string
	m    *peerpb.Message
	want string // part of the error; empty when the message is honest
}

// checkCases are messages on a stream from member 1 to member 2.
func checkCases() []checkCase {
	// kind is a well-formed raft message; change spoils it.
	kind := func(k raftpb.MessageType, change ...func(*raftpb.Message)) *peerpb.Message {
		m := &raftpb.Message{Type: new(k), From: new(uint64(1)), To: new(uint64(2)), Term: new(uint64(5))}
		for _, c := range change {
			c(m)
		}
		return &peerpb.Message{From: 1, To: 2, Body: &peerpb.Message_Raft{Raft: m}}
	}
	app := func(logTerm uint64, entries ...[2]uint64) func(*raftpb.Message) {
		return func(m *raftpb.Message) {
			m.Index, m.LogTerm = new(uint64(10)), new(logTerm)
			for _, e := range entries {
				m.Entries = append(m.Entries, &raftpb.Entry{Index: new(e[0]), Term: new(e[1])})
			}
		}
	}
	from := func(id uint64) func(*raftpb.Message) { return func(m *raftpb.Message) { m.From = new(id) } }
	to := func(id uint64) func(*raftpb.Message) { return func(m *raftpb.Message) { m.To = new(id) } }
	term := func(v uint64) func(*raftpb.Message) { return func(m *raftpb.Message) { m.Term = new(v) } }
	// contexts are what read indexes carry in the place of entries.
	contexts := func(n int) func(*raftpb.Message) {
		return func(m *raftpb.Message) {
			for range n {
				m.Entries = append(m.Entries, &raftpb.Entry{Data: []byte("context")})
			}
		}
	}
	refused := func(members ...uint64) *peerpb.Message {
		r := &peerpb.ForwardRefused{}
		for _, id := range members {
			r.Ids = append(r.Ids, &peerpb.RequestID{Member: id, Counter: 1})
		}
		return &peerpb.Message{From: 1, To: 2, Body: &peerpb.Message_ForwardRefused{ForwardRefused: r}}
	}
	renew := func(asker uint64) *peerpb.Message {
		r := &peerpb.LeaseRenew{Id: &peerpb.RequestID{Member: asker}, Leases: []int64{7}}
		return &peerpb.Message{From: 1, To: 2, Body: &peerpb.Message_LeaseRenew{LeaseRenew: r}}
	}
	renewed := func(asker uint64, places, values int) *peerpb.Message {
		r := &peerpb.LeaseRenewed{
			Id: &peerpb.RequestID{Member: asker}, Places: make([]uint32, places), Values: make([]int64, values),
		}
		return &peerpb.Message{From: 1, To: 2, Body: &peerpb.Message_LeaseRenewed{LeaseRenewed: r}}
	}
	survey := func(asker uint64) *peerpb.Message {
		s := &peerpb.LeaseSurvey{Id: &peerpb.RequestID{Member: asker}, Term: 5}
		return &peerpb.Message{From: 1, To: 2, Body: &peerpb.Message_LeaseSurvey{LeaseSurvey: s}}
	}
	table := func(asker uint64) *peerpb.Message {
		l := &peerpb.LeaseTable{Id: &peerpb.RequestID{Member: asker}, Term: 5}
		return &peerpb.Message{From: 1, To: 2, Body: &peerpb.Message_LeaseTable{LeaseTable: l}}
	}
	fetchLog := func(asker uint64) *peerpb.Message {
		l := &peerpb.LogFetch{Id: &peerpb.RequestID{Member: asker}, Index: 5}
		return &peerpb.Message{From: 1, To: 2, Body: &peerpb.Message_LogFetch{LogFetch: l}}
	}
	piece := func(asker uint64, entries ...[2]uint64) *peerpb.Message {
		l := &peerpb.LogPiece{Id: &peerpb.RequestID{Member: asker}, Index: 5}
		for _, e := range entries {
			l.Entries = append(l.Entries, &raftpb.Entry{Index: new(e[0]), Term: new(e[1])})
		}
		return &peerpb.Message{From: 1, To: 2, Body: &peerpb.Message_LogPiece{LogPiece: l}}
	}
	cases := []checkCase{
		{"question for a log", fetchLog(1), ""},
		{"question for a log of another", fetchLog(3), "question of member 3"},
		{"piece of a log", piece(2, [2]uint64{6, 2}, [2]uint64{7, 3}), ""},
		{"piece of a log for another", piece(3), "question of member 3"},
		{"piece of a log in the wrong place", piece(2, [2]uint64{7, 2}), "entry 7 in the place of 6"},
		{"piece of a log with a gap", piece(2, [2]uint64{6, 2}, [2]uint64{8, 2}), "entry 8 in the place of 7"},
		{"piece of a log back in term", piece(2, [2]uint64{6, 2}, [2]uint64{7, 1}), "entry 7 of term 1"},
		{"piece of a log without terms", piece(2, [2]uint64{6, 0}), "entry 6 of term 0"},
		{"append", kind(raftpb.MsgApp, app(4, [2]uint64{11, 4}, [2]uint64{12, 5})), ""},
		{"append of nothing", kind(raftpb.MsgApp, app(5)), ""},
		{"append with a gap", kind(raftpb.MsgApp, app(4, [2]uint64{11, 4}, [2]uint64{13, 5})), "entry 13 in the place of 12"},
		{"append in the wrong place", kind(raftpb.MsgApp, app(4, [2]uint64{10, 4})), "entry 10 in the place of 11"},
		{"append back in term", kind(raftpb.MsgApp, app(4, [2]uint64{11, 3})), "entry 11 of term 3"},
		{"append from the future", kind(raftpb.MsgApp, app(4, [2]uint64{11, 6})), "entry 11 of term 6"},
		{"heartbeat with entries", kind(raftpb.MsgHeartbeat, app(4, [2]uint64{11, 4})), "with entries"},
		{"acknowledgement", kind(raftpb.MsgAppResp), ""},
		{"vote", kind(raftpb.MsgVote), ""},
		{"pre-vote", kind(raftpb.MsgPreVote), ""},
		{"timeout now", kind(raftpb.MsgTimeoutNow), ""},
		{"snapshot", kind(raftpb.MsgSnap), ""},
		{"read index", kind(raftpb.MsgReadIndex, term(0), contexts(1)), ""},
		{"read index answer", kind(raftpb.MsgReadIndexResp, contexts(1)), ""},
		{"read index without a context", kind(raftpb.MsgReadIndex, term(0)), "with 0 contexts"},
		{"read index with two contexts", kind(raftpb.MsgReadIndex, term(0), contexts(2)), "with 2 contexts"},
		{"vote without a term", kind(raftpb.MsgVote, term(0)), "without a term"},
		{"proposal", kind(raftpb.MsgProp, term(0)), "not forwarded"},
		{"raft from another", kind(raftpb.MsgVote, from(3)), "from 3 on a stream of 1"},
		{"raft from nobody", kind(raftpb.MsgVote, from(0)), "from 0 on a stream of 1"},
		{"raft to another", kind(raftpb.MsgVote, to(3)), "to 3 arrived at 2"},
		{"attached responses", kind(raftpb.MsgAppResp, func(m *raftpb.Message) {
			m.Responses = []*raftpb.Message{{}}
		}), "attached responses"},
		{"raft without content", &peerpb.Message{From: 1, To: 2, Body: &peerpb.Message_Raft{Raft: &raftpb.Message{}}}, "local"},
		{"message from another", &peerpb.Message{From: 3, To: 2, Body: forward(3, 2, 1).Body}, "from 3 on a stream of 1"},
		{"message to another", &peerpb.Message{From: 1, To: 3, Body: forward(1, 3, 1).Body}, "to 3 arrived at 2"},
		{"forward", forward(1, 2, 9), ""},
		{"forward without ids", &peerpb.Message{From: 1, To: 2, Body: &peerpb.Message_Forward{
			Forward: &peerpb.Forward{Epoch: 1, Requests: [][]byte{{}}}}}, "0 counters for 1 forwarded requests"},
		{"refusal", refused(2, 2), ""},
		{"refusal of another's", refused(2, 3), "refusal of a command of member 3"},
		{"renewal", renew(1), ""},
		{"renewal for another", renew(3), "question of member 3"},
		{"renewed", renewed(2, 1, 1), ""},
		{"renewed for another", renewed(3, 1, 1), "question of member 3"},
		{"renewed without a value", renewed(2, 2, 1), "1 values for 2 renewed leases"},
		{"round", &peerpb.Message{From: 1, To: 2, Body: &peerpb.Message_LeaseRound{LeaseRound: &peerpb.LeaseRound{}}}, ""},
		{"survey", survey(1), ""},
		{"survey for another", survey(2), "question of member 2"},
		{"table", table(2), ""},
		{"table for another", table(1), "question of member 1"},
		{"chunk", chunk(1, 2, 9, []byte("data")), ""},
		{"no body", &peerpb.Message{From: 1, To: 2}, "without a body"},
	}
	for k := range raftpb.MessageType_name {
		k := raftpb.MessageType(k)
		if raft.IsLocalMsg(k) {
			cases = append(cases, checkCase{"local " + k.String(), kind(k), "local to a node"})
		}
	}
	for _, id := range []uint64{raft.LocalAppendThread, raft.LocalApplyThread} {
		cases = append(cases,
			checkCase{"from a local thread", kind(raftpb.MsgAppResp, from(id)), "local storage thread"},
			checkCase{"to a local thread", kind(raftpb.MsgAppResp, to(id)), "local storage thread"})
	}
	return cases
}

func TestCheck(t *testing.T) {
	locals := 0
	for _, c := range checkCases() {
		if strings.HasPrefix(c.name, "local ") {
			locals++
		}
		before := proto.Clone(c.m)
		err := Check(c.m, 1, 2)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
		if !proto.Equal(before, c.m) {
			t.Errorf("%s: the check changed the message", c.name)
		}
	}
	if locals < 9 {
		t.Errorf("only %d local message types tested", locals)
	}
}
