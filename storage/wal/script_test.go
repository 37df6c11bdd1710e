package wal

import (
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// scripted is a log under a test that wants to know where each frame lies.
type scripted struct {
	t   *testing.T
	fs  *memfs.FS
	log *Log
	cfg Config
	at  map[string]span
}

var origin = Snapshot{Index: 1, Term: 1, ConfState: &raftpb.ConfState{Voters: []uint64{7, 8, 9}}}

func newScripted(t *testing.T) *scripted {
	s := &scripted{t: t, fs: memfs.New(1, ""), cfg: testConfig, at: map[string]span{}}
	must(t, Create(s.fs, testDir, s.cfg, origin))
	s.reopen(0)
	return s
}

func (s *scripted) reopen(applied uint64) Recovered {
	s.t.Helper()
	log, got, err := Open(s.fs, testDir, s.cfg, applied)
	must(s.t, err)
	s.log = log
	if got.Ignored != "" {
		s.t.Errorf("damage in a healthy log: %s", got.Ignored)
	}
	return got
}

// put appends one synced frame with entries first to last of that term, and calls it name.
func (s *scripted) put(name string, first, last, term uint64) {
	s.t.Helper()
	must(s.t, s.log.Append(Record{Entries: run(first, last, term)}, true))
	size := frameSize(entriesSize(run(first, last, term)))
	s.at[name] = span{segmentName(testDir, s.log.number), s.log.off - size, s.log.off, first, last}
}

func (s *scripted) seal(name string) {
	s.t.Helper()
	must(s.t, s.log.Seal(0))
	s.at[name] = span{segmentName(testDir, s.log.number), s.log.off - frameHeaderSize, s.log.off, 0, 0}
}

func run(first, last, term uint64) []*raftpb.Entry {
	var es []*raftpb.Entry
	for i := first; i <= last; i++ {
		es = append(es, entry(i, term, fmt.Sprintf("entry %d of term %d", i, term)))
	}
	return es
}

func (s *scripted) flip(name string, off int64) {
	s.fs.Rot(name, off, 1, func(p []byte) { p[0] ^= 4 })
}

func (s *scripted) flipPayload(name string) {
	s.flip(s.at[name].segment, s.at[name].start+frameHeaderSize+entryHeaderSize+3)
}

func (s *scripted) flipHeader(name string) { s.flip(s.at[name].segment, s.at[name].start+9) }

// describe renders a log as "base 1/1: 2/1 3/1": indexes and terms.
func describe(r Recovered) string {
	var b strings.Builder
	fmt.Fprintf(&b, "base %d/%d:", r.Base.Index, r.Base.Term)
	for _, e := range r.Entries {
		fmt.Fprintf(&b, " %d/%d", e.GetIndex(), e.GetTerm())
	}
	return b.String()
}
