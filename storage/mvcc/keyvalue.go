package mvcc

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/internal/protofield"
	"github.com/quorumkv/quorumkv/storage/backend"
)

// Protobuf tags (field number << 3 | wire type) of mvccpb.KeyValue and of our checksum.
const (
	tagKey            = 1<<3 | typeBytes
	tagCreateRevision = 2<<3 | typeVarint
	tagModRevision    = 3<<3 | typeVarint
	tagVersion        = 4<<3 | typeVarint
	tagValue          = 5<<3 | typeBytes
	tagLease          = 6<<3 | typeVarint
	tagChecksum       = 15<<3 | typeFixed32

	typeVarint  = 0
	typeBytes   = 2
	typeFixed32 = 5

	checksumBytes = 1 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// KeyValueSize is the length of what AppendKeyValue appends.
func KeyValueSize(kv *mvccpb.KeyValue) int {
	return protofield.BytesSize(kv.Key) + protofield.NumberSize(kv.CreateRevision) + protofield.NumberSize(kv.ModRevision) +
		protofield.NumberSize(kv.Version) + protofield.BytesSize(kv.Value) + protofield.NumberSize(kv.Lease)
}

// AppendKeyValue appends the bytes that proto.Marshal gives: fields in the order of their numbers, zero ones left out.
func AppendKeyValue(b []byte, kv *mvccpb.KeyValue) []byte {
	b = protofield.AppendBytes(b, tagKey, kv.Key)
	b = protofield.AppendNumber(b, tagCreateRevision, kv.CreateRevision)
	b = protofield.AppendNumber(b, tagModRevision, kv.ModRevision)
	b = protofield.AppendNumber(b, tagVersion, kv.Version)
	b = protofield.AppendBytes(b, tagValue, kv.Value)
	return protofield.AppendNumber(b, tagLease, kv.Lease)
}

// decodeKeyValue fills kv, which must be zero, from b; Key and Value alias b. It knows the fields that we and etcd
// write, and leaves anything else to the protobuf library, so it accepts what that accepts.
func decodeKeyValue(b []byte, kv *mvccpb.KeyValue) error {
	for rest := b; len(rest) > 0; {
		tag := rest[0]
		v, n := binary.Uvarint(rest[1:])
		if n <= 0 {
			return decodeAnyKeyValue(b, kv)
		}
		rest = rest[1+n:]
		switch tag {
		case tagKey, tagValue:
			if v > uint64(len(rest)) {
				return decodeAnyKeyValue(b, kv)
			}
			if tag == tagKey {
				kv.Key = rest[:v:v]
			} else {
				kv.Value = rest[:v:v]
			}
			rest = rest[v:]
		case tagCreateRevision:
			kv.CreateRevision = int64(v)
		case tagModRevision:
			kv.ModRevision = int64(v)
		case tagVersion:
			kv.Version = int64(v)
		case tagLease:
			kv.Lease = int64(v)
		default:
			return decodeAnyKeyValue(b, kv)
		}
	}
	return nil
}

func decodeAnyKeyValue(b []byte, kv *mvccpb.KeyValue) error {
	if err := proto.Unmarshal(b, kv); err != nil { // resets kv first
		return fmt.Errorf("decode key-value: %w: %w", backend.ErrDamaged, err)
	}
	return nil
}

// rowBytes is the size of an event's row: key and stored value.
func (e *Event) rowBytes() int { return revisionKeyBytes(e.Delete) + rowValueSize(e) }

// rowValueSize is the length of what appendRowValue appends.
func rowValueSize(e *Event) int {
	if e.Delete {
		return protofield.BytesSize(e.KV.Key) + checksumBytes
	}
	return KeyValueSize(e.KV) + checksumBytes
}

// appendRowValue appends the stored form of an event: etcd's bytes, then the checksum of the row's key and those bytes.
func appendRowValue(b []byte, rowKey []byte, e *Event) []byte {
	start := len(b)
	if e.Delete {
		b = protofield.AppendBytes(b, tagKey, e.KV.Key) // a tombstone holds nothing else
	} else {
		b = AppendKeyValue(b, e.KV)
	}
	sum := rowChecksum(rowKey, b[start:])
	b = append(b, tagChecksum)
	return binary.LittleEndian.AppendUint32(b, sum)
}

func rowChecksum(rowKey, value []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, rowKey), castagnoli, value)
}

// openRowValue verifies a stored row and returns etcd's bytes.
func openRowValue(rowKey, stored []byte) ([]byte, error) {
	n := max(0, len(stored)-checksumBytes)
	return stored[:n:n], verifyRow(rowKey, stored[:n], stored[n:])
}

// verifyRow compares a row with its checksum as it is stored.
func verifyRow(rowKey, value, checksum []byte) error {
	if len(checksum) != checksumBytes || checksum[0] != tagChecksum ||
		binary.LittleEndian.Uint32(checksum[1:]) != rowChecksum(rowKey, value) {
		return fmt.Errorf("row %x, %d bytes: checksum: %w", rowKey, len(value)+len(checksum), backend.ErrDamaged)
	}
	return nil
}
