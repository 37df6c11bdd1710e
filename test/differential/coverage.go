package differential

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/test/script"
)

// coverage counts kinds of requests, options and answers.
type coverage map[string]int

// wanted are the kinds that a run of full length has to have met.
var wanted = wantedKinds()

func wantedKinds() []string {
	kinds := []string{
		"put", "put prev_kv: none", "put prev_kv: pair", "put ignore_value", "put ignore_lease", "put both ignored", "put lease",
		"put empty value", "put in txn",
		"del", "del one", "del none", "del many", "del prev_kv", "del end", "del prefix", "del from key", "del in txn",
		"compact", "compact physical", "compact: 0", "compact: negative",
		"compact: error OutOfRange: etcdserver: mvcc: required revision has been compacted",
		"compact: error OutOfRange: etcdserver: mvcc: required revision is a future revision",
		"hash", "hash: newest", "hash: old", "hash: error OutOfRange: etcdserver: mvcc: required revision has been compacted",
		"hash: error OutOfRange: etcdserver: mvcc: required revision is a future revision",
		"txn", "txn then", "txn else", "txn nested 1", "txn nested 2", "txn compares only", "txn read-only", "txn serializable",
		"txn without anything", "txn operations > 100", "if end", "if from key", "if unset", "if other kind of value",
		"if target 9", "if relation 7",
		"calls at once", "node 0", "node 1", "node 2", "client 0", "client 1", "client 2",
	}
	for _, verb := range []string{"put", "range", "del", "txn", "stream"} {
		kinds = append(kinds, verb+": error InvalidArgument: etcdserver: key is not provided")
	}
	for _, verb := range []string{"put", "txn"} {
		for _, e := range []string{"InvalidArgument: etcdserver: key not found", "InvalidArgument: etcdserver: value is provided",
			"InvalidArgument: etcdserver: lease is provided", "InvalidArgument: etcdserver: request is too large",
			"NotFound: etcdserver: requested lease not found", "ResourceExhausted: grpc: received message larger than max"} {
			kinds = append(kinds, verb+": error "+e)
		}
	}
	for _, verb := range []string{"range", "stream", "txn"} {
		for _, e := range []string{"OutOfRange: etcdserver: mvcc: required revision has been compacted",
			"OutOfRange: etcdserver: mvcc: required revision is a future revision",
			"InvalidArgument: etcdserver: invalid sort option"} {
			kinds = append(kinds, verb+": error "+e)
		}
	}
	kinds = append(kinds, "txn: error InvalidArgument: etcdserver: too many operations in txn request",
		"txn: error InvalidArgument: etcdserver: duplicate key given in txn request",
		"stream: error Unimplemented: RangeStream does not support custom sort orders",
		"stream: error Unimplemented: RangeStream does not support revision filters")
	for _, verb := range []string{"range", "stream", "range in txn"} {
		for _, option := range []string{"", " end", " prefix", " from key", " everything", " limit", " limit: more", " limit: negative",
			" rev: newest", " rev: old", " rev: at compaction", " rev: negative", " serializable", " keys_only", " count_only"} {
			kinds = append(kinds, verb+option)
		}
	}
	for _, verb := range []string{"range", "range in txn"} {
		for _, option := range []string{" min_mod", " max_mod", " min_create", " max_create"} {
			kinds = append(kinds, verb+option)
		}
		for order := range int32(3) {
			for target := range int32(5) {
				kinds = append(kinds, fmt.Sprintf("%s sort %s:%s", verb, pb.RangeRequest_SortOrder(order), pb.RangeRequest_SortTarget(target)))
			}
		}
	}
	for target := range int32(5) {
		for relation := range int32(4) {
			kinds = append(kinds, fmt.Sprintf("if %s %s", pb.Compare_CompareTarget(target), pb.Compare_CompareResult(relation)))
		}
	}
	kinds = append(kinds, "grant", "revoke", "ttl", "ttl keys", "keepalive", "leases", "leases: some", "grant id 0", "ttl: alive",
		"ttl: none", "ttl: attached", "keepalive: alive", "keepalive: none",
		"grant: error FailedPrecondition: etcdserver: lease already exists",
		"grant: error OutOfRange: etcdserver: too large lease TTL",
		"revoke: error NotFound: etcdserver: requested lease not found")
	return kinds
}

