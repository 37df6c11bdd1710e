package raftnode

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/datadir"
	"github.com/quorumkv/quorumkv/storage/snap"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// Snapshots are made only when somebody needs one: the state file itself is the newest snapshot of this node. A file
// in snap/ is a copy of it at rest, so that a transfer can take its time and be resumed.

const snapDir = datadir.Snap

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// snapshots is the giving side: the file that followers are fetching, at most one.
type snapshots struct {
	file   *snapFile
	making bool
	// examining says that the state is being read for damage.
	examining bool
	// then runs once making has ended: an installation, which closes the state file that is being copied.
	then    func()
	offered map[uint64]offer // follower -> the MsgSnap that raft sent it
}

// snapFile is a finished snapshot on disk. Its reader belongs to the snap lane.
type snapFile struct {
	meta    snap.Meta
	reader  *snap.Reader
	lastUse time.Duration
}

// offer is a snapshot that raft waits for a follower to install.
type offer struct {
	index    uint64
	reached  uint64        // the furthest offset that the follower has asked for
	activity time.Duration // when it was sent, or the follower last got further
}

// made ends the making of a copy, whatever came of it.
func (s *snapshots) made() {
	s.making = false
	if then := s.then; then != nil {
		s.then = nil
		then()
	}
}

func (s *snapshots) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.reader.Close()
}

// raftSnapshot answers raft's Storage.Snapshot: the file if it still joins the log, else not yet, and one is made.
func (n *Node) raftSnapshot() (*raftpb.Snapshot, error) {
	if f := n.snaps.file; f != nil && f.meta.Index >= n.mem.baseIndex {
		m := f.meta
		return &raftpb.Snapshot{
			Data:     []byte{}, // the content is fetched by the follower, piece by piece
			Metadata: &raftpb.SnapshotMetadata{Index: &m.Index, Term: &m.Term, ConfState: m.ConfState},
		}, nil
	}
	n.makeSnapshot()
	return nil, raft.ErrSnapshotTemporarilyUnavailable
}

// makeSnapshot copies the state file as of now: flushed and pinned, and then copied on the snap lane while writes go on.
func (n *Node) makeSnapshot() {
	if n.snaps.making || n.raw == nil || n.lost.reason != "" || n.appends.installing {
		return
	}
	n.snaps.making = true
	var (
		pin  *backend.Pin
		meta snap.Meta
		read *snap.Reader
	)
	n.startFlush(func(f *apply.Flush) (err error) {
		meta = snap.Meta{Index: f.Index, Term: f.Term, ConfState: f.ConfState}
		pin, err = n.state.db.Pin()
		n.state.pin = pin
		return err
	}, func(err error) {
		if n.stopped || err != nil {
			n.snaps.made()
			if pin != nil {
				pin.Close()
			}
			if errors.Is(err, env.ErrNoSpace) && !n.stopped {
				n.logger.Warn("snapshot not made", "error", err)
			}
			return
		}
		start := n.env.Clock.Now()
		old := n.snaps.file
		n.snaps.file = nil // it goes first, and whether or not there will be another, it is not to be had any more
		n.snapLane.Do(func() (err error) {
			read, err = n.writeSnapshot(old, meta, pin)
			return err
		}, func(err error) {
			defer n.snaps.made()
			if err != nil {
				// A copy that could not be written costs a follower time, not this node its health.
				n.logger.Warn("snapshot not made", "index", meta.Index, "error", err)
				return
			}
			now := n.env.Clock.Now()
			n.snaps.file = &snapFile{meta: meta, reader: read, lastUse: now}
			observe(n.cfg.Observe.Snapshot, now-start)
			n.logger.Info("snapshot made", "index", meta.Index, "term", meta.Term, "bytes", read.Size(),
				"elapsed", now-start)
			if n.lost.check > 0 {
				n.forgetSnapshot(n.snaps.file)
			}
			n.schedule()
		})
	})
}

// writeSnapshot runs on the snap lane. The file that it replaces goes first: there is never more than one.
func (n *Node) writeSnapshot(old *snapFile, m snap.Meta, pin *backend.Pin) (*snap.Reader, error) {
	defer pin.Close()
	if err := n.dropSnapshot(old); err != nil {
		return nil, err
	}
	w, err := snap.Create(n.env.FS, snapDir, m, pin.Size())
	if err != nil {
		return nil, err
	}
	if _, err := pin.WriteTo(w); err != nil {
		return nil, errors.Join(fmt.Errorf("copy state at index %d: %w", m.Index, err), w.Abort())
	}
	if err := w.Finish(); err != nil {
		return nil, err
	}
	return snap.Open(n.env.FS, snapDir, m.Index, m.Term)
}

func (n *Node) dropSnapshot(f *snapFile) error {
	if f == nil {
		return nil
	}
	if err := f.reader.Close(); err != nil {
		return err
	}
	return snap.Remove(n.env.FS, snapDir, f.meta.Index, f.meta.Term)
}

// snapshotOffered remembers that raft sent a follower to fetch a snapshot, so that it hears of a failure.
func (n *Node) snapshotOffered(m *raftpb.Message) {
	n.snaps.offered[m.GetTo()] = offer{index: m.GetSnapshot().GetMetadata().GetIndex(), activity: n.env.Clock.Now()}
}

