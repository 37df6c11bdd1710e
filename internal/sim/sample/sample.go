// Package sample makes the data directory of a member that was killed, with the code that a server writes it with, for
// tests of what looks at such directories. Equal calls give equal directories, but for where bbolt puts its pages.
package sample

import (
	"cmp"
	"errors"
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/datadir"
	"github.com/quorumkv/quorumkv/storage/mvcc"
	"github.com/quorumkv/quorumkv/storage/wal"
)

// What every sample has in common.
const (
	ClusterID = 0xc1
	MemberID  = 0xa1 // and the next ones, for the others
	Term      = 3    // of the hard state, and of entries by default
	Vote      = MemberID
	Lease     = 7
)

// Incarnation is that of every sample.
var Incarnation = [16]byte{1, 2, 3, 4, 5, 6, 7, 8}

// Config says what the member has lived through.
type Config struct {
	// Members is the size of the cluster.
	Members int
	// Flushed entries are in the log and the state, Tail entries behind them in the log alone. The first entry grants a
	// lease; each of the others puts a key, every third one with the lease.
	Flushed, Tail int
	// Commit is the commit hint in the log's last frame; 0: that of the last flushed entry.
	Commit uint64
	// Term is that of all entries; 0: 3.
	Term uint64
	// SegmentBytes is the size of a log segment; 0: 4 KiB.
	SegmentBytes int64
}

// FirstIndex is the index of the first entry.
const FirstIndex = 2

// Make makes the directory below fsys.
func Make(fsys env.FS, cfg Config) error {
	members := Members(cfg.Members)
	entries := make([]*raftpb.Entry, cfg.Flushed+cfg.Tail)
	for i := range entries {
		e, err := entry(i, cmp.Or(cfg.Term, Term))
		if err != nil {
			return err
		}
		entries[i] = e
	}
	base := wal.Snapshot{Index: 1, Term: 1, ConfState: &raftpb.ConfState{}}
	for _, m := range members {
		base.ConfState.Voters = append(base.ConfState.Voters, m.ID)
	}
	commit := cfg.Commit
	if commit == 0 {
		commit = base.Index + uint64(cfg.Flushed)
	}
	id := wal.Identity{ClusterID: ClusterID, MemberID: MemberID, Incarnation: Incarnation, Bootstrap: apply.EncodeMembers(members)}
	hard, err := wal.CreateHardState(fsys, wal.HardState{Term: Term, Vote: Vote, BootEpoch: 1})
	if err != nil {
		return err
	}
	return errors.Join(
		hard.Close(),
		makeLog(fsys, cfg, base, entries, commit),
		makeState(fsys, members, entries[:cfg.Flushed]),
		wal.CreateIdentity(fsys, id),
	)
}

// Members are the members of a sample's cluster; its own directory is the first one's.
func Members(n int) []apply.Member {
	var members []apply.Member
	for i := range n {
		members = append(members, apply.Member{
			ID: MemberID + uint64(i), Name: fmt.Sprintf("n%d", i+1), PeerURLs: []string{fmt.Sprintf("http://10.0.0.%d:2380", i+1)},
		})
	}
	return members
}

// Key and Value are what entry i puts.
func Key(i int) string   { return fmt.Sprintf("key%04d", i) }
func Value(i int) string { return fmt.Sprintf("the value of entry %d", i) }

func entry(i int, term uint64) (*raftpb.Entry, error) {
	put := &pb.PutRequest{Key: []byte(Key(i)), Value: []byte(Value(i))}
	if i%3 == 0 {
		put.Lease = Lease
	}
	r := &pb.InternalRaftRequest{Put: put}
	if i == 0 {
		r = &pb.InternalRaftRequest{LeaseGrant: &pb.LeaseGrantRequest{ID: Lease, TTL: 600}}
	}
	request, err := proto.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode request %d: %w", i, err)
	}
	command := apply.Command{ID: apply.RequestID{Member: MemberID, Epoch: 1, Counter: uint64(i + 1)}, Request: request}
	index, kind := uint64(FirstIndex+i), raftpb.EntryNormal
	return &raftpb.Entry{Index: &index, Term: &term, Type: &kind, Data: apply.EncodeBatch([]apply.Command{command})}, nil
}

// makeLog appends one frame for each entry.
func makeLog(fsys env.FS, cfg Config, base wal.Snapshot, entries []*raftpb.Entry, commit uint64) error {
	w := wal.Config{SegmentBytes: cfg.SegmentBytes, Seed: Incarnation}
	if w.SegmentBytes == 0 {
		w.SegmentBytes = 4 << 10
	}
	if err := wal.Create(fsys, datadir.WAL, w, base); err != nil {
		return err
	}
	log, _, err := wal.Open(fsys, datadir.WAL, w, 0)
	if err != nil {
		return err
	}
	for _, e := range entries {
		hint := min(commit, e.GetIndex())
		if err := log.Append(wal.Record{Entries: []*raftpb.Entry{e}, Commit: hint}, true); err != nil {
			return errors.Join(err, log.Close())
		}
	}
	return errors.Join(log.Seal(commit), log.Close())
}

func makeState(fsys env.FS, members []apply.Member, entries []*raftpb.Entry) error {
	o := backend.Options{MapBytes: 1 << 20}
	db, err := backend.Create(fsys, datadir.State, o, apply.InitialBatch(ClusterID, members))
	if err != nil {
		return err
	}
	m, err := apply.Open(db, ClusterID, mvcc.Recent{})
	if err == nil {
		_, err = m.Apply(entries, apply.RequestID{})
	}
	if err == nil {
		err = m.Flush()
	}
	return errors.Join(err, db.Close())
}
