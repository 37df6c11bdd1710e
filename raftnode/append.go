package raftnode

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/invariant"
	"github.com/quorumkv/quorumkv/storage/wal"
)

// disk is what the wal lane owns.
type disk struct {
	hardFile *wal.HardStateFile
	hard     wal.HardState // as last saved
	log      *wal.Log
}

func (d *disk) close() error {
	var logErr, hardErr error
	if d.log != nil {
		logErr = d.log.Close()
	}
	if d.hardFile != nil {
		hardErr = d.hardFile.Close()
	}
	return firstError(logErr, hardErr)
}

// appendQueue holds raft's MsgStorageAppend messages until the wal lane is free. All that is queued then goes to disk
// as one frame under one fsync.
type appendQueue struct {
	msgs       []*raftpb.Message
	busy       bool          // a write is on the lane
	installing bool          // that write is a snapshot's
	last       uint64        // index of the last entry handed over, written or not; 0: none yet
	idleFrom   time.Duration // when the last write finished
	sealed     bool          // the last frame has its evidence behind it
	// blocked repeats the write that found no space; nil if none waits. busy is set while it does.
	blocked func()
	ahead   ahead // of the write that waits
}

func (q *appendQueue) push(m *raftpb.Message) {
	q.msgs = append(q.msgs, m)
	if es := m.GetEntries(); len(es) > 0 {
		q.last = es[len(es)-1].GetIndex()
	}
}

// appendWork is several MsgStorageAppend messages merged.
type appendWork struct {
	entries    []*raftpb.Entry
	term, vote uint64 // 0, 0: unchanged
	commit     uint64
	snapshot   *raftpb.Snapshot
	responses  []*raftpb.Message
}

// take merges the queued messages up to the next snapshot, which is always handled alone.
func (q *appendQueue) take() appendWork {
	var w appendWork
	i := 0
	for ; i < len(q.msgs); i++ {
		m := q.msgs[i]
		if snap := m.GetSnapshot(); snap != nil && !raft.IsEmptySnap(snap) {
			if i > 0 {
				break
			}
			w.add(m)
			w.snapshot = snap
			i++
			break
		}
		w.add(m)
	}
	q.msgs = append(q.msgs[:0:0], q.msgs[i:]...)
	return w
}

// add merges one more message: entries with index i replace everything from i on.
func (w *appendWork) add(m *raftpb.Message) {
	if es := m.GetEntries(); len(es) > 0 {
		if len(w.entries) > 0 {
			at, first := es[0].GetIndex(), w.entries[0].GetIndex()
			if at <= first {
				w.entries = nil
			} else {
				invariant.Check(at <= first+uint64(len(w.entries)), "gap in appends: %d entries from %d, then %d",
					len(w.entries), first, at)
				w.entries = w.entries[: at-first : at-first]
			}
		}
		w.entries = append(w.entries, es...)
	}
	if m.Term != nil {
		w.term, w.vote = m.GetTerm(), m.GetVote()
		w.commit = max(w.commit, m.GetCommit())
	}
	w.responses = append(w.responses, m.GetResponses()...)
}

// startAppend gives the wal lane its next write, if it is free and there is one.
func (n *Node) startAppend() {
	n.voteAhead()
	n.renewLog()
	for !n.appends.busy && len(n.appends.msgs) > 0 && !n.stopped {
		w := n.appends.take()
		if w.snapshot != nil {
			n.install(w)
			continue
		}
		if len(w.entries) == 0 && !n.hardChanged(w) {
			// Only the commit index moved. It rides on the next frame as a hint and is no reason to write (4.2).
			n.appended(w)
			continue
		}
		n.write(w)
	}
}

// hardChanged compares with what is durable: the loop's copy is updated after each save.
func (n *Node) hardChanged(w appendWork) bool {
	return newer(w.term, w.vote, n.mem.hard.GetTerm(), n.mem.hard.GetVote())
}

