package server

import (
	"bytes"
	"cmp"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// All changes of a transaction happen at one revision, so no key may change twice in it. A transaction in which one
// could is refused, whichever way its compares would go. As in etcd, three things do pass:
//
//   - the same key in both branches of one nested transaction, of which only one runs;
//   - deletes that overlap, and a delete in a nested transaction after (not before) the put in an earlier one: the
//     key is then changed twice, in that order;
//   - a put next to "delete everything from this key on", which the check takes for an empty interval.

// footprint is what a list of operations may change, nested ones included.
type footprint struct {
	puts    map[string]struct{}
	deletes []span // sorted, disjoint
}

// span is the half-open interval [from, to).
type span struct{ from, to []byte }

// overlapping reports whether ops may change a key twice.
func overlapping(ops []*pb.RequestOp) bool {
	if len(ops) < 2 && (len(ops) == 0 || ops[0].GetRequestTxn() == nil) {
		return false // nearly every transaction there is
	}
	_, ok := footprintOf(ops)
	return !ok
}

// footprintOf returns what ops may change; ok is false when they may change a key twice.
func footprintOf(ops []*pb.RequestOp) (f footprint, ok bool) {
	for _, op := range ops {
		if d := op.GetRequestDeleteRange(); d != nil {
			f.deletes = append(f.deletes, deleted(d))
		}
	}
	f.deletes = normalize(f.deletes)

	f.puts = make(map[string]struct{}, len(ops))
	for _, op := range ops {
		if t := op.GetRequestTxn(); t != nil && !f.absorb(t) {
			return f, false
		}
	}
	for _, op := range ops {
		p := op.GetRequestPut()
		if p == nil {
			continue
		}
		if f.touches(string(p.Key)) {
			return f, false
		}
		f.puts[string(p.Key)] = struct{}{}
	}
	return f, true
}

// absorb adds a nested transaction; false means that it collides with what is there, or within itself.
func (f *footprint) absorb(t *pb.TxnRequest) bool {
	success, ok := footprintOf(t.Success)
	if !ok {
		return false
	}
	failure, ok := footprintOf(t.Failure)
	if !ok {
		return false
	}
	for _, branch := range []footprint{success, failure} {
		for key := range branch.puts {
			if f.touches(key) {
				return false
			}
		}
	}
	for _, branch := range []footprint{success, failure} {
		for key := range branch.puts {
			f.puts[key] = struct{}{}
		}
	}
	f.deletes = union(f.deletes, union(success.deletes, failure.deletes))
	return true
}

// touches reports whether key is put or deleted.
func (f *footprint) touches(key string) bool {
	if _, put := f.puts[key]; put {
		return true
	}
	// The only span that can hold key is the last one that starts at or before it.
	i, found := slices.BinarySearchFunc(f.deletes, key, func(s span, key string) int {
		return cmp.Compare(string(s.from), key)
	})
	if found {
		return true
	}
	return i > 0 && key < string(f.deletes[i-1].to)
}

func deleted(d *pb.DeleteRangeRequest) span {
	if len(d.RangeEnd) == 0 {
		return span{d.Key, append(bytes.Clone(d.Key), 0)}
	}
	return span{d.Key, d.RangeEnd}
}

// normalize sorts spans and merges those that meet. Empty ones, "from this key on" among them, disappear.
func normalize(spans []span) []span {
	spans = slices.DeleteFunc(spans, func(s span) bool { return bytes.Compare(s.from, s.to) >= 0 })
	slices.SortFunc(spans, func(a, b span) int { return bytes.Compare(a.from, b.from) })
	out := spans[:0]
	for _, s := range spans {
		out = extend(out, s)
	}
	return out
}

// union merges two normalized lists. It takes one pass: a nested transaction may have very many small parts.
func union(a, b []span) []span {
	if len(a) == 0 || len(b) == 0 {
		return append(a, b...)
	}
	out := make([]span, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if bytes.Compare(a[0].from, b[0].from) <= 0 {
			out, a = extend(out, a[0]), a[1:]
		} else {
			out, b = extend(out, b[0]), b[1:]
		}
	}
	for _, s := range slices.Concat(a, b) {
		out = extend(out, s)
	}
	return out
}

// extend appends s, which does not start before any other, to a normalized list.
func extend(spans []span, s span) []span {
	last := len(spans) - 1
	if last < 0 || bytes.Compare(s.from, spans[last].to) > 0 {
		return append(spans, s)
	}
	if bytes.Compare(s.to, spans[last].to) > 0 {
		spans[last].to = s.to
	}
	return spans
}
