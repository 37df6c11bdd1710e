package apply

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/internal/protofield"
)

// Protobuf tags (field number << 3 | wire type, which is 0 for a number and 2 for bytes and messages) of a transaction in an
// InternalRaftRequest and of what is in one. Those of puts are in putcodec.go.
const (
	tagRequestTxn = 6<<3 | 2

	tagTxnCompare = 1<<3 | 2
	tagTxnSuccess = 2<<3 | 2
	tagTxnFailure = 3<<3 | 2

	tagCompareResult         = 1 << 3
	tagCompareTarget         = 2 << 3
	tagCompareKey            = 3<<3 | 2
	tagCompareVersion        = 4 << 3
	tagCompareCreateRevision = 5 << 3
	tagCompareModRevision    = 6 << 3
	tagCompareValue          = 7<<3 | 2
	tagCompareLease          = 8 << 3

	tagOpRange  = 1<<3 | 2
	tagOpPut    = 2<<3 | 2
	tagOpDelete = 3<<3 | 2

	tagRangeKey          = 1<<3 | 2
	tagRangeEnd          = 2<<3 | 2
	tagRangeLimit        = 3 << 3
	tagRangeRevision     = 4 << 3
	tagRangeSerializable = 7 << 3
	tagRangeKeysOnly     = 8 << 3
	tagRangeCountOnly    = 9 << 3

	tagDeleteKey    = 1<<3 | 2
	tagDeleteEnd    = 2<<3 | 2
	tagDeletePrevKV = 3 << 3
)

// decodeTxn returns the transaction that an encoded InternalRaftRequest is and nothing else, nil if DecodeTxn leaves it to the
// protobuf library. After puts, most commands are transactions, of one compare and one or two operations: what every program
// does that updates a key it has read.
func decodeTxn(request []byte) *pb.TxnRequest {
	f, rest, ok := protofield.Next(request)
	if !ok || f.Tag != tagRequestTxn || len(rest) > 0 {
		return nil
	}
	txn := new(pb.TxnRequest)
	if !DecodeTxn(f.Bytes, txn) {
		return nil
	}
	return txn
}

// DecodeTxn fills txn, which must be zero, from an encoded TxnRequest; keys and values alias message. It reports false, and leaves
// the message to the protobuf library, when there is anything in it that it does not know: what it accepts means the same to
// both. After that nothing in txn counts.
func DecodeTxn(message []byte, txn *pb.TxnRequest) bool {
	return protofield.Each(message, func(f protofield.Field) (ok bool) {
		switch f.Tag {
		case tagTxnCompare:
			c := new(pb.Compare)
			txn.Compare = append(txn.Compare, c)
			return decodeCompare(f.Bytes, c)
		case tagTxnSuccess:
			txn.Success, ok = appendOp(txn.Success, f.Bytes)
		case tagTxnFailure:
			txn.Failure, ok = appendOp(txn.Failure, f.Bytes)
		}
		return ok
	})
}

func decodeCompare(message []byte, c *pb.Compare) bool {
	return protofield.Each(message, func(f protofield.Field) bool {
		switch f.Tag {
		case tagCompareResult:
			c.Result = pb.Compare_CompareResult(f.Number)
		case tagCompareTarget:
			c.Target = pb.Compare_CompareTarget(f.Number)
		case tagCompareKey:
			c.Key = f.Bytes
			return len(f.Bytes) > 0
		case tagCompareVersion:
			c.TargetUnion = &pb.Compare_Version{Version: int64(f.Number)}
		case tagCompareCreateRevision:
			c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: int64(f.Number)}
		case tagCompareModRevision:
			c.TargetUnion = &pb.Compare_ModRevision{ModRevision: int64(f.Number)}
		case tagCompareValue:
			c.TargetUnion = &pb.Compare_Value{Value: f.Bytes}
			return len(f.Bytes) > 0
		case tagCompareLease:
			c.TargetUnion = &pb.Compare_Lease{Lease: int64(f.Number)}
		default:
			return false
		}
		return true
	})
}

// appendOp decodes an operation that is a range, a put or a deletion, stated once.
func appendOp(ops []*pb.RequestOp, message []byte) ([]*pb.RequestOp, bool) {
	f, rest, ok := protofield.Next(message)
	if !ok || len(rest) > 0 {
		return nil, false
	}
	op := new(pb.RequestOp)
	switch f.Tag {
	case tagOpRange:
		r := new(pb.RangeRequest)
		op.Request, ok = &pb.RequestOp_RequestRange{RequestRange: r}, DecodeRange(f.Bytes, r)
	case tagOpPut:
		r := new(pb.PutRequest)
		op.Request, ok = &pb.RequestOp_RequestPut{RequestPut: r}, DecodePut(f.Bytes, r)
	case tagOpDelete:
		r := new(pb.DeleteRangeRequest)
		op.Request, ok = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}, decodeDelete(f.Bytes, r)
	default:
		ok = false
	}
	return append(ops, op), ok
}

// DecodeRange is to a RangeRequest what DecodePut is to a PutRequest.
func DecodeRange(message []byte, r *pb.RangeRequest) bool {
	return protofield.Each(message, func(f protofield.Field) bool {
		switch f.Tag {
		case tagRangeKey:
			r.Key = f.Bytes
			return len(f.Bytes) > 0
		case tagRangeEnd:
			r.RangeEnd = f.Bytes
			return len(f.Bytes) > 0
		case tagRangeLimit:
			r.Limit = int64(f.Number)
		case tagRangeRevision:
			r.Revision = int64(f.Number)
		case tagRangeSerializable:
			r.Serializable = f.Number != 0
		case tagRangeKeysOnly:
			r.KeysOnly = f.Number != 0
		case tagRangeCountOnly:
			r.CountOnly = f.Number != 0
		default:
			return false
		}
		return true
	})
}

func decodeDelete(message []byte, r *pb.DeleteRangeRequest) bool {
	return protofield.Each(message, func(f protofield.Field) bool {
		switch f.Tag {
		case tagDeleteKey:
			r.Key = f.Bytes
			return len(f.Bytes) > 0
		case tagDeleteEnd:
			r.RangeEnd = f.Bytes
			return len(f.Bytes) > 0
		case tagDeletePrevKV:
			r.PrevKv = f.Number != 0
		default:
			return false
		}
		return true
	})
}
