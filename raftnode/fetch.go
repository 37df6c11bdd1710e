package raftnode

import (
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/snap"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// fetch is the receiving side of a snapshot: one piece is asked for at a time, so the pace is the receiver's, a lost
// piece is asked for again, and nothing is held in memory.
type fetch struct {
	from  uint64
	offer *raftpb.Message // the MsgSnap that started it; nil when the node restores its lost state
	meta  snap.Meta       // index 0 until the first piece names it
	total uint64
	next  uint64 // offset of the piece to come

	writing  bool // a piece is on the snap lane
	receiver *snap.Receiver
	asked    time.Duration
	progress time.Duration
}

// staged is a received snapshot turned into a complete state generation that is not current yet. It is claimed by the
// MsgStorageAppend that raft answers the offer with, or discarded when raft wants none of it.
type staged struct {
	meta    snap.Meta
	gen     *backend.Staged
	machine *apply.Machine // on gen
	rebuild bool           // asked for by this node, not offered by the leader: raft does not hear of it
}

// fetchSnapshot begins to fetch what the leader offered. raft hears of the offer only when the content is here, so a
// slow transfer blocks neither votes nor appends.
func (n *Node) fetchSnapshot(from uint64, m *raftpb.Message) {
	meta := m.GetSnapshot().GetMetadata()
	if meta.GetIndex() <= n.applied {
		n.stepOffer(m) // raft answers with where it is
		return
	}
	if f := n.fetch; f != nil && !f.writing && f.offer != nil && f.offer.GetTerm() < m.GetTerm() {
		// What a former leader offered raft would not take any more, and its sender may be gone.
		n.abandonFetch("there is an offer of a later term")
	}
	if f := n.fetch; f != nil && !f.writing && f.offer == nil {
		n.abandonFetch("the leader offers one, and the log needs it")
	}
	if n.fetch != nil || n.staged != nil {
		return // one at a time; raft offers again
	}
	n.beginFetch(&fetch{
		from: from, offer: m,
		meta: snap.Meta{Index: meta.GetIndex(), Term: meta.GetTerm(), ConfState: meta.GetConfState()},
	})
}

// restoreState asks a peer for any snapshot: this node's own state is lost, its log is not.
func (n *Node) restoreState(peer uint64) {
	n.beginFetch(&fetch{from: peer})
}

// restoreFromNext turns to the peer after one that could not help. fetchTick asks it in a moment: peers that cannot help
// either, or a full disk here, must not make this a race around the cluster.
func (n *Node) restoreFromNext(peer uint64) {
	now := n.env.Clock.Now()
	if n.repair != nil {
		n.turnToNext()
		n.repair.asked = now
		return
	}
	if next := n.nextPeer(peer); next <= peer {
		n.lost.rounds++
		if n.lost.suspect && n.lost.rounds >= suspectRounds {
			n.insist(next)
			return
		}
	}
	n.fetch = &fetch{from: n.nextPeer(peer), asked: now, progress: now}
}

func (n *Node) beginFetch(f *fetch) {
	f.progress = n.env.Clock.Now()
	n.fetch = f
	n.logger.Info("fetching a snapshot", "from", hex(f.from), "index", f.meta.Index)
	n.askPiece()
}

func (n *Node) askPiece() {
	f := n.fetch
	f.asked = n.env.Clock.Now()
	q := &peerpb.SnapshotFetch{Index: f.meta.Index, Term: f.meta.Term, Offset: f.next}
	if f.meta.Index == 0 {
		q.Index = n.leastSnapshot()
	}
	n.send(f.from, &peerpb.Message{Body: &peerpb.Message_SnapshotFetch{SnapshotFetch: q}})
}

// leastSnapshot is the index from which on a snapshot is of use to a node that lost its state or its log: one that is older
// does not join with the log, or has nothing that the node lacks. A peer may have such a one at hand, for somebody else.
func (n *Node) leastSnapshot() uint64 {
	if n.repair != nil {
		return n.repair.from.Index + 1
	}
	return n.mem.baseIndex
}

// snapshotChunk takes one piece to the snap lane. Pieces that were not asked for (late, duplicated) are dropped.
func (n *Node) snapshotChunk(from uint64, c *peerpb.SnapshotChunk) {
	f := n.fetch
	switch {
	case f == nil || from != f.from || f.writing || c.GetOffset() != f.next,
		f.meta.Index != 0 && (c.GetIndex() != f.meta.Index || c.GetTerm() != f.meta.Term),
		len(c.GetData()) == 0 || crc32.Checksum(c.GetData(), castagnoli) != c.GetCrc():
		return
	case f.meta.Index == 0:
		f.meta = snap.Meta{Index: c.GetIndex(), Term: c.GetTerm(), ConfState: c.GetConfState()}
	}
	f.total = c.GetTotal()
	f.writing = true
	n.snapLane.Do(func() error { return n.storePiece(f, c) }, func(err error) {
		f.writing = false
		if n.fetch != f || n.stopped {
			return
		}
		if err != nil {
			n.giveUp(fmt.Sprintf("store piece at offset %d: %v", f.next, err))
			return
		}
		f.next += uint64(len(c.GetData()))
		f.progress = n.env.Clock.Now()
		if f.next < f.total {
			n.askPiece()
			return
		}
		n.stage(f)
	})
}

func (n *Node) storePiece(f *fetch, c *peerpb.SnapshotChunk) (err error) {
	if f.receiver == nil {
		if f.receiver, err = snap.Receive(n.env.FS, snapDir, f.meta, int64(f.total)); err != nil {
			return err
		}
	}
	return f.receiver.Chunk(int64(c.GetOffset()), c.GetData())
}

// stage verifies the whole file and builds a state generation from it, still on the snap lane.
func (n *Node) stage(f *fetch) {
	f.writing = true
	var s *staged
	n.snapLane.Do(func() (err error) {
		if err = f.receiver.Finish(); err != nil {
			return err
		}
		f.receiver = nil
		if s, err = n.stageFile(f.meta); err != nil {
			return errors.Join(err, snap.Remove(n.env.FS, snapDir, f.meta.Index, f.meta.Term))
		}
		return nil
	}, func(err error) {
		f.writing = false
		if n.stopped {
			return
		}
		if errors.Is(err, snap.ErrDamaged) {
			n.refuseDamaged(err)
			return
		}
		if err != nil {
			n.giveUp(err.Error())
			return
		}
		n.staged = s
		if err := n.histories.contradicts(s.machine.View()); err != nil {
			n.discardStaged(func() {})
			n.giveUp(err.Error())
			return
		}
		n.fetch = nil
		s.rebuild = f.offer == nil
		n.logger.Info("snapshot received", "from", hex(f.from), "index", f.meta.Index, "bytes", f.total)
		if f.offer == nil {
			n.installRestored(f.from)
			return
		}
		n.stepOffer(f.offer)
	})
}

// stepOffer lets raft decide about a snapshot; if it takes it, the next Ready carries it (install.go).
func (n *Node) stepOffer(m *raftpb.Message) {
	_ = n.raw.Step(m)
	n.schedule()
}

// giveUp ends a transfer that cannot succeed and tells the leader, so that raft tries again.
func (n *Node) giveUp(reason string) {
	f := n.fetch
	n.abandonFetch(reason)
	if f.offer != nil {
		n.send(f.from, snapshotFailedMessage(f.meta.Index, f.meta.Term, reason))
		return
	}
	n.restoreFromNext(f.from)
}

// refuseDamaged is giveUp for a snapshot that came as a whole and turned out to be damaged: the sender may not know that
// what it copies is.
func (n *Node) refuseDamaged(err error) {
	f := n.fetch
	m := snapshotFailedMessage(f.meta.Index, f.meta.Term, err.Error())
	m.GetSnapshotFailed().Damaged = true
	n.abandonFetch(err.Error())
	n.send(f.from, m)
	if f.offer == nil {
		n.restoreFromNext(f.from)
	}
}

// abandonFetch ends a transfer and removes what came of it.
func (n *Node) abandonFetch(reason string) {
	f := n.fetch
	n.fetch = nil
	n.logger.Warn("snapshot not received", "from", hex(f.from), "index", f.meta.Index, "reason", reason)
	n.snapLane.Do(func() error {
		if f.receiver != nil {
			return f.receiver.Abort()
		}
		return nil
	}, func(err error) {
		if err != nil {
			n.logger.Warn("partial snapshot not removed", "index", f.meta.Index, "error", err)
		}
	})
}

// snapshotFailed hears from the other side of a transfer that it is over.
func (n *Node) snapshotFailed(from uint64, m *peerpb.SnapshotFailed) {
	if f := n.fetch; f != nil && f.from == from && f.meta.Index == m.GetIndex() && !f.writing {
		n.giveUp(m.GetReason())
		return
	}
	if m.GetDamaged() {
		n.examineState(m.GetIndex())
	}
	if o, ok := n.snaps.offered[from]; ok && o.index == m.GetIndex() {
		n.endOffer(from, raft.SnapshotFailure)
	}
}

// fetchTick asks again for a piece that did not come and ends a transfer without progress.
func (n *Node) fetchTick(now time.Duration) {
	f := n.fetch
	switch {
	case f == nil || f.writing:
	case now-f.progress >= snapshotGiveUp:
		n.giveUp("no answer")
	case f.offer == nil && f.next == 0 && now-f.progress >= restorePatience:
		n.giveUp("no answer yet") // any other peer will do as well
	case now-f.asked >= snapshotRetry:
		n.askPiece()
	}
}

// discardUnclaimed drops a staged snapshot that raft did not ask to install in the turn after the offer.
func (n *Node) discardUnclaimed() {
	s := n.staged
	if s == nil || s.rebuild || n.appends.holdsSnapshot() {
		return
	}
	n.discardStaged(func() {})
}

// discardStaged drops the staged snapshot, and then goes on unless the node stopped.
func (n *Node) discardStaged(then func()) {
	s := n.staged
	n.staged = nil
	n.snapLane.Do(func() error {
		return errors.Join(s.gen.Discard(), snap.Remove(n.env.FS, snapDir, s.meta.Index, s.meta.Term))
	}, func(err error) {
		if err != nil {
			n.logger.Warn("unused snapshot not removed", "index", s.meta.Index, "error", err)
		}
		if !n.stopped {
			then()
		}
	})
}

// nextPeer is the voter after id, in the order of ids, that is not this node and may replace its state.
func (n *Node) nextPeer(id uint64) uint64 {
	others := slices.DeleteFunc(slices.Sorted(slices.Values(n.mem.conf.GetVoters())), func(v uint64) bool {
		return v == n.self.Member || n.lost.sources != nil && !slices.Contains(n.lost.sources, v)
	})
	if len(others) == 0 {
		return 0
	}
	for _, v := range others {
		if v > id {
			return v
		}
	}
	return others[0]
}

func sortedKeys[V any](m map[uint64]V) []uint64 {
	keys := make([]uint64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
