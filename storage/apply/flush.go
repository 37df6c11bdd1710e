package apply

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// A flush makes durable what was applied, in one transaction, and applying goes on meanwhile. [Machine.Seal] takes together
// what the file does not hold, [Flush.Commit] writes it, and [Machine.Flushed] hears what became of it. Only the second step
// waits for the disk, and it may be taken by another goroutine. One flush is under way at a time.

// Flush is all that was applied up to an entry and is not in the file yet.
type Flush struct {
	// Index and Term are those of the entry, ConfState is raft's configuration after it.
	Index, Term uint64
	ConfState   *raftpb.ConfState

	db    *backend.DB
	rows  *mvcc.Sealed   // nil once they are in the batch
	batch *backend.Batch // the machine's, nil if the file has everything already
}

// Backlog is how much the next Seal takes.
type Backlog struct {
	Ops, Bytes int
	Entries    uint64
}

// Pending reports whether the file lacks anything that no flush has taken yet.
func (m *Machine) Pending() bool { return m.index != m.sealed || m.freshOps() > 0 }

func (m *Machine) freshOps() int { return m.kv.FreshOps() + m.leases.Fresh() }

// Backlog returns how much has come since the last Seal.
func (m *Machine) Backlog() Backlog {
	return Backlog{Ops: m.freshOps(), Bytes: m.kv.FreshBytes(), Entries: m.index - m.sealed}
}

// Seal begins a flush of everything applied so far.
func (m *Machine) Seal() (*Flush, error) {
	if m.err != nil {
		return nil, m.err
	}
	return m.seal(), nil
}

func (m *Machine) seal() *Flush {
	f := &Flush{Index: m.index, Term: m.term, ConfState: m.confState, db: m.db}
	if !m.Pending() && m.batch.Len() == 0 {
		return f
	}
	m.hash = m.history.sum
	m.save(&m.batch)
	f.rows, f.batch = m.kv.Seal(), &m.batch
	m.sealed = m.index
	return f
}

// Commit writes the flush to the file and returns once it is durable. After env.ErrNoSpace nothing is written, and it may be
// tried again.
func (f *Flush) Commit() error {
	if f.batch == nil {
		return nil
	}
	if f.rows != nil {
		f.rows.AddTo(f.batch)
		f.rows = nil
	}
	return f.db.Commit(f.batch)
}

// Flushed ends a flush, whose Commit returned err. After env.ErrNoSpace nothing is lost, and a later flush takes along what
// this one did; after any other error the machine is of no further use.
func (m *Machine) Flushed(f *Flush, err error) error {
	if m.err != nil {
		return m.err
	}
	if f.batch == nil {
		return nil
	}
	m.batch.Reset()
	switch {
	case errors.Is(err, env.ErrNoSpace):
		m.kv.NotFlushed()
		m.notSaved()
		m.sealed = m.durable
	case err == nil:
		m.kv.Flushed()
		m.saved()
		m.durable = f.Index
		m.publish() // lets go of the overlay
		return nil
	}
	err = fmt.Errorf("flush up to entry %d: %w", f.Index, err)
	if !errors.Is(err, env.ErrNoSpace) {
		m.err = err
	}
	return err
}

// Flush does all three steps at once.
func (m *Machine) Flush() error {
	f, err := m.Seal()
	if err != nil {
		return err
	}
	return m.Flushed(f, f.Commit())
}
