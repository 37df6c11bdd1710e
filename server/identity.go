package server

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/wal"
)

// founding is what the flags say about the cluster: who its first members are, and which one starts here. Ids are
// hashes of the peer URLs and the cluster's token, so that every member derives the same ones on its own and clusters
// with other tokens never mix.
type founding struct {
	clusterID, memberID uint64
	members             []apply.Member
}

func newFounding(cfg Config) founding {
	var f founding
	var ids []byte
	for _, m := range cfg.InitialCluster {
		urls := sortedURLs(m.PeerURLs)
		id := shortHash(strings.Join(urls, "\n"), cfg.InitialClusterToken)
		f.members = append(f.members, apply.Member{ID: id, Name: m.Name, PeerURLs: urls})
		if m.Name == cfg.Name {
			f.memberID = id
		}
	}
	slices.SortFunc(f.members, func(a, b apply.Member) int { return strings.Compare(hexID(a.ID), hexID(b.ID)) })
	for i := range f.members {
		ids = binary.BigEndian.AppendUint64(ids, f.members[i].ID)
		// Names and client URLs are what each member says of itself once it runs.
		f.members[i].Name = ""
	}
	f.clusterID = shortHash(string(ids), cfg.InitialClusterToken)
	return f
}

// shortHash is never 0, which raft takes for nobody.
func shortHash(parts ...string) uint64 {
	h := sha256.New()
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return max(1, binary.BigEndian.Uint64(h.Sum(nil)))
}

// settle decides who starts here: the member that the data directory belongs to, if the flags do not contradict it, or
// a founding member when the directory is empty.
func (f founding) settle(cfg Config, files env.FS) (founding, error) {
	id, err := wal.LoadIdentity(files)
	if errors.Is(err, fs.ErrNotExist) {
		if cfg.InitialClusterState == ClusterStateExisting {
			return f, errors.New(`joining a cluster that already runs ("initial-cluster-state: existing") is not ` +
				"supported yet: start all members of a new cluster together")
		}
		return f, cfg.ValidateBootstrap()
	}
	if errors.Is(err, wal.ErrIdentityLost) {
		return f, nil // the node refuses it, and says what is left to do
	}
	if err != nil {
		return f, err
	}
	// A restart without --initial-cluster names this member alone: nothing to contradict.
	unnamed := len(f.members) == 1
	if (f.memberID != id.MemberID && !unnamed) || (f.clusterID != id.ClusterID && !unnamed) {
		return f, fmt.Errorf("%w: data-dir %s holds member %s of cluster %s, but the flags describe member %s of cluster %s; "+
			"use the flags it was started with, or another data-dir", raftnode.ErrForeignData, cfg.DataDir,
			hexID(id.MemberID), hexID(id.ClusterID), hexID(f.memberID), hexID(f.clusterID))
	}
	f.clusterID, f.memberID = id.ClusterID, id.MemberID
	return f, nil
}

func hexID(id uint64) string { return fmt.Sprintf("%016x", id) }
