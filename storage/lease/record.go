package lease

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"

	"github.com/quorumkv/quorumkv/storage/backend"
)

// Tags (field number << 3 | wire type) of leasepb.Lease and of our checksum.
const (
	tagID           = 1 << 3
	tagTTL          = 2 << 3
	tagRemainingTTL = 3 << 3
	tagChecksum     = 15<<3 | 5

	keyBytes      = 8
	checksumBytes = 1 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func recordKey(id int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

// encode returns the stored form of a lease: the bytes that protobuf gives, then their checksum.
func (l Lease) encode() []byte {
	b := make([]byte, 0, 2*(1+binary.MaxVarintLen64)+checksumBytes)
	b = binary.AppendUvarint(append(b, tagID), uint64(l.ID))
	b = binary.AppendUvarint(append(b, tagTTL), uint64(l.TTL))
	sum := checksum(recordKey(l.ID), b)
	return binary.LittleEndian.AppendUint32(append(b, tagChecksum), sum)
}

func checksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// decode is the inverse of encode.
func decode(key, stored []byte) (Lease, error) {
	n := len(stored) - checksumBytes
	if len(key) != keyBytes || n < 0 || stored[n] != tagChecksum ||
		binary.LittleEndian.Uint32(stored[n+1:]) != checksum(key, stored[:n]) {
		return Lease{}, fmt.Errorf("record %x, %d bytes: checksum: %w", key, len(stored), backend.ErrDamaged)
	}
	var l Lease
	for rest := stored[:n]; len(rest) > 0; {
		tag := rest[0]
		v, size := binary.Uvarint(rest[1:])
		if size <= 0 {
			return Lease{}, fmt.Errorf("record %x: field %d: %w", key, tag>>3, backend.ErrDamaged)
		}
		rest = rest[1+size:]
		switch tag {
		case tagID:
			l.ID = int64(v)
		case tagTTL:
			l.TTL = int64(v)
		case tagRemainingTTL:
		default:
			return Lease{}, fmt.Errorf("record %x: unknown field %d: %w", key, tag>>3, backend.ErrDamaged)
		}
	}
	if l.ID == 0 || uint64(l.ID) != binary.BigEndian.Uint64(key) || l.TTL <= 0 || l.TTL > MaxTTL {
		return Lease{}, fmt.Errorf("record %x: lease %x of %d s: %w", key, l.ID, l.TTL, backend.ErrDamaged)
	}
	return l, nil
}

// Load reads the leases that a state file holds; no key is attached yet.
func Load(tx *bbolt.Tx) (*Set, error) {
	s := &Set{}
	bucket := tx.Bucket(backend.Lease)
	if bucket == nil {
		return nil, fmt.Errorf("find bucket %s: %w", backend.Lease, backend.ErrDamaged)
	}
	err := bucket.ForEach(func(k, v []byte) error {
		l, err := decode(k, v)
		if err != nil {
			return err
		}
		s.leases.Set(l.ID, &held{Lease: l})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load leases: %w", err)
	}
	return s, nil
}
