package mvcc

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// file is the path of the state file of a rig that never switched.
func (r *rig) file() string { return r.fs.MapPath(stateDir + "/0000000000000001/db") }

// xor changes one byte of the file. The mapping of an open store shows it at once.
func (r *rig) xor(offset int, mask byte) {
	r.t.Helper()
	f, err := os.OpenFile(r.file(), os.O_RDWR, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], int64(offset)); err != nil {
		r.t.Fatal(err)
	}
	b[0] ^= mask
	if _, err := f.WriteAt(b[:], int64(offset)); err != nil {
		r.t.Fatal(err)
	}
}

// TestFlippedByteOfARow changes every byte of a row, its key, its pair and its checksum, one at a time.
func TestFlippedByteOfARow(t *testing.T) {
	r := newRig(t)
	r.put("other", "untouched")
	r.put("key", "the value to be damaged")
	r.flush()
	v := r.store.View()
	rowKey := appendRevisionKey(nil, Revision{Main: 3}, false)
	e := Event{Rev: Revision{Main: 3}, KV: mustGet(t, v, "key")}
	pattern := appendRowValue(bytes.Clone(rowKey), rowKey, &e) // bbolt lays the value right behind the key
	content, err := os.ReadFile(r.file())
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(content, pattern)
	if at < 0 {
		t.Fatal("the row is not in the file")
	}
	for i := range pattern {
		for _, mask := range []byte{1, 0x80, 0xff} {
			r.xor(at+i, mask)
			if res, err := v.Range([]byte("key"), nil, RangeOptions{}); !errors.Is(err, backend.ErrDamaged) {
				t.Fatalf("byte %d: range gives %v, %v", i, res, err)
			}
			if _, err := v.Range([]byte{0}, []byte{0}, RangeOptions{}); !errors.Is(err, backend.ErrDamaged) {
				t.Fatalf("byte %d: range of all gives %v", i, err)
			}
			if _, err := v.RangeEncoded([]byte("key"), nil, RangeOptions{}, newPlace); !errors.Is(err, backend.ErrDamaged) {
				t.Fatalf("byte %d: encoded range gives %v", i, err)
			}
			if h, err := v.HashKV(0); !errors.Is(err, backend.ErrDamaged) && i >= len(rowKey) {
				t.Fatalf("byte %d: hash gives %v, %v", i, h, err)
			}
			if _, err := Open(r.db, r.recent); !errors.Is(err, backend.ErrDamaged) {
				t.Fatalf("byte %d: open gives %v", i, err)
			}
			if _, err := v.Range([]byte("other"), nil, RangeOptions{}); err != nil && i >= len(rowKey) {
				t.Fatalf("byte %d: the other row: %v", i, err)
			}
			r.xor(at+i, mask)
		}
	}
	if _, err := Open(r.db, r.recent); err != nil {
		t.Fatalf("after all is put right: %v", err)
	}
}

