package sim

import (
	"fmt"
	"hash/crc32"
	"time"

	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// A snapshot travels in pieces. How long bbolt's file is is no part of the seed, so the number of pieces is: the network
// hands out as much of what a node sends as makes that many of the whole.

// maxPieces is the largest number of pieces.
const maxPieces = 4

// cutPiece returns the part of a piece of a snapshot that goes over the network.
func (n *network) cutPiece(m *peerpb.Message) *peerpb.Message {
	c, pieces := m.GetSnapshotChunk(), uint64(n.w.opt.Pieces)
	if c == nil || pieces <= 1 {
		return m
	}
	size := (c.GetTotal() + pieces - 1) / pieces
	if uint64(len(c.GetData())) <= size {
		return m
	}
	data := c.GetData()[:size]
	return &peerpb.Message{From: m.GetFrom(), To: m.GetTo(), Body: &peerpb.Message_SnapshotChunk{
		SnapshotChunk: &peerpb.SnapshotChunk{
			Index: c.GetIndex(), Term: c.GetTerm(), ConfState: c.GetConfState(), Offset: c.GetOffset(), Total: c.GetTotal(),
			Data: data, Crc: crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)),
		},
	}}
}

// pieceTrouble is what happens when a piece arrives.
type pieceTrouble int

const (
	pieceTaken pieceTrouble = iota
	pieceLost
	receiverDies
	senderDies
	pieceTroubles
)

func (t pieceTrouble) String() string {
	return [...]string{"taken", "piece lost", "receiver dies", "sender dies"}[t]
}

// pieceKey names trouble in the counts.
func pieceKey(number, of int, t pieceTrouble) string {
	return fmt.Sprintf("%d of %d: %s", number, of, t)
}

// piece lets trouble come with a piece of a snapshot that arrives. It tells whether the piece goes on to its target.
func (w *world) piece(from, to *node, c *peerpb.SnapshotChunk) bool {
	size := (c.GetTotal() + uint64(w.opt.Pieces) - 1) / uint64(w.opt.Pieces)
	number := int(c.GetOffset()/max(size, 1)) + 1
	t := pieceTaken
	switch {
	case w.trouble.what != pieceTaken && w.trouble.piece == number:
		t, w.trouble.what = w.trouble.what, pieceTaken
	case w.faulty && w.net.rng.Float64() < w.opt.PieceTrouble:
		t = pieceTrouble(w.net.rng.IntN(int(pieceTroubles)))
	}
	if t == pieceTaken {
		return true
	}
	w.count.Pieces[pieceKey(number, w.opt.Pieces, t)]++
	w.trace.event(w.queue.now, to.index+1, t.String(), uint64(number))
	switch t {
	case receiverDies:
		// A moment later: while it writes the piece, or verifies the whole.
		w.trouble.ends = to.life
		w.queue.after(exponential(w.net.rng, w.opt.LaneTime), to.living(to.life, func() { to.crash(w.net.rng.IntN(2) == 0) }))
	case senderDies:
		from.crash(w.net.rng.IntN(2) == 0)
	}
	return t != pieceLost
}

// plannedTrouble is what a trial has in store for a piece.
type plannedTrouble struct {
	what  pieceTrouble
	piece int
	ends  int // the life of the follower that is about to end by it
}

const (
	// snapshotLimit is how long a follower may wait that needs a snapshot and whose transfer is disturbed once: a leader
	// gives up on it after 10 s, and then there is another one.
	snapshotLimit = 15 * time.Second
	// fewEntries is up to which distance between compactions a trial waits for one.
	fewEntries = 25
)

// snapshotTrial lets a follower fall behind the others' logs and disturbs the transfer of the snapshot that it gets.
func (w *world) snapshotTrial() {
	w.within(fullLimit, func() bool { return w.leaderNode() != nil && w.settled() }, "no leader that all follow")
	if w.failure != "" {
		return
	}
	lead := w.leaderNode()
	n := w.nodes[(lead.index+1+w.rng.IntN(len(w.nodes)-1))%len(w.nodes)]
	n.frozen = true
	n.crash(false)
	for range 4 * (w.opt.SnapshotEntries + w.opt.CatchUpEntries) {
		if lead.stat.First > w.check.last[n.index].Last+1 || w.failure != "" {
			break
		}
		w.within(fullLimit, w.writes(1, n), "a follower is down, and a write through the others was not accepted")
	}
	what := []pieceTrouble{pieceLost, receiverDies}[w.rng.IntN(2)]
	w.trouble = plannedTrouble{what: what, piece: 1 + w.rng.IntN(w.opt.Pieces)}
	n.frozen = false
	n.start()
	w.within(snapshotLimit+w.opt.DownFor*downForLimit,
		func() bool { return n.raft != nil && n.life != w.trouble.ends && n.stat.Ready && w.settled() },
		"the transfer of a snapshot was disturbed, and the follower did not catch up")
	if w.trouble.what == pieceTaken { // it was behind the log indeed
		w.count.SnapshotTrials++
	}
	w.trouble = plannedTrouble{}
}

// downForLimit times the mean is longer than any node stays down, nearly.
const downForLimit = 8
