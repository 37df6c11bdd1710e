// Package recovery makes the data of one member the start of a new cluster, for when a majority of the old one is gone
// for good.
//
// What is kept is what this member would lead with, had it been elected: its state, and every entry of its log, committed
// or not, up to the first that cannot be read. No entry among them that was acknowledged is lost thereby, and one that was
// not may take effect, which is what its client was told to expect. What others acknowledged beyond this log is lost, and
// cannot be known.
//
// The new cluster has another cluster id, member id and incarnation, drawn at random, so that members of the old one
// and the new one refuse each other in the first words they exchange. Its log begins after the last entry that was kept,
// with that entry's index and term: revisions and indexes go on, none is used twice.
//
// The old directory is only read. The new one is written somewhere else, identity last: without it no server starts on
// what an interruption leaves.
package recovery

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/datadir"
	"github.com/quorumkv/quorumkv/storage/mvcc"
	"github.com/quorumkv/quorumkv/storage/wal"
)

// Plan says what a recovery keeps and what it gives up. Ids are hexadecimal.
type Plan struct {
	ClusterID string `json:"clusterID"`
	Member    Member `json:"member"`
	// Dropped are the other members.
	Dropped []Member `json:"droppedMembers"`

	// Index and Term are of the last entry that is kept, and Revision to Leases what the store holds after it.
	Index           uint64 `json:"index"`
	Term            uint64 `json:"term"`
	Revision        int64  `json:"revision"`
	CompactRevision int64  `json:"compactRevision"`
	Keys            int    `json:"keys"`
	Leases          int    `json:"leases"`
	// Alarms are dropped: they are those of former members.
	Alarms int `json:"droppedAlarms"`

	// Applied is the index up to which the state file has what is kept. Entries behind it come from the log.
	Applied uint64 `json:"appliedIndex"`
	// Uncertain are the entries that are kept though nothing here proves that they were committed.
	Uncertain *Range `json:"uncommitted,omitempty"`
	// Damaged are the entries that this log held and that cannot be read; they are lost, and all behind them. Reason says
	// what is wrong with the log.
	Damaged *Range `json:"damaged,omitempty"`
	Reason  string `json:"damage,omitempty"`
	// CutOff is a write at the log's end that cannot be read and is not kept. A crash leaves such a thing, and then it was
	// never acknowledged; so does a disk that lost the log's last write.
	CutOff string `json:"cutOff,omitempty"`

	// Token is made of all of the above and of whose data it is. Run wants it, so that nobody agrees to anything but what he
	// was shown.
	Token string `json:"token"`
}

// Member is a member of the old cluster.
type Member struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	PeerURLs []string `json:"peerURLs"`
}

// Range is a range of indexes. Last is 0 if the end is not known.
type Range struct {
	First uint64 `json:"firstIndex"`
	Last  uint64 `json:"lastIndex"`
}

var (
	// ErrStateUnusable says that the state of this member cannot be the start of anything.
	ErrStateUnusable = errors.New("state cannot be used")
	// ErrNotMember says that the member is none of the cluster that its state describes.
	ErrNotMember = errors.New("no member of its own cluster")
	// ErrToken says that the token is not that of the plan: the data is not what the plan showed.
	ErrToken = errors.New("token does not belong to this data")
)

// Source is a data directory to recover from, opened for reading. Its user holds the directory's lock.
type Source struct {
	id      wal.Identity
	hard    wal.HardState
	db      *backend.DB
	machine *apply.Machine // with all that is kept applied, and nothing of it written
	entries []*raftpb.Entry
	self    apply.Member
	plan    Plan
}

