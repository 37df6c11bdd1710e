package sim

import (
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/transport"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// A message may arrive damaged, cut short, or forged: with the right checksum, and not as the peer whose stream it comes on
// may send it. The transport must refuse every one of them, and the node never hears of it. What is damaged ends its stream,
// as with gRPC, and the message is lost.

// garbled delivers such a version of a message besides, or instead of, the message itself.
func (n *network) garbled(from, to int, m *peerpb.Message, b []byte) (instead bool) {
	if n.rng.Float64() >= n.w.opt.Garble {
		return false
	}
	at := n.w.queue.now + n.delay()
	switch n.rng.IntN(3) {
	case 0:
		bad := slices.Clone(b)
		first := n.rng.IntN(len(bad))
		for i := range 1 + n.rng.IntN(3) { // in a row, so that none is changed back
			bad[(first+i)%len(bad)] ^= byte(1 + n.rng.IntN(255))
		}
		n.w.queue.at(at, func() { n.refused(from, to, bad, "damaged") })
		return true
	case 1:
		bad := b[:n.rng.IntN(len(b))]
		n.w.queue.at(at, func() { n.refused(from, to, bad, "cut short") })
		return true
	}
	forged := proto.Clone(m).(*peerpb.Message)
	what := n.forge(forged)
	bad, err := transport.Encode(forged)
	if err != nil {
		panic(err)
	}
	n.w.queue.at(at, func() { n.refused(from, to, bad, what) })
	return false
}

// refused lets the transport look at a message that must get no further.
func (n *network) refused(from, to int, b []byte, what string) {
	target := n.w.nodes[to]
	if n.cut[[2]int{from, to}] || target.raft == nil {
		return
	}
	n.w.count.Garbled++
	n.w.trace.event(n.w.queue.now, to+1, "refuse what is "+what, uint64(from+1))
	m := &peerpb.Message{}
	err := transport.Decode(b, m)
	if err != nil {
		n.lost(from, to)
	} else {
		err = transport.Check(m, uint64(from+1), target.id)
	}
	if err == nil {
		n.w.violation("node %d takes a message that is %s: %s from node %d", to+1, what, describe(m), from+1)
	}
}

// forge makes a message one that its sender has no right to send, and says why.
func (n *network) forge(m *peerpb.Message) string {
	other := m.GetFrom()%uint64(len(n.w.nodes)) + 1
	switch n.rng.IntN(3) {
	case 0:
		m.From = other
		return "another's"
	case 1:
		m.To = m.GetFrom()
		return "for another"
	}
	r := m.GetRaft()
	if r == nil {
		m.Body = nil
		return "without a body"
	}
	switch n.rng.IntN(7) {
	case 0:
		r.From = &other
		return "raft's of another"
	case 1:
		r.Type, r.From = new(raftpb.MsgStorageAppendResp), new(raft.LocalAppendThread)
		return "of a disk"
	case 2:
		r.Type = new([...]raftpb.MessageType{raftpb.MsgHup, raftpb.MsgBeat, raftpb.MsgUnreachable, raftpb.MsgSnapStatus,
			raftpb.MsgCheckQuorum, raftpb.MsgStorageApplyResp}[n.rng.IntN(6)])
		return "local to a node"
	case 3:
		r.Type = new(raftpb.MsgProp)
		return "a proposal"
	case 4:
		r.Type = new(raftpb.MessageType(len(raftpb.MessageType_name) + n.rng.IntN(100)))
		return "of an unknown type"
	case 5:
		r.Responses = []*raftpb.Message{{Type: new(raftpb.MsgVoteResp), Term: r.Term, From: r.From, To: r.To}}
		return "one with attached responses"
	}
	r.Type, r.Term = new(raftpb.MsgApp), new(r.GetTerm()+1)
	r.Entries = []*raftpb.Entry{{Index: new(r.GetIndex() + 2), Term: r.Term}}
	return "one with a gap before its entries"
}
