package raftnode

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/storage/snap"
	"github.com/quorumkv/quorumkv/storage/wal"
)

// A node whose log lost entries that it may have acknowledged cannot vouch for what it holds: until it can again it keeps
// silent, which is to say that raft is not started. It neither votes nor acknowledges nor serves.
//
// The log is whole again once it holds every entry that this node acknowledged, and ends where nothing of that is missing:
//
//   - All up to an applied index is in the state. If what is damaged lies below it, nothing is missing: the log begins
//     anew there.
//   - What is left behind the damage names an entry by index and term. A log that has that entry is, by Log Matching,
//     the same as the lost one up to it: whoever has it, leader or not, can fill the gap.
//   - Otherwise a leader of a term T not older than any this node knows helps. What this node acknowledged in T is in that
//     leader's log, what was committed before T too. So its log up to where it ends now has all that counts. T is stored
//     before raft starts, so that nothing is acknowledged, and nobody voted for, in an older one.
//   - A snapshot stands for all entries up to its own.
type logRepair struct {
	lost *wal.CorruptError
	// The rebuilt log begins with base. kept leads from there to from, an entry that is committed; from.Index is 0 while
	// there is none.
	base wal.Snapshot
	kept []*raftpb.Entry
	from snap.Meta
	// behind is the entry known behind the damage, and tail what follows it to the log's end. Index 0: none is known.
	behind wal.Snapshot
	tail   []*raftpb.Entry
	left   wal.Remains // all that is intact, for others

	peer     uint64
	question uint64 // the last one's number; 0 once it is answered
	number   uint64 // of questions
	asked    time.Duration
	got      []*raftpb.Entry   // behind from, so far
	lead     leaderLog         // whose log got is from; zero if it is from whoever has behind
	answers  map[uint64]string // what peers said last
	finish   func()            // the last step, while it waits for space
	busy     bool              // the last step is on the wal lane
}

// leaderLog is a leader's log as of the first answer to this node.
type leaderLog struct{ peer, term, last uint64 }

// openLog opens the log, which was read, with that error. It returns a log under repair if it is damaged in a way that only
// others can help with.
func (n *Node) openLog(log *wal.Reading, err error, applied uint64) (rec wal.Recovered, _ *logRepair, _ error) {
	if err == nil {
		rec, err = n.tryOpenLog(log, applied)
	}
	var corrupt *wal.CorruptError
	if !errors.As(err, &corrupt) && !errors.Is(err, fs.ErrNotExist) {
		return rec, nil, err
	}
	n.logger.Error("write-ahead log has lost entries", "error", err)
	left, salvage := wal.Salvage(n.env.FS, walDir, walConfig(n.cfg, n.identity), applied)
	if salvage != nil {
		return rec, nil, errors.Join(err, salvage)
	}
	p := n.planRepair(left, applied)
	entries, joined := p.joined()
	if !joined {
		if p.lost == nil {
			p.lost = corrupt
		}
		return rec, p, nil
	}
	if err := n.rebuildLog(p, entries, 0); err != nil {
		return rec, nil, err
	}
	n.stats.Repairs++
	n.logger.Warn("log repaired: the state has all that was damaged", "index", applied)
	rec, err = n.tryOpenLog(nil, applied)
	return rec, nil, err
}

// tryOpenLog opens a log that was read, or reads it as well if it is nil.
func (n *Node) tryOpenLog(log *wal.Reading, applied uint64) (rec wal.Recovered, err error) {
	err = retrying(n.env.FS, func() (err error) {
		if log == nil {
			if log, err = wal.Read(n.env.FS, walDir, walConfig(n.cfg, n.identity)); err != nil {
				return err
			}
		}
		n.disk.log, rec, err = log.Open(applied)
		log = nil // opened or not, it is of no more use
		return err
	})
	return rec, err
}