// Open reads a data directory and plans its recovery. Nothing is changed in it. The error matches ErrStateUnusable if
// there is no whole state, fs.ErrNotExist or wal.ErrIdentityLost if it is not known whose data it is, fs.ErrPermission if
// some of it must not be read.
func Open(fsys env.FS) (*Source, error) {
	s := &Source{}
	if err := s.open(fsys); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Source) open(fsys env.FS) (err error) {
	if s.id, err = wal.LoadIdentity(fsys); err != nil {
		return err
	}
	// A hard state that is lost does not matter: votes of the old cluster are none of the new one's.
	copies, err := wal.InspectHardState(fsys)
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err == nil {
		s.hard, _ = wal.NewestHardState(copies)
	}
	if s.db, err = backend.OpenReadOnly(fsys, datadir.State); err != nil {
		return fmt.Errorf("%w: %w", ErrStateUnusable, err)
	}
	if s.machine, err = apply.Open(s.db, s.id.ClusterID, mvcc.Recent{Rows: -1}); err != nil {
		return fmt.Errorf("%w: %w", ErrStateUnusable, err)
	}
	applied, term := s.machine.Applied()
	log, err := wal.Inspect(fsys, datadir.WAL, wal.Config{Seed: s.id.Incarnation}, applied, nil)
	if errors.Is(err, fs.ErrPermission) {
		return err // it is there, for another user
	}
	if err != nil {
		// A log that is missing or unreadable as a whole is one that is damaged from the state on.
		s.plan.Damaged, s.plan.Reason = &Range{First: applied + 1}, err.Error()
		log = wal.Inspection{Recovered: wal.Recovered{Base: wal.Snapshot{Index: applied, Term: term}}}
	}
	if term, ok := log.Term(applied); ok && term != s.machine.View().Term {
		if log.Corrupt == nil {
			return fmt.Errorf("%w: it has applied index %d of term %d, the log has term %d there", ErrStateUnusable, applied,
				s.machine.View().Term, term)
		}
		log.Whole, log.Entries = false, nil
	}
	s.plan.CutOff = log.Torn
	if bad := log.Corrupt; bad != nil && !log.Whole {
		s.plan.Damaged, s.plan.Reason = &Range{First: max(bad.First, applied+1)}, bad.Error()
		if bad.Last > applied {
			s.plan.Damaged.Last = bad.Last
		}
	}
	if err := s.takeEntries(&log, applied); err != nil {
		return err
	}
	return s.describe(&log, applied)
}

// takeEntries applies what the log has behind the state.
func (s *Source) takeEntries(log *wal.Inspection, applied uint64) error {
	base := log.Base.Index
	last := base + uint64(len(log.Entries))
	switch {
	case applied < base:
		return fmt.Errorf("%w: it ends at index %d and the log begins after index %d", ErrStateUnusable, applied, base)
	case last <= applied:
		return nil
	}
	s.entries = log.Entries[applied-base:]
	return s.applyTo(s.machine)
}

// applyTo applies the entries in slices, as the apply lane does.
func (s *Source) applyTo(m *apply.Machine) error {
	const slice = 1000
	for rest := s.entries; len(rest) > 0; {
		n := min(slice, len(rest))
		if _, err := m.Apply(rest[:n], apply.RequestID{}); err != nil {
			return fmt.Errorf("apply the log's entries: %w", err)
		}
		rest = rest[n:]
	}
	return nil
}

// describe fills the plan.
func (s *Source) describe(log *wal.Inspection, applied uint64) error {
	view := s.machine.View()
	p := &s.plan
	p.ClusterID = hexID(s.id.ClusterID)
	p.Dropped = []Member{}
	found := false
	for _, m := range view.Members {
		one := Member{hexID(m.ID), m.Name, m.PeerURLs}
		if m.ID == s.id.MemberID {
			s.self, p.Member, found = m, one, true
			continue
		}
		p.Dropped = append(p.Dropped, one)
	}
	if !found {
		return fmt.Errorf("member %s of cluster %s: %w", hexID(s.id.MemberID), p.ClusterID, ErrNotMember)
	}
	p.Index, p.Term, p.Applied = view.Index, view.Term, applied
	p.Revision, p.CompactRevision = view.KV.Revision(), view.KV.CompactRevision()
	p.Keys, p.Leases, p.Alarms = view.KV.Keys(), len(s.machine.Leases()), len(view.Alarms)
	if known := max(applied, log.CommitHint); known < p.Index {
		p.Uncertain = &Range{known + 1, p.Index}
	}
	token, err := s.token(view.HistoryHash)
	p.Token = token
	return err
}

// token is a short hash of the plan, of whose data it is and of all that was ever applied to it.
func (s *Source) token(history uint64) (string, error) {
	b, err := json.Marshal(struct {
		Plan        Plan
		Incarnation [16]byte
		History     uint64
	}{s.plan, s.id.Incarnation, history})
	if err != nil {
		return "", fmt.Errorf("encode plan: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:5]), nil
}

// Plan returns the plan. It must not be changed.
func (s *Source) Plan() Plan { return s.plan }

// Close lets go of the files.
func (s *Source) Close() error {
	if s.db == nil {
		return nil
	}
	return s.db.Close()
}

func hexID(id uint64) string { return fmt.Sprintf("%016x", id) }
