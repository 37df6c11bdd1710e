package wal

import (
	"bytes"
	"errors"
	"io/fs"
	"testing"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
)

var somebody = Identity{ClusterID: 1, MemberID: 2, Incarnation: [16]byte{3, 4, 5}, Bootstrap: []byte("members")}

func sameIdentity(a, b Identity) bool {
	return a.ClusterID == b.ClusterID && a.MemberID == b.MemberID && a.Incarnation == b.Incarnation &&
		bytes.Equal(a.Bootstrap, b.Bootstrap)
}

func TestIdentity(t *testing.T) {
	f := memfs.New(1, "")
	if _, err := LoadIdentity(f); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("no file: %v", err)
	}
	must(t, CreateIdentity(f, somebody))
	if err := CreateIdentity(f, Identity{}); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("created twice: %v", err)
	}
	img := f.CrashClone(newRand(1), "")
	got, err := LoadIdentity(img)
	must(t, err)
	if !sameIdentity(got, somebody) {
		t.Fatalf("%+v", got)
	}
	size := int(fileSize(img, identityName))
	for bit := range size * 8 {
		img := f.CrashClone(newRand(1), "")
		img.Rot(identityName, int64(bit/8), 1, func(p []byte) { p[0] ^= 1 << (bit % 8) })
		if _, err := LoadIdentity(img); !errors.Is(err, ErrIdentityLost) {
			t.Fatalf("bit %d flipped: %v", bit, err)
		}
	}
	for n := range size {
		img := memfs.New(1, "")
		file, err := img.Create(identityName, 0)
		must(t, err)
		_, err = file.WriteAt(readFile(f, identityName)[:n], 0)
		must(t, err)
		if _, err := LoadIdentity(img); !errors.Is(err, ErrIdentityLost) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

// TestIdentityCrash: an identity is there, whole, or not at all.
func TestIdentityCrash(t *testing.T) {
	eachSeed(t, 50, func(t *testing.T, seed uint64) {
		rng := newRand(seed)
		for k := 1; ; k++ {
			f := memfs.New(seed, "")
			f.SetHook(memfs.CrashAt(k))
			crashed, err := memfs.Catch(func() error { return CreateIdentity(f, somebody) })
			must(t, err)
			img := f.CrashClone(rng, "")
			got, err := LoadIdentity(img)
			switch {
			case err == nil && sameIdentity(got, somebody):
			case crashed && errors.Is(err, fs.ErrNotExist):
				must(t, CreateIdentity(img, somebody)) // remains do not get in the way
			default:
				t.Fatalf("crash before operation %d: %+v, %v", k, got, err)
			}
			if !crashed {
				return
			}
		}
	})
}
