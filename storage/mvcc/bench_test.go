package mvcc

import (
	"fmt"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/storage/backend"
)

const benchKeys = 100_000

func benchKey(i int) []byte { return fmt.Appendf(nil, "/registry/pods/%07d", i) }

// fill puts benchKeys keys with 256-byte values.
func fill(r *rig, flush bool) {
	value := make([]byte, 256)
	for i := range benchKeys {
		w := r.store.Begin()
		w.Put(benchKey(i*7919%benchKeys), value, 0)
		w.End()
		if flush && r.store.FreshOps() >= 10_000 {
			r.flush()
		}
	}
	if flush {
		r.flush()
	}
}

// BenchmarkPut is the write path without the flush; a view is taken after every batch of that many puts.
func BenchmarkPut(b *testing.B) {
	for _, batch := range []int{1, 10, 100} {
		b.Run(fmt.Sprint("view-every=", batch), func(b *testing.B) {
			r := newRig(b)
			fill(r, true)
			keys := make([][]byte, 1<<16)
			for i := range keys {
				keys[i] = benchKey(i * 7919 % benchKeys)
			}
			value := make([]byte, 256)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				w := r.store.Begin()
				w.Put(keys[n&(len(keys)-1)], value, 0)
				w.End()
				if n++; n%batch == 0 {
					r.store.View()
				}
				if r.store.FreshOps() >= 10_000 {
					b.StopTimer()
					r.flush()
					r.store.Compact(r.store.Revision())
					for !r.store.CompactStep(1000) {
					}
					b.StartTimer()
				}
			}
		})
	}
}

func BenchmarkRange(b *testing.B) {
	for _, temperature := range []string{"hot", "cold"} {
		r := newRig(b)
		fill(r, temperature == "cold")
		v := r.store.View()
		for name, o := range map[string]RangeOptions{
			"one":       {},
			"page-500":  {Limit: 500},
			"count-all": {CountOnly: true},
		} {
			b.Run(temperature+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					n++
					key, end := benchKey(n*7919%benchKeys), []byte(nil)
					if name != "one" {
						key, end = []byte("/registry/"), []byte("/registry0")
					}
					res, err := v.Range(key, end, o)
					if err != nil || res.Count == 0 {
						b.Fatal(res.Count, err)
					}
				}
			})
		}
	}
}

// BenchmarkFlush is the encoding and the commit of 10,000 puts; per-put figures are extra metrics, and so is how long the
// store is not to be changed.
func BenchmarkFlush(b *testing.B) {
	r := newRig(b)
	fill(r, true)
	value := make([]byte, 256)
	var batch backend.Batch
	const puts = 10_000
	n := 0
	var held time.Duration
	for b.Loop() {
		b.StopTimer()
		for range puts {
			n++
			w := r.store.Begin()
			w.Put(benchKey(n*7919%benchKeys), value, 0)
			w.End()
		}
		b.StartTimer()
		batch.Reset()
		start := time.Now()
		sealed := r.store.Seal()
		held += time.Since(start)
		sealed.AddTo(&batch)
		if err := r.db.Commit(&batch); err != nil {
			b.Fatal(err)
		}
		start = time.Now()
		r.store.Flushed()
		held += time.Since(start)
	}
	b.ReportMetric(float64(held.Nanoseconds())/float64(b.N), "ns-held/op")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/put")
}

func BenchmarkOpen(b *testing.B) {
	r := newRig(b)
	fill(r, true)
	for b.Loop() {
		if _, err := Open(r.db, Recent{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchKeys, "ns/row")
}

func BenchmarkCompactStep(b *testing.B) {
	r := newRig(b)
	fill(r, true)
	value := make([]byte, 256)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for range 1000 {
			n++
			w := r.store.Begin()
			w.Put(benchKey(n*7919%benchKeys), value, 0)
			w.End()
		}
		r.flush()
		r.store.Compact(r.store.Revision())
		b.StartTimer()
		r.store.CompactStep(1000)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/row")
}

func BenchmarkHashKV(b *testing.B) {
	r := newRig(b)
	fill(r, true)
	r.store.Compact(r.store.Revision())
	v := r.store.View()
	for b.Loop() {
		if _, err := v.HashKV(0); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchKeys, "ns/row")
}
