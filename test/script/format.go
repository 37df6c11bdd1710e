package script

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/status"
)

func formatError(err error) string {
	st := status.Convert(err)
	return fmt.Sprintf("error %s: %s\n", st.Code(), st.Message())
}

// relative prints a revision as the base sees it. 0 is no revision and stays.
func (s *Session) relative(revision int64) string {
	if revision == 0 {
		return "0"
	}
	return fmt.Sprintf("%+d", revision-s.base)
}

// format prints a response without its header: the rest of the first line, then its parts, each on a line of its own.
func (s *Session) format(response any, indent string) string {
	var b strings.Builder
	switch r := response.(type) {
	case *pb.PutResponse:
		b.WriteByte('\n')
		s.pairs(&b, indent+"was ", r.PrevKv)
	case *pb.DeleteRangeResponse:
		fmt.Fprintf(&b, " deleted=%d\n", r.Deleted)
		s.pairs(&b, indent+"was ", r.PrevKvs...)
	case *pb.RangeResponse:
		fmt.Fprintf(&b, " count=%d", r.Count)
		if r.More {
			b.WriteString(" more")
		}
		b.WriteByte('\n')
		s.pairs(&b, indent, r.Kvs...)
	case *pb.CompactionResponse:
		b.WriteByte('\n')
	case *pb.HashKVResponse:
		compact := "never"
		if r.CompactRevision > 0 {
			compact = s.relative(r.CompactRevision)
		}
		fmt.Fprintf(&b, " hash=%08x at=%s compacted=%s\n", r.Hash, s.relative(r.HashRevision), compact)
	case *pb.TxnResponse:
		fmt.Fprintf(&b, " succeeded=%v\n", r.Succeeded)
		for i := 0; i < len(r.Responses); {
			part, same := s.part(r.Responses[i], indent), 1
			for i+same < len(r.Responses) && s.part(r.Responses[i+same], indent) == part {
				same++
			}
			i += same
			if same > 3 {
				part = fmt.Sprintf("%s%d times ", indent, same) + strings.TrimPrefix(part, indent)
			} else {
				part = strings.Repeat(part, same)
			}
			b.WriteString(part)
		}
	case *pb.LeaseGrantResponse:
		fmt.Fprintf(&b, " lease=%d ttl=%d %s\n", r.ID, r.TTL, r.Error)
	case *pb.LeaseRevokeResponse:
		b.WriteByte('\n')
	case *pb.LeaseTimeToLiveResponse:
		// What remains is left out while the lease lives: it depends on when.
		fmt.Fprintf(&b, " lease=%d alive=%v granted=%d keys=%q\n", r.ID, r.TTL >= 0, r.GrantedTTL, sorted(r.Keys))
	case *pb.LeaseKeepAliveResponse:
		fmt.Fprintf(&b, " lease=%d ttl=%d\n", r.ID, r.TTL)
	case *pb.LeaseLeasesResponse:
		var ids []int64
		for _, l := range r.Leases {
			ids = append(ids, l.ID)
		}
		slices.Sort(ids) // by expiry, which depends on when
		fmt.Fprintf(&b, " leases=%v\n", ids)
	default:
		fmt.Fprintf(&b, " %T!\n", response)
	}
	return b.String()
}

// part prints the answer to one operation of a transaction.
func (s *Session) part(op *pb.ResponseOp, indent string) string {
	switch o := op.Response.(type) {
	case *pb.ResponseOp_ResponsePut:
		return indent + "put:" + s.format(o.ResponsePut, indent+"  ")
	case *pb.ResponseOp_ResponseRange:
		return indent + "range:" + s.format(o.ResponseRange, indent+"  ")
	case *pb.ResponseOp_ResponseDeleteRange:
		return indent + "del:" + s.format(o.ResponseDeleteRange, indent+"  ")
	case *pb.ResponseOp_ResponseTxn:
		return indent + "txn:" + s.format(o.ResponseTxn, indent+"  ")
	default:
		return fmt.Sprintf("%s%T\n", indent, op.Response)
	}
}

// sorted: etcd lists the keys of a lease in the order of a map.
func sorted(keys [][]byte) [][]byte {
	return slices.SortedFunc(slices.Values(keys), bytes.Compare)
}

// maxPairs keeps golden files readable; the count says how many there were.
const maxPairs = 12

func (s *Session) pairs(b *strings.Builder, indent string, kvs ...*mvccpb.KeyValue) {
	for i, kv := range kvs {
		if kv == nil {
			continue
		}
		if i == maxPairs {
			fmt.Fprintf(b, "%s... %d in all, the last is %s\n", indent, len(kvs), quote(kvs[len(kvs)-1].Key))
			return
		}
		fmt.Fprintf(b, "%s%s = %s create=%s mod=%s version=%d", indent, quote(kv.Key), quote(kv.Value),
			s.relative(kv.CreateRevision), s.relative(kv.ModRevision), kv.Version)
		if kv.Lease != 0 {
			fmt.Fprintf(b, " lease=%d", kv.Lease)
		}
		b.WriteByte('\n')
	}
}

// quote prints bytes, long ones by their size.
func quote(text []byte) string {
	if len(text) > 64 {
		return fmt.Sprintf("%s...(%d bytes)", strconv.Quote(string(text[:8])), len(text))
	}
	return strconv.Quote(string(text))
}