// serveSnapshot sends one piece. Term 0 asks for any snapshot from an index on, which a node that lost its state does before
// it can know one.
func (n *Node) serveSnapshot(from uint64, q *peerpb.SnapshotFetch) {
	if n.raw == nil {
		return
	}
	if n.lost.check > 0 {
		n.send(from, snapshotFailedMessage(q.GetIndex(), q.GetTerm(), "the history of this member has diverged"))
		return
	}
	f, whichever := n.snaps.file, q.GetTerm() == 0
	if whichever && n.applied < q.GetIndex() {
		n.send(from, snapshotFailedMessage(0, 0, fmt.Sprintf("its state is at index %d only", n.applied)))
		return
	}
	if whichever && (f == nil || f.meta.Index < max(q.GetIndex(), n.mem.baseIndex)) {
		n.makeSnapshot() // the asker asks again
		return
	}
	if f == nil || !whichever && (f.meta.Index != q.GetIndex() || f.meta.Term != q.GetTerm()) {
		n.send(from, snapshotFailedMessage(q.GetIndex(), q.GetTerm(), "not here any more"))
		return
	}
	now := n.env.Clock.Now()
	f.lastUse = now
	offset, chunk := q.GetOffset(), n.cfg.ChunkBytes
	// One that has not heard of the offer may fetch the same file again and again, for a state that it has lost: that is no
	// progress, and raft must offer once more.
	if o, ok := n.snaps.offered[from]; ok && offset > o.reached {
		o.reached, o.activity = offset, now
		n.snaps.offered[from] = o
	}
	var c *peerpb.SnapshotChunk
	n.snapLane.Do(func() (err error) {
		c, err = readChunk(f, int64(offset), chunk)
		return err
	}, func(err error) {
		switch {
		case n.stopped, n.lost.check > 0:
		case err != nil:
			n.logger.Warn("snapshot not readable", "index", f.meta.Index, "offset", offset, "error", err)
			n.send(from, snapshotFailedMessage(f.meta.Index, f.meta.Term, err.Error()))
			n.forgetSnapshot(f) // another copy will do
		default:
			n.send(from, &peerpb.Message{Body: &peerpb.Message_SnapshotChunk{SnapshotChunk: c}})
		}
	})
}

func readChunk(f *snapFile, offset int64, limit int) (*peerpb.SnapshotChunk, error) {
	size := f.reader.Size()
	if offset < 0 || offset > size {
		return nil, fmt.Errorf("offset %d in a snapshot of %d bytes", offset, size)
	}
	data := make([]byte, min(int64(limit), size-offset))
	if _, err := f.reader.ReadAt(data, offset); err != nil && err != io.EOF {
		return nil, err
	}
	return &peerpb.SnapshotChunk{
		Index: f.meta.Index, Term: f.meta.Term, ConfState: f.meta.ConfState,
		Offset: uint64(offset), Total: uint64(size), Data: data, Crc: crc32.Checksum(data, castagnoli),
	}, nil
}

// snapshotTick tells raft of followers that went silent in the middle of a transfer, without which it would wait for
// them for ever, and removes a file that nobody has asked for in a while.
func (n *Node) snapshotTick(now time.Duration) {
	if n.raw == nil {
		return
	}
	for _, id := range sortedKeys(n.snaps.offered) {
		if now-n.snaps.offered[id].activity >= snapshotGiveUp {
			n.endOffer(id, raft.SnapshotFailure)
		}
	}
	if f := n.snaps.file; f != nil && !n.snaps.making && now-f.lastUse >= snapshotKeep {
		n.forgetSnapshot(f)
	}
}

// forgetSnapshot removes a file that is of no more use.
func (n *Node) forgetSnapshot(f *snapFile) {
	if f == nil || n.snaps.file != f {
		return // it is gone, or about to be
	}
	n.snaps.file = nil
	n.snapLane.Do(func() error { return n.dropSnapshot(f) }, func(err error) {
		if err != nil {
			n.logger.Warn("snapshot not removed", "index", f.meta.Index, "error", err)
		}
	})
}

// snapshotTaken ends an offer once the follower acknowledges the index. raft sees that by itself only while its log
// still joins there; otherwise it would wait for this report, and the follower for its next snapshot.
func (n *Node) snapshotTaken(id, index uint64) {
	if o, ok := n.snaps.offered[id]; ok && index >= o.index {
		n.endOffer(id, raft.SnapshotFinish)
	}
}

func (n *Node) endOffer(id uint64, s raft.SnapshotStatus) {
	if _, ok := n.snaps.offered[id]; ok {
		delete(n.snaps.offered, id)
		n.raw.ReportSnapshot(id, s)
		n.schedule()
	}
}

func snapshotFailedMessage(index, term uint64, reason string) *peerpb.Message {
	return &peerpb.Message{Body: &peerpb.Message_SnapshotFailed{
		SnapshotFailed: &peerpb.SnapshotFailed{Index: index, Term: term, Reason: reason},
	}}
}
