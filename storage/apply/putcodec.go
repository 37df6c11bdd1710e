package apply

import (
	"encoding/binary"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/internal/protofield"
)

// Protobuf tags (field number << 3 | wire type, which is 0 for a number) of a put in an InternalRaftRequest, and of a
// PutRequest's fields.
const (
	tagRequestPut     = 4<<3 | 2
	tagPutKey         = 1<<3 | 2
	tagPutValue       = 2<<3 | 2
	tagPutLease       = 3 << 3
	tagPutPrevKV      = 4 << 3
	tagPutIgnoreValue = 5 << 3
	tagPutIgnoreLease = 6 << 3
)

// EncodePut returns the InternalRaftRequest that is put and nothing else, as the protobuf library encodes it. It is at hand
// for what most commands are.
func EncodePut(put *pb.PutRequest) ([]byte, error) {
	if len(put.ProtoReflect().GetUnknown()) > 0 {
		return proto.Marshal(&pb.InternalRaftRequest{Put: put})
	}
	size := protofield.BytesSize(put.Key) + protofield.BytesSize(put.Value) + protofield.NumberSize(put.Lease) +
		protofield.NumberSize(number(put.PrevKv)) + protofield.NumberSize(number(put.IgnoreValue)) +
		protofield.NumberSize(number(put.IgnoreLease))
	b := make([]byte, 0, 1+protowire.SizeBytes(size))
	b = append(b, tagRequestPut)
	b = binary.AppendUvarint(b, uint64(size))
	b = protofield.AppendBytes(b, tagPutKey, put.Key)
	b = protofield.AppendBytes(b, tagPutValue, put.Value)
	b = protofield.AppendNumber(b, tagPutLease, put.Lease)
	b = protofield.AppendNumber(b, tagPutPrevKV, number(put.PrevKv))
	b = protofield.AppendNumber(b, tagPutIgnoreValue, number(put.IgnoreValue))
	return protofield.AppendNumber(b, tagPutIgnoreLease, number(put.IgnoreLease)), nil
}

// number is a field that is true or false.
func number(v bool) uint64 {
	if v {
		return 1
	}
	return 0
}

// decodePut fills put, which must be zero, from an encoded InternalRaftRequest that is a put and nothing else, unless DecodePut
// leaves it to the protobuf library. Most commands are puts, and nothing of them is copied this way.
func decodePut(request []byte, put *pb.PutRequest) bool {
	f, rest, ok := protofield.Next(request)
	return ok && f.Tag == tagRequestPut && len(rest) == 0 && DecodePut(f.Bytes, put)
}

// DecodePut fills put, which must be zero, from an encoded PutRequest; key and value alias message. It reports false, and leaves
// the message to the protobuf library, when there is anything in it that it does not know: what it accepts means the same to
// both. After that nothing in put counts.
func DecodePut(message []byte, put *pb.PutRequest) bool {
	return protofield.Each(message, func(f protofield.Field) bool {
		switch f.Tag {
		case tagPutKey:
			put.Key = f.Bytes
			return len(f.Bytes) > 0
		case tagPutValue:
			put.Value = f.Bytes
			return len(f.Bytes) > 0
		case tagPutLease:
			put.Lease = int64(f.Number)
		case tagPutPrevKV:
			put.PrevKv = f.Number != 0
		case tagPutIgnoreValue:
			put.IgnoreValue = f.Number != 0
		case tagPutIgnoreLease:
			put.IgnoreLease = f.Number != 0
		default:
			return false
		}
		return true
	})
}
