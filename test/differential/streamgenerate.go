package differential

import (
	"bytes"
	"fmt"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// act returns what happens next in a history with streams.
func (g *generator) act() []act {
	stream := g.rng.IntN(streams)
	message := func(a act) []act { a.stream = stream; return []act{a} }
	switch n := g.rng.IntN(1000); {
	case n < 500:
		return []act{g.store()}
	case n < 700:
		return message(act{message: g.watch()})
	case n < 780:
		return message(act{message: &pb.WatchCancelRequest{WatchId: g.rng.Int64N(12)}})
	case n < 860:
		return message(act{message: &pb.WatchProgressRequest{}})
	case n < 970:
		return []act{{}}
	case n < 980:
		return message(act{move: true, node: g.rng.IntN(3)})
	case n < 985:
		return g.large(stream)
	default: // watches that begin where the store was compacted, or just before
		early := &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, StartRevision: 1}
		if g.compacted >= g.base {
			early.StartRevision = g.compacted - g.rng.Int64N(2)
		}
		return message(act{message: early})
	}
}

// store returns a request of any kind to the store, or some that are sent at once.
func (g *generator) store() act {
	a := act{}
	n, next := 1, g.any
	switch g.rng.IntN(4) {
	case 0, 1:
		n, next = 1+g.rng.IntN(5), g.calm
	case 2:
		next = g.lease
	}
	for len(a.calls) < n {
		request := next()
		if g.skipped(request) {
			continue
		}
		a.calls = append(a.calls, call{g.rng.IntN(3), g.rng.IntN(clients), request})
	}
	return a
}

func (g *generator) watch() *pb.WatchCreateRequest {
	r := &pb.WatchCreateRequest{Key: g.key(), PrevKv: g.chance(2), ProgressNotify: g.chance(4), Fragment: g.chance(4)}
	if g.chance(20) {
		r.Key = nil
	}
	switch g.rng.IntN(4) {
	case 0:
		r.RangeEnd = g.end()
	case 1:
		r.Key, r.RangeEnd = []byte{0}, []byte{0}
	}
	switch g.rng.IntN(8) {
	case 0: // the future, from the next revision on
		r.StartRevision = g.revision + 1 + g.rng.Int64N(5)
	case 1, 2, 3: // the past
		oldest := max(g.compacted, g.base, 1)
		r.StartRevision = oldest + g.rng.Int64N(max(g.revision-oldest+1, 1))
	case 4:
		r.StartRevision = g.anyRevision()
		if r.StartRevision == math.MaxInt64 { // it would stay for ever and stop all progress
			r.StartRevision = -r.StartRevision
		}
	}
	if g.chance(4) {
		r.WatchId = []int64{1, 2, 3, 5, 8, 11, -7}[g.rng.IntN(7)]
	}
	for filter := range pb.WatchCreateRequest_FilterType_name {
		if g.chance(8) {
			r.Filters = append(r.Filters, pb.WatchCreateRequest_FilterType(filter))
		}
	}
	return r
}

// large makes more than fits in one response: in many revisions, and in one.
func (g *generator) large(stream int) (acts []act) {
	from := g.revision + 1
	value := bytes.Repeat([]byte{'x'}, 300<<10)
	put := func(i int) *pb.PutRequest { return &pb.PutRequest{Key: fmt.Appendf(nil, "large/%d", i), Value: value} }
	for i := range 9 {
		acts = append(acts, act{calls: []call{{request: put(i)}}})
	}
	// With the values before, the revision of this transaction takes more than one response.
	t := &pb.TxnRequest{}
	for i := range 4 {
		t.Success = append(t.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put(i)}})
	}
	everything := func(r *pb.WatchCreateRequest) act {
		r.Key, r.RangeEnd = []byte{0}, []byte{0}
		return act{stream: stream, message: r}
	}
	return append(acts,
		everything(&pb.WatchCreateRequest{PrevKv: true, Fragment: true}),
		act{calls: []call{{request: t}}},
		everything(&pb.WatchCreateRequest{StartRevision: from, PrevKv: true, Fragment: true}),
		everything(&pb.WatchCreateRequest{StartRevision: from}),
		act{},
		act{calls: []call{{request: &pb.DeleteRangeRequest{Key: []byte("large/"), RangeEnd: []byte("large0")}}}},
		act{},
		act{stream: stream, move: true})
}