func (n *Node) write(w appendWork) {
	n.appends.busy = true
	w.commit = max(w.commit, n.mem.hard.GetCommit()) // what was passed over without a write since the last one
	var took time.Duration
	var wantsNext bool
	n.onWAL(func() error {
		start := n.env.Clock.Now()
		err := n.disk.write(n.env.FS, w, nil)
		took = n.env.Clock.Now() - start
		wantsNext = n.disk.log.WantsNext()
		return err
	}, func(err error) {
		if n.stopped {
			return
		}
		if errors.Is(err, env.ErrNoSpace) {
			n.appends.ahead.begin(&w)
			n.waitForSpace(func() { n.write(w) }) // and all others behind it
			n.voteAhead()
			return
		}
		n.appends.busy, n.appends.blocked, n.appends.ahead = false, nil, ahead{}
		n.appends.idleFrom = n.env.Clock.Now()
		if err != nil {
			n.fail(fmt.Errorf("write-ahead log: %w", err))
			return
		}
		if len(w.entries) > 0 {
			n.appends.sealed = false
			observe(n.cfg.Observe.WALSync, took)
		}
		if wantsNext {
			n.prepareSegment()
		}
		n.appended(w)
		n.startAppend()
		n.schedule()
	})
}

// prepareSegment makes the log's next file ahead of need, beside the wal lane. Without it an append only takes longer.
func (n *Node) prepareSegment() {
	n.snapLane.Do(func() error { return wal.PrepareSegment(n.env.FS, walDir, n.cfg.SegmentBytes) }, func(err error) {
		if err != nil {
			n.logger.Warn("next log segment not prepared", "error", err)
		}
	})
}

// write makes term and vote durable, then the entries, in a log that starts anew after reset if there is one. Nothing of w
// is answered before it returns. After env.ErrNoSpace, with the ballast gone, nothing is in doubt, and it may be called
// again.
func (d *disk) write(f env.FS, w appendWork, reset *wal.Snapshot) error {
	return retrying(f, func() error {
		if err := d.saveHard(w); err != nil {
			return err
		}
		if len(w.entries) == 0 && reset == nil {
			return nil
		}
		return d.log.Append(wal.Record{Reset: reset, Entries: w.entries, Commit: w.commit}, true)
	})
}

func (d *disk) saveHard(w appendWork) error {
	if !newer(w.term, w.vote, d.hard.Term, d.hard.Vote) {
		return nil
	}
	next := wal.HardState{Term: w.term, Vote: w.vote, BootEpoch: d.hard.BootEpoch}
	if err := d.hardFile.Save(next); err != nil {
		return fmt.Errorf("save hard state (term %d, vote %x): %w", w.term, w.vote, err)
	}
	d.hard = next
	return nil
}

// appended publishes what is durable now and delivers the messages that waited for it, in the order raft gave them.
func (n *Node) appended(w appendWork) {
	n.mem.append(w.entries)
	if w.term != 0 {
		n.promised(w.term, w.vote, w.commit)
	}
	for _, m := range w.responses {
		n.route(m)
	}
}

// sealIdle writes evidence behind the last frame once the log has been quiet for a moment: a damaged frame before a
// valid one cannot be a torn write.
func (n *Node) sealIdle(now time.Duration) {
	q := &n.appends
	if q.busy || q.sealed || n.raw == nil || now-q.idleFrom < sealAfter {
		return
	}
	q.busy, q.sealed = true, true
	commit := n.mem.hard.GetCommit()
	n.onWAL(func() error { return n.disk.log.Seal(commit) }, func(err error) {
		q.busy = false
		if n.stopped {
			return
		}
		if err != nil && !errors.Is(err, env.ErrNoSpace) { // without space the last frame only stays without its evidence
			n.fail(fmt.Errorf("seal the write-ahead log: %w", err))
			return
		}
		n.startAppend()
		n.schedule()
	})
}

func observe(f func(time.Duration), d time.Duration) {
	if f != nil {
		f(d)
	}
}