// missing returns the wanted kinds that were not met.
func (c coverage) missing() (missing []string) {
	for _, kind := range wanted {
		if c[kind] == 0 {
			missing = append(missing, kind)
		}
	}
	return missing
}

// String lists the kinds with their counts.
func (c coverage) String() string {
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "%9d %s\n", c[kind], kind)
	}
	return b.String()
}

// count takes note of a call and of etcd's answer to it.
func (c coverage) count(s *state, made call, a answer) {
	c[fmt.Sprintf("node %d", made.node)]++
	c[fmt.Sprintf("client %d", made.client)]++
	verb := c.request(s, made.request, "")
	if a.failure != "" {
		failure, _, _ := strings.Cut(a.failure, " (") // sizes
		c[verb+": error "+failure]++
		return
	}
	switch r := made.request.(type) {
	case *pb.PutRequest:
		c.when(r.PrevKv && a.message.(*pb.PutResponse).PrevKv == nil, "put prev_kv: none")
		c.when(r.PrevKv && a.message.(*pb.PutResponse).PrevKv != nil, "put prev_kv: pair")
	case *pb.DeleteRangeRequest:
		n := a.message.(*pb.DeleteRangeResponse).Deleted
		c.when(n == 0, "del none")
		c.when(n == 1, "del one")
		c.when(n > 1, "del many")
	case *pb.LeaseTimeToLiveRequest:
		m := a.message.(*pb.LeaseTimeToLiveResponse)
		c.when(m.TTL < 0, "ttl: none")
		c.when(m.TTL >= 0, "ttl: alive")
		c.when(len(m.Keys) > 0, "ttl: attached")
	case *pb.LeaseKeepAliveRequest:
		ttl := a.message.(*pb.LeaseKeepAliveResponse).TTL
		c.when(ttl > 0, "keepalive: alive")
		c.when(ttl == 0, "keepalive: none")
	case *pb.LeaseLeasesRequest:
		c.when(len(a.message.(*pb.LeaseLeasesResponse).Leases) > 0, "leases: some")
	case *pb.TxnRequest:
		succeeded := a.message.(*pb.TxnResponse).Succeeded
		c.when(succeeded, "txn then")
		c.when(!succeeded, "txn else")
	}
	eachRange(made.request, a.message, func(r *pb.RangeRequest, response *pb.RangeResponse) {
		verb := verb
		if verb == "txn" {
			verb = "range in txn"
		}
		c.when(response.More, verb+" limit: more")
		c.when(r.Revision > 0 && r.Revision < s.revision, verb+" rev: old")
		c.when(r.Revision > 0 && r.Revision == s.compacted, verb+" rev: at compaction")
		c.when(r.Revision > 0 && r.Revision == s.revision, verb+" rev: newest")
	})
}

func (c coverage) when(is bool, kind string) {
	if is {
		c[kind]++
	}
}

// request counts what a request asks for and returns its verb.
func (c coverage) request(s *state, request any, within string) (verb string) {
	switch r := request.(type) {
	case *pb.PutRequest:
		verb = "put"
		c.when(r.IgnoreValue, "put ignore_value")
		c.when(r.IgnoreLease, "put ignore_lease")
		c.when(r.IgnoreLease && r.IgnoreValue, "put both ignored")
		c.when(r.Lease != 0, "put lease")
		c.when(len(r.Value) == 0, "put empty value")
	case *script.Stream:
		c.rangeOptions(r.RangeRequest, "stream")
		return "stream"
	case *pb.RangeRequest:
		c.rangeOptions(r, "range"+within)
		return "range"
	case *pb.DeleteRangeRequest:
		verb = "del"
		c.when(r.PrevKv, "del prev_kv")
		c.end(r.RangeEnd, "del")
	case *pb.CompactionRequest:
		verb = "compact"
		c.when(r.Physical, "compact physical")
		c.when(r.Revision == 0, "compact: 0")
		c.when(r.Revision < 0, "compact: negative")
	case *pb.HashKVRequest:
		verb = "hash"
		c.when(r.Revision <= 0 || r.Revision == s.revision, "hash: newest")
		c.when(r.Revision >= s.compacted && r.Revision > 0 && r.Revision < s.revision, "hash: old")
	case *pb.LeaseGrantRequest:
		verb = "grant"
		c.when(r.ID == 0, "grant id 0")
	case *pb.LeaseRevokeRequest:
		verb = "revoke"
	case *pb.LeaseTimeToLiveRequest:
		verb = "ttl"
		c.when(r.Keys, "ttl keys")
	case *pb.LeaseKeepAliveRequest:
		verb = "keepalive"
	case *pb.LeaseLeasesRequest:
		verb = "leases"
	case *pb.TxnRequest:
		verb = "txn"
		c.txn(s, r, 0)
	}
	c[verb+within]++
	return verb
}

