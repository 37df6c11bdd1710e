package mvcc

import (
	"bytes"
	"cmp"
	"hash/crc32"
	"slices"
	"sort"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// model is the reference: all rows ever, in one list, and answers found by walking it. It never forgets, so compaction
// only moves a number.
type model struct {
	rows              []Event
	revision, compact int64
}

func newModel() *model { return &model{revision: 1, compact: -1} }

// put and delete add a row to the revision after the newest; end makes it the newest.
func (m *model) put(key, value string, lease int64) {
	kv := &mvccpb.KeyValue{
		Key: []byte(key), Value: []byte(value), Lease: lease,
		CreateRevision: m.revision + 1, ModRevision: m.revision + 1, Version: 1,
	}
	if old := m.get(key, m.revision+1); old != nil {
		kv.CreateRevision, kv.Version = old.CreateRevision, old.Version+1
	}
	m.rows = append(m.rows, Event{Rev: m.next(), KV: kv})
}

func (m *model) delete(key string) {
	kv := &mvccpb.KeyValue{Key: []byte(key), ModRevision: m.revision + 1}
	m.rows = append(m.rows, Event{Rev: m.next(), KV: kv, Delete: true})
}

func (m *model) next() Revision {
	r := Revision{Main: m.revision + 1}
	if n := len(m.rows); n > 0 && m.rows[n-1].Rev.Main == r.Main {
		r.Sub = m.rows[n-1].Rev.Sub + 1
	}
	return r
}

func (m *model) end() {
	if n := len(m.rows); n > 0 && m.rows[n-1].Rev.Main > m.revision {
		m.revision++
	}
}

// newest returns the last row of a key up to a revision.
func (m *model) newest(key string, rev int64) *Event {
	for i := len(m.rows) - 1; i >= 0; i-- {
		if e := &m.rows[i]; e.Rev.Main <= rev && string(e.KV.Key) == key {
			return e
		}
	}
	return nil
}

func (m *model) get(key string, rev int64) *mvccpb.KeyValue {
	if e := m.newest(key, rev); e != nil && !e.Delete {
		return e.KV
	}
	return nil
}

func (m *model) keys() []string {
	var keys []string
	for i := range m.rows {
		keys = append(keys, string(m.rows[i].KV.Key))
	}
	sort.Strings(keys)
	return slices.Compact(keys)
}

func inRange(k, key, end string) bool {
	switch end {
	case "":
		return k == key
	case "\x00":
		return k >= key
	}
	return k >= key && k < end
}

// rangeAt is Range of a reader whose newest revision is newest.
func (m *model) rangeAt(key, end string, o RangeOptions, newest, compact int64) (RangeResult, error) {
	rev := o.Revision
	if rev > newest {
		return RangeResult{}, ErrFutureRevision
	}
	if rev > 0 && rev < compact {
		return RangeResult{}, ErrCompacted
	}
	if rev <= 0 {
		rev = newest
	}
	var res RangeResult
	for _, k := range m.keys() {
		if !inRange(k, key, end) {
			continue
		}
		kv := m.get(k, rev)
		if kv == nil {
			continue
		}
		res.Count++
		if !o.CountOnly && (o.Limit <= 0 || res.Count <= o.Limit) {
			res.KVs = append(res.KVs, kv)
		}
	}
	return res, nil
}

// survives reports whether a complete compaction at compact leaves a row.
func (m *model) survives(e *Event, compact int64) bool {
	if e.Rev.Main > compact || e.Delete && e.Rev.Main == compact {
		return true
	}
	return !e.Delete && m.newest(string(e.KV.Key), compact).Rev == e.Rev
}

// stored gives a row as etcd would store it.
func stored(e *Event) (key, value []byte) {
	kv := e.KV
	if e.Delete {
		kv = &mvccpb.KeyValue{Key: kv.Key}
	}
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(kv)
	if err != nil {
		panic(err)
	}
	return appendRevisionKey(nil, e.Rev, e.Delete), value
}

// liveBytes adds up what a complete compaction leaves.
func (m *model) liveBytes() int64 {
	var n int
	for i := range m.rows {
		if e := &m.rows[i]; m.survives(e, m.compact) {
			k, v := stored(e)
			n += len(k) + len(v) + checksumBytes
		}
	}
	return int64(n)
}

// hashKV follows etcd's steps one by one: a set of rows to keep for rev, then a walk over what compaction left.
func (m *model) hashKV(rev, compact int64) uint32 {
	keep := make(map[Revision]bool)
	for _, k := range m.keys() {
		if e := m.newest(k, rev); e != nil && !e.Delete {
			keep[e.Rev] = true
		}
	}
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	h.Write([]byte("key"))
	for i := range m.rows {
		e := &m.rows[i]
		switch {
		case !m.survives(e, compact), e.Rev.Main > rev:
		case e.Rev.Main <= compact && len(keep) > 0 && !keep[e.Rev]:
		case e.Rev.Main == compact && e.Delete:
		default:
			k, v := stored(e)
			h.Write(k)
			h.Write(v)
		}
	}
	return h.Sum32()
}

func sameEvents(a, b []Event) bool {
	return slices.EqualFunc(a, b, func(x, y Event) bool {
		return x.Rev == y.Rev && x.Delete == y.Delete && proto.Equal(x.KV, y.KV)
	})
}

func sameResult(a, b RangeResult) bool {
	return a.Count == b.Count && slices.EqualFunc(a.KVs, b.KVs, func(x, y *mvccpb.KeyValue) bool {
		return bytes.Equal(x.Key, y.Key) && bytes.Equal(x.Value, y.Value) && x.Lease == y.Lease &&
			cmp.Compare(x.CreateRevision, y.CreateRevision) == 0 && x.ModRevision == y.ModRevision && x.Version == y.Version
	})
}
