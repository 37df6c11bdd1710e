package raftnode

import (
	"fmt"
	"hash/crc32"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/storage/snap"
	"github.com/quorumkv/quorumkv/storage/wal"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// askLog asks the peer for the next piece of what the log lost.
func (n *Node) askLog() {
	p := n.repair
	p.number++
	p.question, p.asked = p.number, n.env.Clock.Now()
	n.send(p.peer, &peerpb.Message{Body: &peerpb.Message_LogFetch{LogFetch: &peerpb.LogFetch{
		Id: &peerpb.RequestID{Member: n.self.Member, Epoch: n.self.Epoch, Counter: p.question}, Index: p.next(),
		KnownIndex: p.behind.Index, KnownTerm: p.behind.Term,
	}}})
}

// next is the index behind which entries are asked for.
func (p *logRepair) next() uint64 { return p.from.Index + uint64(len(p.got)) }

// repairTick asks whoever's turn it is: the next peer if the last question got no answer.
func (n *Node) repairTick(now time.Duration) {
	p := n.repair
	switch {
	case p == nil || p.busy || n.fetch != nil || n.staged != nil || now-p.asked < snapshotRetry:
	case p.finish != nil:
		p.finish()
	default:
		if p.question != 0 {
			p.answers[p.peer] = "no answer"
			n.turnToNext()
		}
		n.askLog()
	}
}

// turnToNext takes note that a peer cannot help, and reports when all were asked.
func (n *Node) turnToNext() {
	p := n.repair
	p.restart()
	last := p.peer
	if p.peer = n.nextPeer(last); p.peer <= last {
		n.logger.Warn("log not repaired yet: nobody could help", "state", p.describe())
	}
}

// cannotHelp notes what a peer said, and asks the next one at once unless that would make a race around the cluster.
func (n *Node) cannotHelp(reason string) {
	p := n.repair
	last := p.peer
	p.answers[last] = reason
	n.turnToNext()
	if p.peer > last {
		n.askLog()
	}
}

// logPiece takes an answer. Those that are late or were not asked for are dropped: an old one might say that a log ends
// where it ended once.
func (n *Node) logPiece(from uint64, m *peerpb.LogPiece) {
	p := n.repair
	id := m.GetId()
	if p == nil || p.busy || from != p.peer || id.GetEpoch() != n.self.Epoch || id.GetCounter() != p.question ||
		m.GetIndex() != p.next() || crcOf(m.GetEntries()) != m.GetCrc() {
		return
	}
	p.question = 0
	switch m.GetSource() {
	case peerpb.LogPiece_HOLDS:
		n.pieceOfHolder(m)
	case peerpb.LogPiece_LEADS:
		n.pieceOfLeader(from, m)
	case peerpb.LogPiece_COMPACTED:
		p.answers[from] = "its log begins later, a snapshot of it is needed"
		n.restoreState(from)
	default:
		n.cannotHelp(m.GetReason())
	}
}

// pieceOfHolder takes entries of a log that has the entry behind the gap.
func (n *Node) pieceOfHolder(m *peerpb.LogPiece) {
	p := n.repair
	if p.lead.term != 0 { // it has led when it was asked first, and now has what is better
		p.restart()
		n.askLog()
		return
	}
	p.got = append(p.got, m.GetEntries()...)
	missing := int(p.behind.Index - p.from.Index)
	switch {
	case len(p.got) < missing && len(m.GetEntries()) > 0:
		n.askLog()
	case len(p.got) < missing || p.got[missing-1].GetTerm() != p.behind.Term:
		n.cannotHelp(fmt.Sprintf("does not send entry %d of term %d, which it says it has", p.behind.Index, p.behind.Term))
	default:
		entries := p.got[:missing:missing]
		if err := p.check(entries); err != nil {
			n.logger.Error("a member sent entries that are not those of this log", "member", hex(p.peer), "error", err)
			n.cannotHelp(fmt.Sprintf("what it sends is wrong: %v", err))
			return
		}
		n.finishRepair(append(entries, p.tail...), 0)
	}
}

// pieceOfLeader takes entries of a leader's log, up to where that ended when it answered first.
func (n *Node) pieceOfLeader(from uint64, m *peerpb.LogPiece) {
	p := n.repair
	lead := leaderLog{peer: from, term: m.GetTerm(), last: p.lead.last}
	switch {
	case m.GetTerm() < max(n.mem.hard.GetTerm(), p.from.Term):
		n.cannotHelp(fmt.Sprintf("leads in term %d, which is over", m.GetTerm()))
		return
	case m.GetLast() < p.from.Index:
		n.cannotHelp(fmt.Sprintf("leads with a log that ends at %d", m.GetLast()))
		return
	case lead != p.lead && len(p.got) > 0: // of somebody else, or of another term
		p.restart()
		n.askLog()
		return
	case len(p.got) == 0:
		lead.last = m.GetLast()
	}
	p.lead = lead
	p.got = append(p.got, m.GetEntries()...)
	missing := lead.last - p.from.Index
	switch {
	case uint64(len(p.got)) >= missing:
		n.finishRepair(p.got[:missing:missing], lead.term)
	case len(m.GetEntries()) > 0:
		n.askLog()
	}
	// Without entries they are on their way to its disk: repairTick asks again.
}

// serveLog answers a peer that lost entries.
func (n *Node) serveLog(from uint64, q *peerpb.LogFetch) {
	a := &peerpb.LogPiece{Id: q.GetId(), Index: q.GetIndex()}
	n.fillPiece(a, q)
	a.Crc = crcOf(a.GetEntries())
	n.send(from, &peerpb.Message{Body: &peerpb.Message_LogPiece{LogPiece: a}})
}

func (n *Node) fillPiece(a *peerpb.LogPiece, q *peerpb.LogFetch) {
	if p := n.repair; p != nil {
		// It vouches for no log, but what it read with the right checksums it read.
		entries, ok := p.intact(q.GetIndex(), wal.Snapshot{Index: q.GetKnownIndex(), Term: q.GetKnownTerm()})
		if !ok {
			a.Reason = "has lost entries of its own"
			return
		}
		a.Source, a.Last, a.Entries = peerpb.LogPiece_HOLDS, q.GetKnownIndex(), upTo(entries, maxSizePerMsg)
		return
	}
	known, err := n.mem.Term(q.GetKnownIndex())
	switch {
	case q.GetIndex() < n.mem.baseIndex:
		a.Source = peerpb.LogPiece_COMPACTED
		return
	case q.GetKnownIndex() > q.GetIndex() && err == nil && known == q.GetKnownTerm():
		a.Source, a.Last = peerpb.LogPiece_HOLDS, q.GetKnownIndex()
	case n.raw != nil && n.raw.BasicStatus().RaftState == raft.StateLeader:
		// Entries on their way to this disk count: others may have acknowledged them already.
		a.Source, a.Term = peerpb.LogPiece_LEADS, n.raw.BasicStatus().GetTerm()
		a.Last = max(n.appends.last, n.mem.last())
	default:
		a.Reason = "does not lead"
		if q.GetKnownIndex() > 0 {
			a.Reason = fmt.Sprintf("has no entry %d of term %d, and does not lead", q.GetKnownIndex(), q.GetKnownTerm())
		}
		return
	}
	if end := min(a.GetLast(), n.mem.last()); q.GetIndex() < end {
		a.Entries, _ = n.mem.Entries(q.GetIndex()+1, end+1, maxSizePerMsg) // both are within the log
	}
}

// upTo returns the first entries, one at least, that together have no more than that many bytes.
func upTo(entries []*raftpb.Entry, bytes uint64) []*raftpb.Entry {
	size := uint64(0)
	for i, e := range entries {
		if size += entrySize(e); size > bytes && i > 0 {
			return entries[:i]
		}
	}
	return entries
}

func crcOf(entries []*raftpb.Entry) uint32 {
	crc := uint32(0)
	for _, e := range entries {
		crc = crc32.Update(crc, castagnoli, e.GetData())
	}
	return crc
}

// installUnderRepair puts a fetched snapshot in place of the state, and goes on with the log from there. The damaged log
// stays until it can be replaced: a crash in between finds it as it is, and a newer state.
func (n *Node) installUnderRepair(from uint64) {
	s, p := n.staged, n.repair
	if s.meta.Index <= p.from.Index {
		n.discardStaged(func() { n.cannotHelp(fmt.Sprintf("offers an older snapshot, at index %d", s.meta.Index)) })
		return
	}
	n.switchTo(s, func(opened) { n.goOnBehind(s.meta) })
}

// goOnBehind takes the state's entry for the last one that is sure.
func (n *Node) goOnBehind(m snap.Meta) {
	p := n.repair
	end := p.behind.Index + uint64(len(p.tail))
	known := p.behind.Index != 0
	p.begin(m)
	n.mem.reset(m.Index, m.Term, m.ConfState)
	if rest, ok := p.joined(); ok {
		n.finishRepair(rest, 0)
		return
	}
	if known && m.Index >= end {
		n.finishRepair(nil, 0) // all that the log ever had is in the state, or was never committed
		return
	}
	n.askLog()
}
