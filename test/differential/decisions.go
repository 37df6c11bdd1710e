package differential

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/test/script"
)

// decision is one row of the table of etcd's quirks, or a defect of etcd that this test met. Those with skip or level are
// the exceptions; everything that no row excepts has to agree.
type decision struct {
	row    string // number in the table of quirks, or a name
	etcd   string // what etcd does
	here   string // what the test does about it, and why
	skip   func(s *state, request any) bool
	level  func(r *pb.RangeRequest, a *pb.RangeResponse) bool // takes away what may differ; false: nothing to do
	lease  func(request any, response proto.Message) bool     // the same, of answers about leases
	always bool                                               // taken away from every answer
}

// state is what the test knows about a store.
type state struct {
	revision  int64          // newest that an answer named
	base      int64          // at the start of the history
	compacted int64          // 0: never
	asked     map[int64]bool // revisions that a compaction named
}

var decisions = []decision{
	{row: "header", etcd: "cluster id, member id and raft term are its own", always: true,
		here: "not compared: they belong to the system, not to the history"},
	{row: "1", etcd: "a Txn of compares only is answered from local, possibly stale state",
		here: "must agree: a single etcd is never stale, so any node of ours must answer linearizably"},
	{row: "2", etcd: "keys_only loses the lease", level: levelLease,
		here: "lease not compared in answers to keys_only: ours returns it"},
	{row: "3", etcd: "no sort order and a target other than the key cuts to the limit before sorting",
		here: "must agree, but for ties (below)"},
	{row: "4", etcd: `"too many requests" leaves with code Unknown`,
		here: "cannot occur: needs a backlog of 5,000 commands"},
	{row: "5", etcd: "a put that crosses the quota is applied and reported as failed",
		here: "cannot occur: no history comes near the quota of 2 GiB"},
	{row: "6", etcd: "the CORRUPT alarm freezes writes", here: "cannot occur: no corruption is injected"},
	{row: "7", etcd: "the quota counts the physical file", here: "cannot occur, as 5"},
	{row: "8", etcd: `a negative revision means "latest" in Range and "compacted" in a Txn`, here: "must agree"},
	{row: "9", etcd: "progress requests are dropped while a watch is behind", here: "not KV: see streamDecisions"},
	{row: "10", etcd: "a compacted watch ends without a reason", here: "not KV: see streamDecisions"},
	{row: "11", etcd: "nil headers of Defragment, MoveLeader, Snapshot; revision 0 in Cluster", here: "not KV"},
	{row: "12", etcd: "watches outlive a revoked permission", here: "not KV"},
	{row: "13", etcd: "any change of roles invalidates every JWT", here: "not KV"},
	{row: "14", etcd: "a snapshot is the bbolt file and its SHA-256", here: "not KV"},
	{row: "15", etcd: "HashKV is defined on the raw key bucket", here: "must agree, but for the two defects below"},
	{row: "16", etcd: "the minimum lease TTL follows the election timeout",
		here: "must agree: TestShortLeases; histories have no lease that could expire (below)"},
	{row: "17", etcd: "gRPC health says SERVING without a quorum", here: "not KV"},
	{row: "18", etcd: "a leader change refreshes every lease",
		here: "not compared: what remains of a TTL is (below); e2e tests that ours survives a leader change"},
	{row: "19", etcd: "strings that scripts parse", here: "not KV"},
	{row: "20", etcd: "certificates and keys are read once", here: "not KV"},
	{row: "21", etcd: "a config file switches off flags and environment", here: "not KV"},

	{row: "ties", etcd: "rows that tie in a sort come in an unspecified order", level: levelTies,
		here: "the order among ties is not compared, nor which of them a limit cut; what was sorted by is"},
	{row: "stream", etcd: "RangeStream with a sort target and no order miscounts", skip: skipStream,
		here: "not sent: etcd cuts the range after the last key it sent, which is then not the greatest"},
	{row: "remembered hash", etcd: "HashKV at a revision that was compacted at is answered from memory", skip: skipHash,
		here: "not sent: the answer has an older compact revision and changes with a restart of etcd"},
	{row: "compact 0", etcd: "Compact(0) on a store that was never compacted succeeds", skip: skipCompaction,
		here: "not sent: HashKV of the newest revision, also written 0, is the hash of nothing afterwards"},
	{row: "from key", etcd: `a Txn that deletes "from this key on" and puts there passes the check for duplicates`, skip: skipFromKey,
		here: "not sent: with ignore_value or ignore_lease on that put the etcd process panics"},

	{row: "remaining", etcd: "what remains of a lease's TTL depends on when one asks", lease: levelRemaining,
		here: "not compared within 10 minutes of the granted TTL, which is compared"},
	{row: "lease header", etcd: "answers to TimeToLive and KeepAlive name the revision of the node asked, as it was before",
		lease: levelLeaseHeader, here: "revision not compared: a follower may lag"},
	{row: "lease order", etcd: "keys of a lease come in the order of a map, leases by what remains", lease: levelLeaseOrder,
		here: "compared sorted"},
	{row: "lease id", etcd: "the server chooses an id", lease: levelLeaseID, here: "must be positive, otherwise not compared"},
	{row: "expiry", etcd: "a lease expires when it does", skip: skipShortLease,
		here: "not sent: leases of less than 1,000 s have a test of their own, TestShortLeases"},
}