func (c coverage) rangeOptions(r *pb.RangeRequest, verb string) {
	c[verb]++
	c.end(r.RangeEnd, verb)
	c.when(string(r.RangeEnd) == "\x00" && string(r.Key) == "\x00", verb+" everything")
	c.when(r.Limit > 0, verb+" limit")
	c.when(r.Limit < 0, verb+" limit: negative")
	c.when(r.Revision < 0, verb+" rev: negative")
	c.when(r.Serializable, verb+" serializable")
	c.when(r.KeysOnly, verb+" keys_only")
	c.when(r.CountOnly, verb+" count_only")
	c.when(r.MinModRevision != 0, verb+" min_mod")
	c.when(r.MaxModRevision != 0, verb+" max_mod")
	c.when(r.MinCreateRevision != 0, verb+" min_create")
	c.when(r.MaxCreateRevision != 0, verb+" max_create")
	c[fmt.Sprintf("%s sort %s:%s", verb, r.SortOrder, r.SortTarget)]++
}

func (c coverage) end(end []byte, verb string) {
	c.when(len(end) > 0, verb+" end")
	c.when(string(end) == "a0", verb+" prefix")
	c.when(string(end) == "\x00", verb+" from key")
}

func (c coverage) txn(s *state, t *pb.TxnRequest, depth int) {
	c.when(depth > 0, fmt.Sprintf("txn nested %d", depth))
	ops := append(slices.Clone(t.Success), t.Failure...)
	c.when(len(ops) == 0 && len(t.Compare) > 0, "txn compares only")
	c.when(len(ops) == 0 && len(t.Compare) == 0, "txn without anything")
	c.when(len(ops) > 100, "txn operations > 100")
	reads := func(serializable bool) bool {
		return len(ops) > 0 && !slices.ContainsFunc(ops, func(op *pb.RequestOp) bool {
			r := op.GetRequestRange()
			return r == nil || serializable && !r.Serializable
		})
	}
	c.when(reads(false), "txn read-only")
	c.when(reads(true), "txn serializable")
	for _, compare := range t.Compare {
		c[fmt.Sprintf("if %s %s", compare.Target, compare.Result)]++
		c.when(compare.Target == 9, "if target 9")
		c.when(compare.Result == 7, "if relation 7")
		c.when(compare.TargetUnion == nil, "if unset")
		c.when(compare.TargetUnion != nil && otherKind(compare), "if other kind of value")
		c.end(compare.RangeEnd, "if")
	}
	for _, op := range ops {
		switch o := op.Request.(type) {
		case *pb.RequestOp_RequestPut:
			c.request(s, o.RequestPut, " in txn")
		case *pb.RequestOp_RequestRange:
			c.request(s, o.RequestRange, " in txn")
		case *pb.RequestOp_RequestDeleteRange:
			c.request(s, o.RequestDeleteRange, " in txn")
		case *pb.RequestOp_RequestTxn:
			c.txn(s, o.RequestTxn, depth+1)
		}
	}
}

// otherKind tells compares whose value is not of the target's kind.
func otherKind(compare *pb.Compare) bool {
	switch compare.TargetUnion.(type) {
	case *pb.Compare_Version:
		return compare.Target != pb.Compare_VERSION
	case *pb.Compare_CreateRevision:
		return compare.Target != pb.Compare_CREATE
	case *pb.Compare_ModRevision:
		return compare.Target != pb.Compare_MOD
	case *pb.Compare_Value:
		return compare.Target != pb.Compare_VALUE
	default:
		return compare.Target != pb.Compare_LEASE
	}
}
