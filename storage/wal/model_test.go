package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

// eachSeed runs f for a fixed list of seeds, or for QUORUMKV_SEED alone.
func eachSeed(t *testing.T, n uint64, f func(t *testing.T, seed uint64)) {
	t.Helper()
	seeds := make([]uint64, n)
	for i := range seeds {
		seeds[i] = uint64(i) + 1
	}
	if s := os.Getenv("QUORUMKV_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			t.Fatalf("QUORUMKV_SEED: %v", err)
		}
		seeds = []uint64{seed}
	}
	for _, seed := range seeds {
		f(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d; repeat with: QUORUMKV_SEED=%d go test ./storage/wal -run '^%s$'", seed, seed, t.Name())
		}
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x77616c)) }

var testConfig = Config{SegmentBytes: 4096, Seed: [16]byte{1, 2, 3}}

const testDir = "wal"

func entry(index, term uint64, data string) *raftpb.Entry {
	e := &raftpb.Entry{Index: new(index), Term: new(term), Type: new(raftpb.EntryNormal)}
	if data != "" {
		e.Data = []byte(data)
	}
	return e
}

// model is the log as plain data: what a reader must find.
type model struct {
	base    Snapshot // where the log last started; entries begin behind it
	entries []*raftpb.Entry
	commit  uint64 // known to be on disk: recovery never goes below
	// compacted is the highest index given to Compact.
	compacted uint64
}

func (m model) last() uint64 { return m.base.Index + uint64(len(m.entries)) }

func (m model) term(index uint64) uint64 {
	if index == m.base.Index {
		return m.base.Term
	}
	return m.entries[index-m.base.Index-1].GetTerm()
}

// apply returns the model after r; m is not changed.
func (m model) apply(r Record) model {
	if r.Reset != nil {
		m.base, m.entries = *r.Reset, nil
	}
	if len(r.Entries) > 0 {
		keep := r.Entries[0].GetIndex() - 1 - m.base.Index
		m.entries = append(m.entries[:keep:keep], r.Entries...)
	}
	return m
}

// matches compares what recovery found. The log may begin anywhere up to what compaction allowed.
func (m model) matches(r Recovered) error {
	if r.Base.Index < m.base.Index || r.Base.Index > max(m.base.Index, m.compacted) {
		return fmt.Errorf("log starts after index %d, not in [%d, %d]", r.Base.Index, m.base.Index, m.compacted)
	}
	if got, want := r.Base.Index+uint64(len(r.Entries)), m.last(); got != want {
		return fmt.Errorf("log ends at index %d, not %d", got, want)
	}
	if want := m.term(r.Base.Index); r.Base.Term != want {
		return fmt.Errorf("base %d has term %d, not %d", r.Base.Index, r.Base.Term, want)
	}
	if r.Base.Index == m.base.Index && !proto.Equal(r.Base.ConfState, m.base.ConfState) {
		return fmt.Errorf("base %d has ConfState %v, not %v", r.Base.Index, r.Base.ConfState, m.base.ConfState)
	}
	for i, e := range r.Entries {
		w := m.entries[r.Base.Index+uint64(i)-m.base.Index]
		if e.GetIndex() != w.GetIndex() || e.GetTerm() != w.GetTerm() || e.GetType() != w.GetType() ||
			!bytes.Equal(e.Data, w.Data) {
			return fmt.Errorf("entry %v, not %v", e, w)
		}
	}
	if r.CommitHint < r.Base.Index || r.CommitHint > m.last() {
		return fmt.Errorf("commit hint %d outside of [%d, %d]", r.CommitHint, r.Base.Index, m.last())
	}
	return nil
}

// writer drives a Log and keeps, beside it, the states that a crash may leave.
type writer struct {
	fs  *memfs.FS
	cfg Config
	log *Log
	rng *rand.Rand

	// states holds what a crash may leave: the last state known to be durable, and one more for each record since.
	// While a call is under way its outcome is already among them.
	states []model
	// term of the records to come. It grows at each start: a leader of an old term does not come back, so no two
	// different entries ever share index and term.
	nextTerm uint64
	torn     string // what the last open has cut off
}

func (w *writer) now() model { return w.states[len(w.states)-1] }

func (w *writer) durable() model { return w.states[0] }

func newWriter(fs *memfs.FS, cfg Config, rng *rand.Rand) (*writer, error) {
	base := Snapshot{Index: 1, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}}}
	w := &writer{fs: fs, cfg: cfg, rng: rng, nextTerm: 2, states: []model{{base: base, commit: 1, compacted: 1}}}
	if err := Create(fs, testDir, cfg, base); err != nil {
		return nil, err
	}
	return w, w.open()
}