func levelLease(r *pb.RangeRequest, a *pb.RangeResponse) bool {
	if !r.KeysOnly {
		return false
	}
	for _, kv := range a.Kvs {
		kv.Lease = 0
	}
	return true
}

// levelTies sorts pairs that tie by key and, when a limit may have cut among them, blanks them.
func levelTies(r *pb.RangeRequest, a *pb.RangeResponse) bool {
	if _, known := pb.RangeRequest_SortTarget_name[int32(r.SortTarget)]; !known || r.SortTarget == pb.RangeRequest_KEY {
		return false
	}
	if r.KeysOnly && r.SortTarget == pb.RangeRequest_VALUE { // what was sorted by is not in the answer
		slices.SortFunc(a.Kvs, byKey)
		if a.More && r.SortOrder != pb.RangeRequest_NONE {
			a.Kvs = make([]*mvccpb.KeyValue, len(a.Kvs))
		}
		return len(a.Kvs) > 1
	}
	any := false
	for from := 0; from < len(a.Kvs); {
		to := from + 1
		for to < len(a.Kvs) && tie(r.SortTarget, a.Kvs[from], a.Kvs[to]) {
			to++
		}
		slices.SortFunc(a.Kvs[from:to], byKey)
		any = any || to-from > 1
		// Without an order the limit has cut in key order, before the sort: then the rows are certain.
		if to == len(a.Kvs) && a.More && r.SortOrder != pb.RangeRequest_NONE {
			any = true
			for i, kv := range a.Kvs[from:to] {
				a.Kvs[from+i] = sortedBy(r.SortTarget, kv)
			}
		}
		from = to
	}
	return any
}

func byKey(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) }

func tie(target pb.RangeRequest_SortTarget, a, b *mvccpb.KeyValue) bool {
	return proto.Equal(sortedBy(target, a), sortedBy(target, b))
}

// sortedBy returns a pair of nothing but the field that a target sorts by.
func sortedBy(target pb.RangeRequest_SortTarget, kv *mvccpb.KeyValue) *mvccpb.KeyValue {
	switch target {
	case pb.RangeRequest_VERSION:
		return &mvccpb.KeyValue{Version: kv.Version}
	case pb.RangeRequest_CREATE:
		return &mvccpb.KeyValue{CreateRevision: kv.CreateRevision}
	case pb.RangeRequest_MOD:
		return &mvccpb.KeyValue{ModRevision: kv.ModRevision}
	default:
		return &mvccpb.KeyValue{Value: kv.Value}
	}
}