// TestBitRot flips bits anywhere in the leaf pages of a store in use. Answers are right or ErrDamaged, never wrong.
func TestBitRot(t *testing.T) {
	forSeeds(t, 3, func(t *testing.T, rng *rand.Rand) {
		r := newRig(t)
		for i := range 400 {
			r.put(fmt.Sprint("key", i%150), strings.Repeat(fmt.Sprint(i, " "), 1+rng.IntN(30)))
		}
		r.flush()
		v := r.store.View()
		want, err := v.Range([]byte{0}, []byte{0}, RangeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		wantHash, err := v.HashKV(0)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(r.file())
		if err != nil {
			t.Fatal(err)
		}
		page := os.Getpagesize()
		const leafFlag, flagsAt = 0x02, 8 // a page begins: id 8, flags 2
		found := 0
		for range 400 {
			at := rng.IntN(len(content))
			if start := at / page * page; start < 2*page || content[start+flagsAt] != leafFlag {
				continue
			}
			mask := byte(1) << rng.IntN(8)
			r.xor(at, mask)
			got, err := v.Range([]byte{0}, []byte{0}, RangeOptions{})
			if err == nil && !sameResult(got, want) || err != nil && !errors.Is(err, backend.ErrDamaged) {
				t.Fatalf("bit %02x of byte %d: range gives %v", mask, at, err)
			}
			if err != nil {
				found++
			}
			// A row that went missing is not noticed by the digest, which then differs: that is its purpose.
			if h, err := v.HashKV(0); err != nil && !errors.Is(err, backend.ErrDamaged) || err != nil && h != (HashKV{}) {
				t.Fatalf("bit %02x of byte %d: hash gives %v, %v", mask, at, h, err)
			}
			s, err := Open(r.db, r.recent)
			if err == nil {
				if h, err := s.View().HashKV(0); err != nil || h != wantHash {
					t.Fatalf("bit %02x of byte %d: opened, hash gives %v, %v", mask, at, h, err)
				}
			} else if !errors.Is(err, backend.ErrDamaged) {
				t.Fatalf("bit %02x of byte %d: open gives %v", mask, at, err)
			}
			r.xor(at, mask)
		}
		if found == 0 {
			t.Fatal("no flip did any damage")
		}
	})
}

// TestLostAndAlienRecords changes the store behind its back, in ways that page-level damage could.
func TestLostAndAlienRecords(t *testing.T) {
	row := func(e Event) (key, value []byte) {
		key = appendRevisionKey(nil, e.Rev, e.Delete)
		return key, appendRowValue(nil, key, &e)
	}
	for name, damage := range map[string]func(r *rig, b *backend.Batch){
		"row lost": func(r *rig, b *backend.Batch) {
			b.Delete(backend.Key, appendRevisionKey(nil, Revision{Main: 3}, false))
		},
		"tombstone lost": func(r *rig, b *backend.Batch) {
			b.Delete(backend.Key, appendRevisionKey(nil, Revision{Main: 5}, true))
		},
		"row of the future": func(r *rig, b *backend.Batch) {
			k, v := row(Event{Rev: Revision{Main: 99}, KV: mustGet(r.t, r.store.View(), "a")})
			b.Put(backend.Key, k, v)
			b.Delete(backend.Key, appendRevisionKey(nil, Revision{Main: 3}, false))
		},
		"row of another revision": func(r *rig, b *backend.Batch) {
			k, v := row(Event{Rev: Revision{Main: 3}, KV: mustGet(r.t, r.store.View(), "a")})
			b.Put(backend.Key, k, v)
		},
		"row key cut":     func(r *rig, b *backend.Batch) { b.Put(backend.Key, []byte("short"), []byte("x")) },
		"current cut":     func(r *rig, b *backend.Batch) { b.Put(backend.Meta, currentKey, []byte{1, 2, 3}) },
		"current lost":    func(r *rig, b *backend.Batch) { b.Delete(backend.Meta, currentKey) },
		"current flipped": func(r *rig, b *backend.Batch) { b.Put(backend.Meta, currentKey, make([]byte, currentBytes)) },
		"scheduled lost":  func(r *rig, b *backend.Batch) { b.Delete(backend.Meta, scheduledKey) },
		"scheduled cut":   func(r *rig, b *backend.Batch) { b.Put(backend.Meta, scheduledKey, []byte("x")) },
		"scheduled differs": func(r *rig, b *backend.Batch) {
			b.Put(backend.Meta, scheduledKey, appendRevisionKey(nil, Revision{Main: 3}, false))
		},
		"finished too high": func(r *rig, b *backend.Batch) {
			b.Put(backend.Meta, finishedKey, appendRevisionKey(nil, Revision{Main: 3}, false))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.put("a", "1") // 2
			r.put("b", "1") // 3
			r.put("c", "1") // 4
			r.delete("c", "")
			r.compact(2)
			r.store.CompactStep(5)
			r.flush()
			var b backend.Batch
			damage(r, &b)
			if err := r.db.Commit(&b); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, "row") {
				_, err := r.store.View().Range([]byte{0}, []byte{0}, RangeOptions{})
				if _, hashErr := r.store.View().HashKV(0); !errors.Is(err, backend.ErrDamaged) && !errors.Is(hashErr, backend.ErrDamaged) {
					t.Errorf("range gives %v, hash %v", err, hashErr)
				}
			}
			if _, err := Open(r.db, r.recent); !errors.Is(err, backend.ErrDamaged) {
				t.Errorf("open gives %v", err)
			}
		})
	}
}