// planRepair finds out from where on entries are missing.
func (n *Node) planRepair(left wal.Remains, applied uint64) *logRepair {
	p := &logRepair{lost: left.Damage, left: left, answers: map[uint64]string{}}
	switch {
	case n.state.machine != nil:
		_, term := n.state.machine.Applied()
		p.begin(snap.Meta{Index: applied, Term: term, ConfState: n.state.machine.ConfState()})
	case left.Base.Index > 0:
		p.base, p.kept = left.Base, left.Entries[:left.Commit-left.Base.Index]
		p.from = snap.Meta{Index: left.Base.Index, Term: left.Base.Term}
		if k := len(p.kept); k > 0 {
			p.from.Index, p.from.Term = p.kept[k-1].GetIndex(), p.kept[k-1].GetTerm()
		}
	}
	if left.Complete {
		p.behind, p.tail = left.Behind, left.Tail
	}
	return p
}

// begin lets the log begin behind a state.
func (p *logRepair) begin(m snap.Meta) {
	p.from, p.base, p.kept = m, wal.Snapshot{Index: m.Index, Term: m.Term, ConfState: m.ConfState}, nil
	p.restart()
}

// restart forgets what peers have sent.
func (p *logRepair) restart() { p.got, p.lead = nil, leaderLog{} }

// joined returns the entries behind from if what is left of the log has them all. What is left is forgotten if it does not
// fit, for then it is of no use to anybody.
func (p *logRepair) joined() ([]*raftpb.Entry, bool) {
	if p.behind.Index == 0 || p.from.Index < p.behind.Index {
		return nil, false
	}
	at := p.from.Index - p.behind.Index
	if at == 0 && p.from.Term == p.behind.Term {
		return p.tail, true
	}
	if at > 0 && at <= uint64(len(p.tail)) && p.tail[at-1].GetTerm() == p.from.Term {
		return p.tail[at:], true
	}
	p.behind, p.tail = wal.Snapshot{}, nil
	return nil, false
}

// rebuildLog replaces the damaged log, on the wal lane or before there is one.
func (n *Node) rebuildLog(p *logRepair, entries []*raftpb.Entry, term uint64) error {
	// A log that ends in a later term than the one stored would be offered to a leader that was deposed.
	if term = max(term, p.from.Term); term > n.disk.hard.Term {
		if err := n.disk.saveHard(appendWork{term: term}); err != nil {
			return err
		}
	}
	all := append(slices.Clip(p.kept), entries...)
	err := retrying(n.env.FS, func() error {
		return wal.Rebuild(n.env.FS, walDir, walConfig(n.cfg, n.identity), p.base, all, p.from.Index)
	})
	if err != nil {
		return fmt.Errorf("repair the write-ahead log: %w", err)
	}
	return nil
}

// prepareRepair readies a node to ask its peers for what its log lost.
func (n *Node) prepareRepair(p *logRepair) error {
	n.mem.reset(p.base.Index, p.base.Term, p.from.ConfState)
	n.mem.append(p.kept)
	if n.mem.conf == nil {
		n.mem.conf = p.base.ConfState
	}
	if n.mem.conf == nil {
		n.mem.conf = initialConf(n.founders)
	}
	n.mem.setHard(n.disk.hard.Term, n.disk.hard.Vote, p.from.Index)
	if p.peer = n.nextPeer(n.self.Member); p.peer == 0 {
		return fmt.Errorf("%s; there is no other member to fetch it from, and nothing was changed on disk: restore this node "+
			"from a backup, or %s", p.missing(), n.lastResort())
	}
	n.repair = p
	n.logger.Warn("taking no part in the cluster until the log is repaired", "missing", p.missing())
	n.env.Post(n.askLog)
	return nil
}

