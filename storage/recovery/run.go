package recovery

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/datadir"
	"github.com/quorumkv/quorumkv/storage/mvcc"
	"github.com/quorumkv/quorumkv/storage/snap"
	"github.com/quorumkv/quorumkv/storage/wal"
)

// Founded is the cluster that Run has made. Ids are hexadecimal.
type Founded struct {
	ClusterID string `json:"clusterID"`
	MemberID  string `json:"memberID"`
}

// Options say how to make the new directory.
type Options struct {
	Backend backend.Options
	// Rand draws the new ids.
	Rand *rand.Rand
	// Copied is called with the bytes of every part of the state that was copied, of [Source.Bytes] in all; it may be nil.
	Copied func(bytes int)
}

// Bytes is the size of the state that Run copies.
func (s *Source) Bytes() int64 { return s.db.Size() }

// Run makes the new cluster's data in the empty directory below to. The error matches ErrToken, and nothing was done, if
// token is not the plan's. A directory that it did not complete has no identity: no server starts on it as a member.
func (s *Source) Run(to env.FS, token string, o Options) (Founded, error) {
	random := o.Rand
	if token != s.plan.Token {
		return Founded{}, fmt.Errorf("%w: it is %q, the plan says %q now", ErrToken, token, s.plan.Token)
	}
	id := wal.Identity{ClusterID: drawID(random), MemberID: drawID(random)}
	binary.BigEndian.PutUint64(id.Incarnation[:8], random.Uint64())
	binary.BigEndian.PutUint64(id.Incarnation[8:], random.Uint64())
	self := s.self
	self.ID, self.Learner = id.MemberID, false
	id.Bootstrap = apply.EncodeMembers([]apply.Member{self})

	base, err := s.makeState(to, o, id, self)
	if err != nil {
		return Founded{}, fmt.Errorf("make state: %w", err)
	}
	hard, err := wal.CreateHardState(to, wal.HardState{Term: max(s.hard.Term, base.Term)})
	if err != nil {
		return Founded{}, err
	}
	if err := hard.Close(); err != nil {
		return Founded{}, err
	}
	if err := wal.Create(to, datadir.WAL, wal.Config{Seed: id.Incarnation}, base); err != nil {
		return Founded{}, err
	}
	if err := wal.CreateIdentity(to, id); err != nil {
		return Founded{}, err
	}
	return Founded{hexID(id.ClusterID), hexID(id.MemberID)}, nil
}

// drawID is never 0, which raft takes for nobody.
func drawID(random *rand.Rand) uint64 { return max(1, random.Uint64()) }

// makeState copies the state, brings the copy up to the end of the log and gives it to the new cluster. It returns where
// the new log begins.
func (s *Source) makeState(to env.FS, o Options, id wal.Identity, self apply.Member) (base wal.Snapshot, err error) {
	db, err := s.copyState(to, o)
	if err != nil {
		return base, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	m, err := apply.Open(db, s.id.ClusterID, mvcc.Recent{Rows: -1})
	if err != nil {
		return base, err
	}
	if err := s.applyTo(m); err != nil {
		return base, err
	}
	if m.HistoryHash() != s.machine.HistoryHash() {
		return base, fmt.Errorf("the copy has history %016x, the plan was made with %016x", m.HistoryHash(), s.machine.HistoryHash())
	}
	if err := m.Refound(id.ClusterID, self); err != nil {
		return base, err
	}
	base.Index, base.Term = m.Applied()
	base.ConfState = m.ConfState()
	return base, nil
}

// copyState makes the first generation of the new directory out of the state file as it is. The copy goes through a
// snapshot file, so that what arrives is compared with what was read.
func (s *Source) copyState(to env.FS, o Options) (*backend.DB, error) {
	pin, err := s.db.Pin()
	if err != nil {
		return nil, err
	}
	defer pin.Close()
	meta := snap.Meta{Index: s.plan.Index, Term: s.plan.Term}
	w, err := snap.Create(to, datadir.Snap, meta, pin.Size())
	if err != nil {
		return nil, err
	}
	if _, err := pin.WriteTo(counting{w, o.Copied}); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	if err := w.Finish(); err != nil {
		return nil, err
	}
	r, err := snap.Open(to, datadir.Snap, meta.Index, meta.Term)
	if err != nil {
		return nil, err
	}
	staged, err := backend.Stage(to, datadir.State, o.Backend, r.Content())
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	db, err := staged.Switch()
	if err != nil {
		return nil, err
	}
	if err := snap.Remove(to, datadir.Snap, meta.Index, meta.Term); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// counting tells how many bytes pass.
type counting struct {
	io.Writer
	passed func(bytes int)
}

func (c counting) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	if c.passed != nil {
		c.passed(n)
	}
	return n, err
}
