package lease

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/quorumkv/quorumkv/internal/sim/memfs"
	"github.com/quorumkv/quorumkv/storage/backend"
)

func TestKeysAreSorted(t *testing.T) {
	s := &Set{}
	s.Grant(Lease{ID: 1, TTL: 5})
	for _, k := range []string{"b", "a", "c", "b"} {
		if !s.Attach(1, k) {
			t.Fatal("not attached")
		}
	}
	if keys, ok := s.Keys(1); !ok || !slices.Equal(keys, []string{"a", "b", "c"}) {
		t.Errorf("keys %q, %t", keys, ok)
	}
	s.Detach(1, "b")
	if s.Holds(1, "b") || !s.Holds(1, "a") || s.Holds(2, "a") {
		t.Error("holds what it let go, or not what it kept")
	}
	if s.Attach(2, "a") || s.Has(2) {
		t.Error("attached to a lease that is not there")
	}
	if keys, ok := s.Keys(2); ok {
		t.Errorf("keys %q of a lease that is not there", keys)
	}
}

func TestSetRefuses(t *testing.T) {
	for name, f := range map[string]func(s *Set){
		"a second grant":            func(s *Set) { s.Grant(Lease{ID: 1, TTL: 5}) },
		"revocation while it holds": func(s *Set) { s.Revoke(1) },
		"revocation of nothing":     func(s *Set) { s.Revoke(2) },
		"detaching from nothing":    func(s *Set) { s.Detach(2, "a") },
	} {
		func() {
			s := &Set{}
			s.Grant(Lease{ID: 1, TTL: 5})
			s.Attach(1, "a")
			defer func() {
				if recover() == nil {
					t.Errorf("%s passes", name)
				}
			}()
			f(s)
		}()
	}
}

// What one flush writes the next start reads, whatever came and went in between.
func TestFlushAndLoad(t *testing.T) {
	db, err := backend.Create(memfs.New(1, t.TempDir()), "state", backend.Options{NoSync: true}, &backend.Batch{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s := &Set{}
	flush := func() {
		var b backend.Batch
		s.Seal(&b)
		if err := db.Commit(&b); err != nil {
			t.Fatal(err)
		}
		s.Flushed()
	}
	s.Grant(Lease{ID: 3, TTL: MaxTTL})
	s.Grant(Lease{ID: -1, TTL: 1})
	s.Grant(Lease{ID: 2, TTL: 7})
	s.Revoke(2)
	flush()
	s.Revoke(3)
	s.Grant(Lease{ID: 3, TTL: 9})
	s.Grant(Lease{ID: 1 << 62, TTL: 60})
	if s.Fresh() != 3 {
		t.Errorf("%d changes fresh", s.Fresh())
	}
	s.Seal(new(backend.Batch)) // which finds the disk full
	s.NotFlushed()
	var b backend.Batch
	s.Seal(&b)
	s.Grant(Lease{ID: 5, TTL: 3}) // meanwhile
	if s.Fresh() != 1 {
		t.Errorf("%d changes fresh after the seal", s.Fresh())
	}
	if err := db.Commit(&b); err != nil {
		t.Fatal(err)
	}
	s.Flushed()
	var loaded *Set
	if err := db.Read(func(tx *bbolt.Tx) (err error) { loaded, err = Load(tx); return err }); err != nil {
		t.Fatal(err)
	}
	want := []Lease{{ID: -1, TTL: 1}, {ID: 3, TTL: 9}, {ID: 1 << 62, TTL: 60}}
	if got := loaded.All(); !slices.Equal(got, want) || loaded.Len() != 3 || loaded.Fresh() != 0 {
		t.Errorf("loaded %v, %d fresh", got, loaded.Fresh())
	}
}

// The stored bytes are etcd's, and the checksum is a field that protobuf skips.
func TestRecordIsEtcds(t *testing.T) {
	stored := Lease{ID: 0x1234, TTL: 300}.encode()
	if got, want := hex.EncodeToString(stored[:len(stored)-checksumBytes]), "08b42410ac02"; got != want {
		t.Errorf("stored %s, want %s", got, want)
	}
	var fields []protowire.Number
	for b := stored; len(b) > 0; {
		number, _, n := protowire.ConsumeField(b)
		if n < 0 {
			t.Fatalf("%x is not protobuf", b)
		}
		fields, b = append(fields, number), b[n:]
	}
	if !slices.Equal(fields, []protowire.Number{1, 2, 15}) {
		t.Errorf("fields %v", fields)
	}
}

// A record that etcd checkpointed has a third field.
func TestRemainingTTLIsPassedOver(t *testing.T) {
	key := recordKey(5)
	b := []byte{tagID, 5, tagTTL, 9, tagRemainingTTL, 4}
	if l, err := decode(key, seal(key, b)); err != nil || l != (Lease{ID: 5, TTL: 9}) {
		t.Errorf("%v, %v", l, err)
	}
}

func seal(key, value []byte) []byte {
	sum := checksum(key, value)
	return append(bytes.Clone(value), tagChecksum, byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
}

// FuzzDecode gives the decoder records with any content behind a good checksum, and with a bad one.
func FuzzDecode(f *testing.F) {
	good := Lease{ID: 7, TTL: 10}.encode()
	f.Add(recordKey(7), good, false)
	f.Add(recordKey(7), good[:len(good)-checksumBytes], true)
	f.Add([]byte{}, []byte{tagID, 0x80}, true)
	f.Fuzz(func(t *testing.T, key, value []byte, sealed bool) {
		if sealed {
			value = seal(key, value)
		}
		l, err := decode(key, value)
		if err != nil {
			if !errors.Is(err, backend.ErrDamaged) {
				t.Fatalf("%v is not damage", err)
			}
			return
		}
		if again, err := decode(recordKey(l.ID), l.encode()); err != nil || again != l || !bytes.Equal(key, recordKey(l.ID)) {
			t.Fatalf("%x: %v became %v, %v", key, l, again, err)
		}
	})
}