// intact returns the entries behind index up to the known entry, if the known one and all of those lie in one piece of what
// is left. Such a piece was once the end of this log, so Log Matching holds for it.
func (p *logRepair) intact(index uint64, known wal.Snapshot) ([]*raftpb.Entry, bool) {
	for _, piece := range []struct {
		base    wal.Snapshot
		entries []*raftpb.Entry
	}{{p.left.Base, p.left.Entries}, {p.left.Behind, p.left.Tail}} {
		if index < piece.base.Index || known.Index <= index || known.Index > piece.base.Index+uint64(len(piece.entries)) {
			continue
		}
		entries := piece.entries[index-piece.base.Index : known.Index-piece.base.Index]
		if entries[len(entries)-1].GetTerm() == known.Term {
			return entries, true
		}
	}
	return nil, false
}

// check compares the entries between from and behind with what the log still says of them. It says nothing of frames of
// which from covers a part. A leader's log is not held against it: what was never committed may be another there.
func (p *logRepair) check(entries []*raftpb.Entry) error {
	base := p.from.Index
	for _, f := range p.left.Lost {
		if f.First <= base || f.Last > p.behind.Index {
			continue
		}
		if err := f.Check(entries[f.First-1-base : f.Last-base]); err != nil {
			return err
		}
	}
	return nil
}

// finishRepair makes the log whole with the entries behind from. term is that of the leader whose log it is, 0 if it is
// this node's own.
func (n *Node) finishRepair(entries []*raftpb.Entry, term uint64) {
	p := n.repair
	p.busy, p.finish = true, nil
	var rec wal.Recovered
	var hard wal.HardState
	n.onWAL(func() (err error) {
		if err = n.rebuildLog(p, entries, term); err == nil {
			rec, err = n.tryOpenLog(nil, 0)
		}
		hard = n.disk.hard
		return err
	}, func(err error) {
		p.busy = false
		switch {
		case n.stopped:
		case errors.Is(err, env.ErrNoSpace):
			n.logger.Warn("log not repaired yet", "error", err)
			p.finish, p.asked = func() { n.finishRepair(entries, term) }, n.env.Clock.Now()
		case err != nil:
			n.fail(err)
		default:
			n.repaired(p, rec, hard)
		}
	})
}

// repaired takes the log that is whole again.
func (n *Node) repaired(p *logRepair, rec wal.Recovered, hard wal.HardState) {
	n.repair = nil
	n.stats.Repairs++
	n.logger.Warn("log repaired", "from", p.from.Index, "to", rec.Base.Index+uint64(len(rec.Entries)), "by", hex(p.peer))
	conf := n.mem.conf
	n.mem.reset(rec.Base.Index, rec.Base.Term, conf)
	n.mem.append(rec.Entries)
	n.mem.setHard(hard.Term, hard.Vote, max(rec.CommitHint, p.from.Index))
	n.appends.idleFrom = n.env.Clock.Now()
	switch {
	case n.state.machine != nil:
		n.adopt()
	case rec.Base.Index == initialIndex:
		n.applyLane.Do(n.rebuildFirst, func(err error) {
			switch {
			case n.stopped:
			case err != nil:
				n.fail(err)
			default:
				n.adopt()
			}
		})
	default:
		n.restoreState(n.nextPeer(n.self.Member))
	}
}

// adopt starts raft on a state that was repaired, or need not be.
func (n *Node) adopt() {
	n.adoptState()
	n.publish()
}

// missing says what the log lacks.
func (p *logRepair) missing() string {
	what := "the log lost entries of unknown indexes"
	if p.lost != nil {
		what = p.lost.Error()
	}
	if p.behind.Index == 0 {
		what += "; where the log ended is not known"
	}
	return what
}

// lastResort is how to go on without what is lost. There is one way to accept a loss, whoever has it to accept.
func (n *Node) lastResort() string {
	return fmt.Sprintf("see what would be lost without it: quorumctl recover %s --plan", n.cfg.Dir)
}

// describe says what is missing and who was asked.
func (p *logRepair) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; have all up to index %d", p.missing(), p.from.Index+uint64(len(p.got)))
	for _, id := range sortedKeys(p.answers) {
		fmt.Fprintf(&b, "; member %x: %s", id, p.answers[id])
	}
	return b.String()
}
