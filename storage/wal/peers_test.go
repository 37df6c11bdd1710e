package wal

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

func samplePeers(epoch uint64, met int) Peers {
	p := Peers{Epoch: epoch, Runs: []uint64{7, 0, epoch}}
	for i := range met {
		p.Met = append(p.Met, Peer{Member: uint64(i + 2), Incarnation: [16]byte{byte(i), 9}, Epoch: epoch + 1, Nonce: 5, Refused: 6})
	}
	return p
}

func wantPeers(t *testing.T, f *memfs.FS, want ...Peers) *PeersFile {
	t.Helper()
	p, got, err := OpenPeers(f)
	must(t, err)
	for i := range want {
		if reflect.DeepEqual(got, want[i]) {
			return p
		}
	}
	t.Fatalf("read %+v, want one of %+v", got, want)
	return nil
}

func TestPeersSurvive(t *testing.T) {
	f := memfs.New(1, "")
	p := wantPeers(t, f, Peers{})
	most := samplePeers(3, MaxPeers)
	most.Runs = make([]uint64, MaxRuns)
	for i := range most.Runs {
		most.Runs[i] = uint64(i) * 11
	}
	for _, want := range []Peers{samplePeers(1, 0), samplePeers(2, 4), most} {
		must(t, p.Save(want))
		must(t, p.Close())
		p = wantPeers(t, f, want)
	}
}

// Damage to one copy costs nothing, whichever it is, and a save after it never leaves the file without an intact copy.
func TestPeersDamage(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 1))
		f := memfs.New(seed, "")
		p := wantPeers(t, f, Peers{})
		before, after := samplePeers(1, 2), samplePeers(2, 3)
		must(t, p.Save(before))
		must(t, p.Close())
		copyOf := rng.Int64N(2) * peersCopySize
		f.Rot(peersName, copyOf+rng.Int64N(peersCopySize), 1, func(b []byte) { b[0] ^= 1 << rng.IntN(8) })
		p = wantPeers(t, f, before)
		f.SetHook(memfs.CrashAt(1 + rng.IntN(4)))
		if crashed, err := memfs.Catch(func() error { return p.Save(after) }); !crashed {
			t.Fatalf("seed %d: no crash, %v", seed, err)
		}
		wantPeers(t, f.CrashClone(rng, ""), before, after)
	}
	f := memfs.New(1, "")
	must(t, wantPeers(t, f, Peers{}).Close())
	for _, off := range []int64{0, peersCopySize} {
		f.Rot(peersName, off+100, 1, func(b []byte) { b[0] ^= 1 })
	}
	if _, _, err := OpenPeers(f); !errors.Is(err, ErrPeersLost) {
		t.Fatalf("both copies damaged: %v", err)
	}
	p, _, err := CreatePeers(f)
	must(t, err)
	must(t, p.Save(samplePeers(1, 1)))
	wantPeers(t, f, samplePeers(1, 1))
}

// A disk that is full keeps nobody out: the file has its space.
func TestPeersOnFullDisk(t *testing.T) {
	f := memfs.New(1, "")
	p := wantPeers(t, f, Peers{})
	f.SetCapacity(f.Used())
	must(t, p.Save(samplePeers(1, 3)))
	f.SetCopyOnWrite()
	if err := p.Save(samplePeers(2, 3)); !errors.Is(err, env.ErrNoSpace) {
		t.Fatalf("saved without space: %v", err)
	}
	f.SetCapacity(memfs.Unlimited)
	must(t, p.Save(samplePeers(3, 3)))
	wantPeers(t, f, samplePeers(3, 3))
}
