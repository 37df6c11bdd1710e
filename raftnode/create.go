package raftnode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/datadir"
	"github.com/quorumkv/quorumkv/storage/wal"
)

const (
	walDir   = datadir.WAL
	creating = datadir.Creating

	// etcdDir is the directory below its data directory in which etcd keeps everything.
	etcdDir = "member"

	// A new cluster starts as if an entry of this index and term had set its membership, the same on every node.
	initialIndex, initialTerm = 1, 1
)

// ErrForeignData says that the data directory belongs to another cluster or member.
var ErrForeignData = errors.New("data directory belongs to another member")

// ErrEtcdData says that the data directory is etcd's.
var ErrEtcdData = errors.New("data directory has etcd's data")

// notThisMember ends the refusal of a data directory that has forgotten what its member promised.
const notThisMember = "it must not come back as the same member, for it might vote twice in one term; keep it down, the " +
	"others go on while they are a quorum (replacing a member under a new id comes with membership changes, which this " +
	"version does not have yet)"

// ErrIdentityMissing says that the directory holds a node's files but not who it was.
var ErrIdentityMissing = errors.New("identity file is missing")

// loadOrCreate returns the identity that the data directory has, making a new node's files first if it is empty.
func loadOrCreate(e env.Env, cfg Config) (wal.Identity, error) {
	id, err := wal.LoadIdentity(e.FS)
	switch {
	case err == nil:
		return id, errors.Join(checkIdentity(id, cfg), endCreation(e.FS))
	case errors.Is(err, wal.ErrIdentityLost):
		return id, fmt.Errorf("%w; %s", err, notThisMember)
	case !errors.Is(err, fs.ErrNotExist):
		return id, err
	}
	if err := clearForCreation(e.FS, cfg.Dir); err != nil {
		return id, err
	}
	if len(cfg.Members) == 0 {
		return id, fmt.Errorf("no data to start from, and no members to start a new cluster with")
	}
	id = wal.Identity{
		ClusterID: cfg.ClusterID,
		MemberID:  cfg.MemberID,
		Bootstrap: apply.EncodeMembers(cfg.Members),
	}
	binary.BigEndian.PutUint64(id.Incarnation[:8], e.Rand.Uint64())
	binary.BigEndian.PutUint64(id.Incarnation[8:], e.Rand.Uint64())
	return id, create(e.FS, cfg, id)
}

func checkIdentity(id wal.Identity, cfg Config) error {
	if id.ClusterID != cfg.ClusterID || id.MemberID != cfg.MemberID {
		return fmt.Errorf("%w: it holds member %x of cluster %x, this start is for member %x of cluster %x: look for the "+
			"right --data-dir; nothing was changed in this one", ErrForeignData, id.MemberID, id.ClusterID, cfg.MemberID, cfg.ClusterID)
	}
	return nil
}

// create makes a new node's files. The identity comes last: from then on the node exists.
func create(f env.FS, cfg Config, id wal.Identity) error {
	base := wal.Snapshot{Index: initialIndex, Term: initialTerm, ConfState: initialConf(cfg.Members)}
	hs, err := wal.CreateHardState(f, wal.HardState{Term: initialTerm})
	if err != nil {
		return fmt.Errorf("create hard state: %w", err)
	}
	if err := hs.Close(); err != nil {
		return fmt.Errorf("create hard state: %w", err)
	}
	if err := wal.Create(f, walDir, walConfig(cfg, id), base); err != nil {
		return fmt.Errorf("create write-ahead log: %w", err)
	}
	db, err := backend.Create(f, stateDir, cfg.Backend, apply.InitialBatch(cfg.ClusterID, cfg.Members))
	if err != nil {
		return fmt.Errorf("create state: %w", err)
	}
	if err := db.Close(); err != nil {
		return fmt.Errorf("create state: %w", err)
	}
	if err := wal.CreateIdentity(f, id); err != nil {
		return fmt.Errorf("create identity: %w", err)
	}
	return endCreation(f)
}

// endCreation removes the marker. A start that finds an identity does it too, in case a crash came in between: a marker
// that stays would let a node that loses its identity later be taken for one that never was. And what an earlier start has
// created, and did not live to sync the name of, would be gone after a power cut, with all that was written to it since.
func endCreation(f env.FS) error {
	if err := f.Remove(creating); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("end the creation of data: %w", err)
	}
	if err := f.SyncDir(""); err != nil {
		return fmt.Errorf("sync the data directory: %w", err)
	}
	return nil
}

// clearForCreation makes sure that nothing is there but the remains of an interrupted creation, and removes those. dir is
// what the data directory is called outside.
func clearForCreation(f env.FS, dir string) error {
	names, err := f.List("")
	if err != nil {
		return fmt.Errorf("list data directory: %w", err)
	}
	// Who starts a member here expects to find the keys: an empty store in their place would look like their loss.
	if slices.Contains(names, etcdDir) {
		return fmt.Errorf("%w: %s is there, in which etcd keeps its files; they are not read, and nothing was changed: start "+
			"with a new, empty --data-dir, and copy the keys from etcd while it runs on this one (quorumctl --endpoints ETCD "+
			"make-mirror MEMBER)", ErrEtcdData, path.Join(dir, etcdDir))
	}
	marked := false
	var found string
	for _, name := range names {
		switch name {
		case creating:
			marked = true
		case datadir.HardState, datadir.Peers, walDir, stateDir, snapDir:
			found = name
		}
	}
	if found != "" && !marked {
		return fmt.Errorf("%w, but %q is there: %s", ErrIdentityMissing, found, notThisMember)
	}
	if !marked {
		mark, err := f.Create(creating, 0)
		if err != nil {
			return fmt.Errorf("create data: %w", err)
		}
		if err := errors.Join(mark.Sync(), mark.Close(), f.SyncDir("")); err != nil {
			return fmt.Errorf("create data: %w", err)
		}
	}
	for _, name := range []string{datadir.HardState, datadir.Peers, walDir, stateDir, snapDir} {
		if err := removeAll(f, name); err != nil {
			return fmt.Errorf("clear an interrupted creation: %w", err)
		}
	}
	return nil
}

func removeAll(f env.FS, name string) error {
	children, err := f.List(name)
	if err == nil {
		for _, c := range children {
			if err := removeAll(f, path.Join(name, c)); err != nil {
				return err
			}
		}
	}
	if err := f.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func walConfig(cfg Config, id wal.Identity) wal.Config {
	return wal.Config{SegmentBytes: cfg.SegmentBytes, Seed: id.Incarnation}
}

func initialConf(members []apply.Member) *raftpb.ConfState {
	conf := &raftpb.ConfState{}
	for _, m := range members {
		if m.Learner {
			conf.Learners = append(conf.Learners, m.ID)
		} else {
			conf.Voters = append(conf.Voters, m.ID)
		}
	}
	return conf
}
