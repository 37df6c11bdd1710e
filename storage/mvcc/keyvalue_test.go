package mvcc

import (
	"bytes"
	"errors"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/storage/backend"
)

func FuzzKeyValueEncoding(f *testing.F) {
	f.Add([]byte("key"), int64(1), int64(2), int64(3), []byte("value"), int64(4))
	f.Add([]byte{}, int64(0), int64(0), int64(0), []byte{}, int64(0))
	f.Add([]byte{0}, int64(-1), int64(127), int64(128), bytes.Repeat([]byte{1}, 300), int64(-1<<63))
	f.Fuzz(func(t *testing.T, key []byte, create, mod, version int64, value []byte, lease int64) {
		kv := &mvccpb.KeyValue{
			Key: key, CreateRevision: create, ModRevision: mod, Version: version, Value: value, Lease: lease,
		}
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(kv)
		if err != nil {
			t.Fatal(err)
		}
		got := AppendKeyValue(nil, kv)
		if !bytes.Equal(got, want) {
			t.Fatalf("got %x, want %x", got, want)
		}
		if n := KeyValueSize(kv); n != len(want) {
			t.Fatalf("size %d, want %d", n, len(want))
		}
		back := new(mvccpb.KeyValue)
		if err := decodeKeyValue(got, back); err != nil || !proto.Equal(back, kv) {
			t.Fatalf("decoded %v, %v", back, err)
		}
	})
}

func FuzzKeyValueDecoding(f *testing.F) {
	full := AppendKeyValue(nil, &mvccpb.KeyValue{
		Key: []byte("k"), CreateRevision: 1, ModRevision: 2, Version: 3, Value: []byte("v"), Lease: 4,
	})
	f.Add(full)
	f.Add(append(full, full...))                      // the last one of each field counts
	f.Add(append(full, tagChecksum, 1, 2, 3, 4))      // an unknown field
	f.Add([]byte{tagVersion, 0x80, 0x80, 0x00})       // a number longer than it must be
	f.Add([]byte{tagKey, 0xff, 0xff, 0xff, 0xff, 15}) // a length beyond the end
	f.Add([]byte{0x8a, 0x00, 1, 'k'})                 // a tag longer than it must be
	f.Fuzz(func(t *testing.T, b []byte) {
		want, got := new(mvccpb.KeyValue), new(mvccpb.KeyValue)
		wantErr := proto.Unmarshal(b, want)
		err := decodeKeyValue(b, got)
		if (err == nil) != (wantErr == nil) || err != nil && !errors.Is(err, backend.ErrDamaged) {
			t.Fatalf("error %v, protobuf says %v", err, wantErr)
		}
		if err == nil && !proto.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func FuzzRow(f *testing.F) {
	e := Event{Rev: Revision{7, 1}, KV: &mvccpb.KeyValue{Key: []byte("k"), Value: []byte("v")}}
	key := appendRevisionKey(nil, e.Rev, false)
	f.Add(key, appendRowValue(nil, key, &e))
	f.Add(appendRevisionKey(nil, e.Rev, true), []byte{})
	f.Fuzz(func(t *testing.T, key, stored []byte) {
		if r, tombstone, err := parseRevisionKey(key); err == nil {
			if back := appendRevisionKey(nil, r, tombstone); !bytes.Equal(back, key) {
				t.Fatalf("%x parses to %v, %t", key, r, tombstone)
			}
		} else if !errors.Is(err, backend.ErrDamaged) {
			t.Fatal(err)
		}
		if value, err := openRowValue(key, stored); err == nil && len(value) != len(stored)-checksumBytes {
			t.Fatalf("%d bytes of %d", len(value), len(stored))
		} else if err != nil && !errors.Is(err, backend.ErrDamaged) {
			t.Fatal(err)
		}
	})
}

// TestRowLayout pins the format of the package comment.
func TestRowLayout(t *testing.T) {
	e := Event{Rev: Revision{0x0102, 3}, KV: &mvccpb.KeyValue{Key: []byte("k"), ModRevision: 0x0102}}
	key := appendRevisionKey(nil, e.Rev, true)
	if want := "\x00\x00\x00\x00\x00\x00\x01\x02_\x00\x00\x00\x00\x00\x00\x00\x03t"; string(key) != want {
		t.Errorf("key %q", key)
	}
	e.Delete = true
	value := appendRowValue(nil, key, &e)
	if want := "\x0a\x01k\x7d\x01\xf4\xf7%"; string(value) != want {
		t.Errorf("value %q", value)
	}
	if len(value) != rowValueSize(&e) {
		t.Errorf("%d bytes, size says %d", len(value), rowValueSize(&e))
	}
}
