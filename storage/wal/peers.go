package wal

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/storage/datadir"
)

// Peer is the last run of another member that this node listened to.
type Peer struct {
	Member       uint64
	Incarnation  [16]byte
	Epoch, Nonce uint64
	// Refused is the nonce of a run that had forgotten what the member had promised; 0 if there was none.
	Refused uint64
}

// Peers is what tells the runs of members apart.
type Peers struct {
	// Epoch is that of this node's newest run, and Runs are the nonces of its last MaxRuns ones, the newest last. A run that
	// ended before it had one has 0.
	Epoch uint64
	Runs  []uint64
	// Met are the other members, MaxPeers at most.
	Met []Peer
}

// ErrPeersLost says that both copies are damaged: the node does not know any more whom it has met, nor its own runs.
var ErrPeersLost = errors.New("the list of peers met is lost")

const (
	peersName      = datadir.Peers
	peersMagic     = "QKVPRS\x00\x01"
	peersCopySize  = 4096
	peersFixedSize = 40
	peerSize       = 48
	// MaxRuns is how many of its own runs a node remembers, and MaxPeers how many other members.
	MaxRuns  = 64
	MaxPeers = (peersCopySize - peersFixedSize - 8*MaxRuns) / peerSize
)

// PeersFile remembers whom the node has met, in two copies, as [HardStateFile] does: at any crash one is whole and has all
// that Save returned for. It has its space from the start, so that a full disk keeps no peer out.
type PeersFile struct {
	file  env.File
	seq   uint64
	first int // the copy that Save writes first
	buf   [peersCopySize]byte
}

// OpenPeers reads whom the node has met, and makes an empty file if there is none. After a failed sync what it returns may
// be in the page cache only: it counts once it was saved anew. The error matches ErrPeersLost if no copy is intact.
func OpenPeers(f env.FS) (*PeersFile, Peers, error) {
	file, err := f.Open(peersName)
	if errors.Is(err, fs.ErrNotExist) {
		return CreatePeers(f)
	}
	if err != nil {
		return nil, Peers{}, fmt.Errorf("open %s: %w", peersName, err)
	}
	p := &PeersFile{file: file}
	known, err := p.read()
	if err != nil {
		return nil, Peers{}, errors.Join(err, file.Close())
	}
	return p, known, nil
}

// CreatePeers makes an empty file, durably, replacing one that is there.
func CreatePeers(f env.FS) (*PeersFile, Peers, error) {
	var content [2 * peersCopySize]byte
	encodePeers(content[:peersCopySize], 1, Peers{})
	encodePeers(content[peersCopySize:], 1, Peers{})
	if err := writeNew(f, peersName, content[:]); err != nil {
		return nil, Peers{}, err
	}
	file, err := f.Open(peersName)
	if err != nil {
		return nil, Peers{}, fmt.Errorf("open %s: %w", peersName, err)
	}
	return &PeersFile{file: file, seq: 1}, Peers{}, nil
}

// read returns the newest intact copy. Save begins with the other one.
func (p *PeersFile) read() (Peers, error) {
	seq1, peers1, err1 := readPeers(p.file, 0)
	seq2, peers2, err2 := readPeers(p.file, 1)
	switch {
	case err1 != nil && err2 != nil:
		return Peers{}, fmt.Errorf("%w: file %s: copy 1: %w; copy 2: %w", ErrPeersLost, peersName, err1, err2)
	case err1 != nil || (err2 == nil && seq2 > seq1):
		p.seq, p.first = seq2, 0
		return peers2, nil
	}
	p.seq, p.first = seq1, 1
	return peers1, nil
}

// Save makes peers durable. After env.ErrNoSpace one copy at least is as it was, and Save may be called
// again; after any other error nothing is known.
func (p *PeersFile) Save(peers Peers) error {
	for _, i := range [2]int{p.first, 1 - p.first} {
		if err := p.writeCopy(i, p.seq+1, peers); err != nil {
			return fmt.Errorf("save %s: %w", peersName, err)
		}
	}
	p.seq++
	return nil
}

func (p *PeersFile) writeCopy(i int, seq uint64, peers Peers) error {
	encodePeers(p.buf[:], seq, peers)
	if _, err := p.file.WriteAt(p.buf[:], int64(i)*peersCopySize); err != nil {
		return fmt.Errorf("write copy %d: %w", i+1, err)
	}
	if err := p.file.Sync(); err != nil {
		return fmt.Errorf("sync copy %d: %w", i+1, err)
	}
	return nil
}

// Close gives up the file.
func (p *PeersFile) Close() error {
	if err := p.file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", peersName, err)
	}
	return nil
}

func encodePeers(b []byte, seq uint64, peers Peers) {
	clear(b)
	copy(b, peersMagic)
	le.PutUint64(b[8:], seq)
	le.PutUint32(b[16:], uint32(len(peers.Met)))
	le.PutUint64(b[24:], peers.Epoch)
	le.PutUint64(b[32:], uint64(len(peers.Runs)))
	r := b[peersFixedSize:]
	for i, nonce := range peers.Runs {
		le.PutUint64(r[8*i:], nonce)
	}
	r = r[8*MaxRuns:]
	for i, p := range peers.Met {
		r := r[i*peerSize:]
		le.PutUint64(r, p.Member)
		copy(r[8:], p.Incarnation[:])
		le.PutUint64(r[24:], p.Epoch)
		le.PutUint64(r[32:], p.Nonce)
		le.PutUint64(r[40:], p.Refused)
	}
	le.PutUint32(b[20:], peersCRC(b))
}

func peersCRC(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:20], castagnoli), castagnoli, b[24:])
}

func readPeers(file env.File, i int) (uint64, Peers, error) {
	var b [peersCopySize]byte
	if err := readAt(file, b[:], int64(i)*peersCopySize); err != nil {
		return 0, Peers{}, err
	}
	return decodePeers(b[:])
}

func decodePeers(b []byte) (seq uint64, peers Peers, err error) {
	if string(b[:8]) != peersMagic {
		return 0, peers, fmt.Errorf("it starts with %x, not %x", b[:8], peersMagic)
	}
	if sum, want := peersCRC(b), le.Uint32(b[20:]); sum != want {
		return 0, peers, fmt.Errorf("it has checksum %08x and states %08x", sum, want)
	}
	met, runs := le.Uint32(b[16:]), le.Uint64(b[32:])
	if met > MaxPeers || runs > MaxRuns {
		return 0, peers, fmt.Errorf("it states %d peers and %d runs, the most is %d and %d", met, runs, MaxPeers, MaxRuns)
	}
	peers.Epoch = le.Uint64(b[24:])
	r := b[peersFixedSize:]
	for i := range int(runs) {
		peers.Runs = append(peers.Runs, le.Uint64(r[8*i:]))
	}
	r = r[8*MaxRuns:]
	for i := range int(met) {
		r := r[i*peerSize:]
		peers.Met = append(peers.Met, Peer{le.Uint64(r), [16]byte(r[8:24]), le.Uint64(r[24:]), le.Uint64(r[32:]), le.Uint64(r[40:])})
	}
	return le.Uint64(b[8:]), peers, nil
}