func skipStream(_ *state, request any) bool {
	r, ok := request.(*script.Stream)
	if !ok {
		return false
	}
	_, known := pb.RangeRequest_SortTarget_name[int32(r.SortTarget)]
	return known && r.SortTarget != pb.RangeRequest_KEY && r.SortOrder == pb.RangeRequest_NONE
}

func skipHash(s *state, request any) bool {
	r, ok := request.(*pb.HashKVRequest)
	return ok && (s.asked[r.Revision] || r.Revision > 0 && r.Revision < s.base-1) // before: by earlier histories
}

func skipCompaction(s *state, request any) bool {
	r, ok := request.(*pb.CompactionRequest)
	return ok && r.Revision == 0 && s.compacted == 0
}

func skipFromKey(_ *state, request any) bool {
	t, ok := request.(*pb.TxnRequest)
	if !ok {
		return false
	}
	var puts, deletions [][]byte
	visit(t, func(op *pb.RequestOp) {
		if put := op.GetRequestPut(); put != nil {
			puts = append(puts, put.Key)
		}
		if del := op.GetRequestDeleteRange(); del != nil && string(del.RangeEnd) == "\x00" {
			deletions = append(deletions, del.Key)
		}
	})
	return slices.ContainsFunc(deletions, func(from []byte) bool {
		return slices.ContainsFunc(puts, func(key []byte) bool { return bytes.Compare(key, from) >= 0 })
	})
}

// visit calls f for every operation of a transaction, nested ones included.
func visit(t *pb.TxnRequest, f func(*pb.RequestOp)) {
	for _, op := range slices.Concat(t.Success, t.Failure) {
		f(op)
		if nested := op.GetRequestTxn(); nested != nil {
			visit(nested, f)
		}
	}
}

// eachRange calls f for every range in a request that was answered, and its answer.
func eachRange(request any, response proto.Message, f func(*pb.RangeRequest, *pb.RangeResponse)) {
	switch r := request.(type) {
	case *script.Stream:
		eachRange(r.RangeRequest, response, f)
	case *pb.RangeRequest:
		if a, ok := response.(*pb.RangeResponse); ok && a != nil {
			f(r, a)
		}
	case *pb.TxnRequest:
		a, ok := response.(*pb.TxnResponse)
		if !ok || a == nil {
			return
		}
		path := r.Failure
		if a.Succeeded {
			path = r.Success
		}
		for i := range min(len(path), len(a.Responses)) {
			switch op := path[i].Request.(type) {
			case *pb.RequestOp_RequestRange:
				eachRange(op.RequestRange, a.Responses[i].GetResponseRange(), f)
			case *pb.RequestOp_RequestTxn:
				eachRange(op.RequestTxn, a.Responses[i].GetResponseTxn(), f)
			}
		}
	}
}

// exceptions counts how often each was made.
type exceptions map[string]int

// skipped tells whether a request must not be sent.
func (e exceptions) skipped(s *state, request any) bool {
	for _, d := range decisions {
		if d.skip != nil && d.skip(s, request) {
			e[d.row]++
			return true
		}
	}
	return false
}

// level takes away from an answer what may differ.
func (e exceptions) level(request any, a answer) {
	if a.message == nil {
		return
	}
	for _, d := range decisions {
		if d.lease != nil && d.lease(request, a.message) {
			e[d.row]++
		}
		if d.level == nil {
			continue
		}
		eachRange(request, a.message, func(r *pb.RangeRequest, response *pb.RangeResponse) {
			if d.level(r, response) {
				e[d.row]++
			}
		})
	}
}

// String is the table, with the number of times that each exception was made.
func (e exceptions) String() string {
	var b strings.Builder
	for _, d := range decisions {
		count := ""
		switch {
		case d.always:
			count = "always"
		case d.skip != nil || d.level != nil || d.lease != nil:
			count = fmt.Sprint(e[d.row])
		}
		b.WriteString(row(d.row, count, d.etcd, d.here))
	}
	return b.String()
}

func row(name string, count any, etcd, here string) string {
	return fmt.Sprintf("%15s %8v  %s\n%25s  %s\n", name, count, etcd, "", here)
}
