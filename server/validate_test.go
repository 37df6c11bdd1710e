package server

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

func parse[M proto.Message](t *testing.T, m M, text string) M {
	t.Helper()
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

func TestCheckRange(t *testing.T) {
	for text, want := range map[string]error{
		`key: "k"`: nil,
		`key: "k" sort_order: DESCEND sort_target: VALUE`: nil,
		`key: "b" range_end: "a" limit: -1 revision: -1`:  nil,
		``:                             rpctypes.ErrGRPCEmptyKey,
		`range_end: "z" sort_order: 9`: rpctypes.ErrGRPCEmptyKey,
		`key: "k" sort_order: 3`:       rpctypes.ErrGRPCInvalidSortOption,
		`key: "k" sort_order: -1`:      rpctypes.ErrGRPCInvalidSortOption,
		`key: "k" sort_target: 5`:      rpctypes.ErrGRPCInvalidSortOption,
		`key: "k" sort_target: -1`:     rpctypes.ErrGRPCInvalidSortOption,
	} {
		if got := checkRange(parse(t, &pb.RangeRequest{}, text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestCheckRangeStream(t *testing.T) {
	for text, want := range map[string]error{
		`key: "k"`:                                         nil,
		`key: "k" sort_order: ASCEND`:                      nil,
		`key: "k" sort_target: VALUE`:                      nil,
		`key: "k" sort_order: DESCEND`:                     errStreamSort,
		`key: "k" sort_order: ASCEND sort_target: MOD`:     errStreamSort,
		`key: "k" sort_order: DESCEND min_mod_revision: 1`: errStreamSort,
		`key: "k" min_mod_revision: 1`:                     errStreamFilter,
		`key: "k" max_mod_revision: 1`:                     errStreamFilter,
		`key: "k" min_create_revision: 1`:                  errStreamFilter,
		`key: "k" max_create_revision: 1`:                  errStreamFilter,
		`sort_order: DESCEND`:                              rpctypes.ErrGRPCEmptyKey,
		`key: "k" sort_order: 9`:                           rpctypes.ErrGRPCInvalidSortOption,
	} {
		if got := checkRangeStream(parse(t, &pb.RangeRequest{}, text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestCheckPut(t *testing.T) {
	for text, want := range map[string]error{
		`key: "k"`:                               nil,
		`key: "k" value: "v" lease: 5`:           nil,
		`key: "k" ignore_value: true lease: 5`:   nil,
		`key: "k" ignore_lease: true value: "v"`: nil,
		`value: "v"`:                             rpctypes.ErrGRPCEmptyKey,
		`value: "v" ignore_value: true`:          rpctypes.ErrGRPCEmptyKey,
		`key: "k" value: "v" ignore_value: true`: rpctypes.ErrGRPCValueProvided,
		`key: "k" lease: 5 ignore_lease: true`:   rpctypes.ErrGRPCLeaseProvided,
		`key: "k" value: "v" lease: 5 ignore_value: true ignore_lease: true`: rpctypes.ErrGRPCValueProvided,
	} {
		if got := checkPut(parse(t, &pb.PutRequest{}, text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

const (
	putA  = `success: {request_put: {key: "a"}} `
	delA  = `success: {request_delete_range: {key: "a"}} `
	delAC = `success: {request_delete_range: {key: "a" range_end: "c"}} `
	getA  = `success: {request_range: {key: "a"}} `
)

func nested(text string) string { return fmt.Sprintf("success: {request_txn: {%s}} ", text) }

func otherwise(text string) string {
	return string(bytes.ReplaceAll([]byte(text), []byte("success"), []byte("failure")))
}

func TestCheckTxn(t *testing.T) {
	putB := `success: {request_put: {key: "b"}} `
	for text, want := range map[string]error{
		``:                                    nil,
		`compare: {key: "a"}`:                 nil,
		`compare: {}`:                         rpctypes.ErrGRPCEmptyKey,
		`success: {}`:                         rpctypes.ErrGRPCKeyNotFound,
		`failure: {}`:                         rpctypes.ErrGRPCKeyNotFound,
		`success: {request_put: {}}`:          rpctypes.ErrGRPCEmptyKey,
		`success: {request_delete_range: {}}`: rpctypes.ErrGRPCEmptyKey,
		`success: {request_range: {}}`:        rpctypes.ErrGRPCEmptyKey,
		`success: {request_range: {key: "a" sort_order: 7}}`:               rpctypes.ErrGRPCInvalidSortOption,
		`success: {request_put: {key: "a" value: "v" ignore_value: true}}`: rpctypes.ErrGRPCValueProvided,
		nested(`compare: {}`): rpctypes.ErrGRPCEmptyKey,
		nested(`success: {}`): rpctypes.ErrGRPCKeyNotFound,
		// the first mistake found decides
		`compare: {} success: {}`:                                     rpctypes.ErrGRPCEmptyKey,
		putA + putA + `failure: {}`:                                   rpctypes.ErrGRPCKeyNotFound,
		getA + getA + getA + getA + getA:                              rpctypes.ErrGRPCTooManyOps,
		`compare: {} compare: {} compare: {} compare: {} compare: {}`: rpctypes.ErrGRPCTooManyOps,
		getA + getA + getA + getA:                                     nil,
		getA + otherwise(getA+getA+getA+getA):                         nil,
		// what a nested transaction may hold is what its parent leaves
		nested(getA + getA + getA):           nil,
		nested(getA + getA + getA + getA):    rpctypes.ErrGRPCTooManyOps,
		getA + getA + nested(getA):           nil,
		getA + getA + getA + nested(getA):    rpctypes.ErrGRPCTooManyOps,
		nested(nested(nested(getA))):         nil,
		nested(nested(nested(nested(getA)))): rpctypes.ErrGRPCTooManyOps,
		nested(nested(nested(nested("")))):   nil,
		// a key changes once
		putA + putB:            nil,
		putA + otherwise(putA): nil,
		putA + putA:            rpctypes.ErrGRPCDuplicateKey,
		otherwise(putA + putA): rpctypes.ErrGRPCDuplicateKey,
		putA + delA:            rpctypes.ErrGRPCDuplicateKey,
		delA + putA:            rpctypes.ErrGRPCDuplicateKey,
		putB + delAC:           rpctypes.ErrGRPCDuplicateKey,
		putA + getA:            nil,
		delA + delAC:           nil,
		delA + `success: {request_put: {key: "a\x00"}}`: nil,
		delAC + `success: {request_put: {key: "c"}}`:    nil,
		delAC + `success: {request_put: {key: "bz"}}`:   rpctypes.ErrGRPCDuplicateKey,
		putA + nested(putA):                             rpctypes.ErrGRPCDuplicateKey,
		nested(putA) + nested(putA):                     rpctypes.ErrGRPCDuplicateKey,
		nested(putA + otherwise(putA)):                  nil,
		nested(putA+otherwise(putA)) + putA:             rpctypes.ErrGRPCDuplicateKey,
		nested(putA) + nested(otherwise(putA)):          rpctypes.ErrGRPCDuplicateKey,
		nested(delA + otherwise(putA)):                  nil,
		nested(delA) + putA:                             rpctypes.ErrGRPCDuplicateKey,
		nested(delA) + nested(putA):                     rpctypes.ErrGRPCDuplicateKey,
		nested(putA) + nested(delA):                     nil, // as in etcd
		nested(putA) + delA:                             rpctypes.ErrGRPCDuplicateKey,
		// as in etcd, "from this key on" is no interval here
		putB + `success: {request_delete_range: {key: "a" range_end: "\x00"}}`: nil,
		putB + `success: {request_delete_range: {key: "c" range_end: "a"}}`:    nil,
	} {
		r := parse(t, &pb.TxnRequest{}, text)
		before := proto.CloneOf(r)
		if got := checkTxn(r, 4); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
		if !proto.Equal(r, before) {
			t.Errorf("%s: changed by the check", text)
		}
	}
}

// randomOps makes transactions over few keys, so that many overlap.
func randomOps(r *rand.Rand, depth int) []*pb.RequestOp {
	key := func() []byte { return []byte{byte('a' + r.IntN(6))} }
	var ops []*pb.RequestOp
	for range r.IntN(4) {
		op := &pb.RequestOp{}
		switch k := r.IntN(6); {
		case k < 2:
			op.Request = &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key()}}
		case k < 4:
			d := &pb.DeleteRangeRequest{Key: key()}
			if r.IntN(2) == 0 {
				d.RangeEnd = key()
			}
			if r.IntN(8) == 0 {
				d.RangeEnd = []byte{0}
			}
			op.Request = &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: d}
		case k < 5 && depth > 0:
			op.Request = &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{
				Success: randomOps(r, depth-1), Failure: randomOps(r, depth-1),
			}}
		default:
			op.Request = &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key()}}
		}
		ops = append(ops, op)
	}
	return ops
}

// overlapModel decides by looking at every pair: slow, and easy to believe. It returns the keys put and the intervals
// deleted.
func overlapModel(ops []*pb.RequestOp) (puts []string, deletes []span, ok bool) {
	within := func(key string, deletes []span) bool {
		for _, d := range deletes {
			if key >= string(d.from) && key < string(d.to) {
				return true
			}
		}
		return false
	}
	has := func(keys []string, key string) bool {
		for _, k := range keys {
			if k == key {
				return true
			}
		}
		return false
	}
	for _, op := range ops {
		if d := op.GetRequestDeleteRange(); d != nil {
			deletes = append(deletes, deleted(d))
		}
	}
	for _, op := range ops {
		n := op.GetRequestTxn()
		if n == nil {
			continue
		}
		thenPuts, thenDeletes, thenOK := overlapModel(n.Success)
		elsePuts, elseDeletes, elseOK := overlapModel(n.Failure)
		if !thenOK || !elseOK {
			return nil, nil, false
		}
		both := append(append([]string{}, thenPuts...), elsePuts...)
		for _, key := range both {
			if has(puts, key) || within(key, deletes) {
				return nil, nil, false
			}
		}
		puts = append(puts, both...)
		deletes = append(append(deletes, thenDeletes...), elseDeletes...)
	}
	for _, op := range ops {
		if p := op.GetRequestPut(); p != nil {
			if has(puts, string(p.Key)) || within(string(p.Key), deletes) {
				return nil, nil, false
			}
			puts = append(puts, string(p.Key))
		}
	}
	return puts, deletes, true
}

func TestOverlapAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	if s := testSeed(); s != 0 {
		seed = s
	}
	r := rand.New(rand.NewPCG(seed, 0))
	counts := map[bool]int{}
	for range 20_000 {
		ops := randomOps(r, 3)
		_, _, fine := overlapModel(ops)
		counts[fine]++
		if got := overlapping(ops); got == fine {
			t.Fatalf("overlapping = %t for %v\nrepeat: SEED=%d go test ./server -run TestOverlapAgainstModel", got, ops, seed)
		}
	}
	if counts[true] < 1000 || counts[false] < 1000 {
		t.Errorf("one-sided input: %v", counts)
	}
}

// A request of the largest size must not keep the server busy.
func BenchmarkCheckTxnWorstCase(b *testing.B) {
	r := &pb.TxnRequest{Success: manyOps(42, 3, new(0))}
	for b.Loop() {
		if err := checkTxn(r, 128); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(proto.Size(r)), "bytes")
}

// manyOps nests transactions: width of them on each level, each with a delete and a put of its own at the bottom.
func manyOps(width, depth int, key *int) []*pb.RequestOp {
	var ops []*pb.RequestOp
	for range width {
		*key++
		k := fmt.Appendf(nil, "%06d", *key)
		switch {
		case depth > 1:
			ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: &pb.TxnRequest{
				Success: manyOps(width, depth-1, key),
			}}})
		case *key%2 == 0:
			ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: k}}})
		default:
			ops = append(ops, &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{
				RequestDeleteRange: &pb.DeleteRangeRequest{Key: k},
			}})
		}
	}
	return ops
}