// open opens the log on w.fs and checks that it is one of the expected states, which then becomes the only one.
func (w *writer) open() error {
	log, got, err := Open(w.fs, testDir, w.cfg, w.durable().commit)
	if err != nil {
		return err
	}
	w.log, w.torn = log, got.Torn
	var why []error
	for i := len(w.states) - 1; i >= 0; i-- {
		s := w.states[i]
		s.commit, s.compacted = w.durable().commit, w.now().compacted
		err := s.matches(got)
		if err == nil {
			w.states = []model{s}
			w.nextTerm++
			return nil
		}
		why = append(why, fmt.Errorf("state %d: %w", i, err))
	}
	return fmt.Errorf("recovered log (torn %q) is none of the %d expected: %w", got.Torn, len(w.states), errors.Join(why...))
}

func (w *writer) append(r Record, sync bool) error {
	next := w.now().apply(r)
	w.states = append(w.states, next)
	if err := w.log.Append(r, sync); err != nil {
		if w.log.usable() == nil { // a full disk: as if never called
			w.states = w.states[:len(w.states)-1]
		}
		return err
	}
	if sync {
		w.states = []model{next}
	}
	return nil
}

// setCommit raises what every state holds for certain.
func (w *writer) setCommit(index uint64) {
	for i := range w.states {
		w.states[i].commit = max(w.states[i].commit, index)
	}
}

// step does one random thing.
func (w *writer) step() error {
	m := w.now()
	switch w.rng.IntN(20) {
	case 0:
		return w.log.Seal(m.commit)
	case 1:
		// Commit what is durable.
		if len(w.states) == 1 {
			w.setCommit(m.commit + w.rng.Uint64N(m.last()-m.commit+1))
		}
		return w.append(Record{Commit: w.now().commit}, w.rng.IntN(2) == 0)
	case 2:
		index := m.commit - w.rng.Uint64N(min(m.commit, 5))
		for i := range w.states {
			w.states[i].compacted = max(w.states[i].compacted, index)
		}
		return w.log.Compact(index)
	case 3:
		_ = PrepareSegment(w.fs, testDir, w.cfg.SegmentBytes) // a failure is no concern of the log's
		return nil
	case 4:
		if w.rng.IntN(3) > 0 {
			break
		}
		return w.reset()
	case 5:
		return w.renew()
	case 6:
		return w.scrub()
	}
	return w.append(w.entries(), w.rng.IntN(10) > 0)
}

func (w *writer) reset() error {
	m := w.now()
	w.nextTerm++
	s := &Snapshot{Index: m.commit + 1 + w.rng.Uint64N(m.last()-m.commit+10), Term: w.nextTerm}
	if w.rng.IntN(4) > 0 {
		s.ConfState = &raftpb.ConfState{Voters: []uint64{1, 2}, Learners: []uint64{uint64(w.rng.IntN(100))}}
	}
	r := Record{Reset: s, Commit: s.Index}
	for i := range uint64(w.rng.IntN(3)) {
		r.Entries = append(r.Entries, entry(s.Index+1+i, w.nextTerm, "after reset"))
	}
	if err := w.append(r, true); err != nil {
		return err
	}
	w.states[0].compacted = s.Index
	w.setCommit(s.Index)
	return nil
}

// renew writes the log anew from some committed entry on, if all of it is durable.
func (w *writer) renew() error {
	if len(w.states) > 1 {
		return nil
	}
	m := w.now()
	floor := max(w.log.terms.base, m.base.Index)
	if m.commit < floor {
		return nil
	}
	base := Snapshot{Index: floor + w.rng.Uint64N(m.commit-floor+1)}
	base.Term = m.term(base.Index)
	if base.Index == m.base.Index {
		base = m.base
	}
	w.states[0].compacted = max(m.compacted, base.Index)
	return w.log.Renew(base, m.from(base.Index))
}

// scrub reads the log as it is: whatever crashes it has seen, nothing is missing.
func (w *writer) scrub() error {
	s := NewScrub(w.fs, testDir, w.cfg, w.log.Extent())
	for {
		_, done, err := s.Next(1 + w.rng.Int64N(2000))
		if err != nil {
			return fmt.Errorf("scrub: %w", err)
		}
		if done {
			return nil
		}
	}
}

// entries makes a record of entries: nearly always behind the last one, sometimes over uncommitted ones.
func (w *writer) entries() Record {
	m := w.now()
	first := m.last() + 1
	floor := max(m.commit, m.base.Index)
	if w.rng.IntN(6) == 0 && floor < m.last() {
		first = floor + 1 + w.rng.Uint64N(m.last()-floor)
		w.nextTerm++
	} else if w.rng.IntN(8) == 0 {
		w.nextTerm++
	}
	r := Record{Commit: m.commit}
	for i := range uint64(1 + w.rng.IntN(5)) {
		r.Entries = append(r.Entries, entry(first+i, w.nextTerm, w.data()))
	}
	return r
}

func (w *writer) data() string {
	n := w.rng.IntN(120)
	switch w.rng.IntN(30) {
	case 0:
		n = w.rng.IntN(6000)
	case 1, 2:
		n = 512 + w.rng.IntN(600)
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.rng.Uint32())
	}
	if w.rng.IntN(4) == 0 {
		clear(b) // data that looks like what was never written
	}
	return string(b)
}
