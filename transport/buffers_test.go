package transport

import "testing"

func TestBuffers(t *testing.T) {
	p := &buffers{}
	for range 2 { // the second time from what the first gave back
		for _, length := range []int{1, largeBytes, largeBytes + 1, 100_000, largeBytesKept, largeBytesKept + 1} {
			b := p.Get(length)
			if len(*b) != length {
				t.Errorf("got %d bytes of %d", len(*b), length)
			}
			*b = (*b)[:1]
			p.Put(b)
		}
	}
}

// BenchmarkBuffers: what a message costs before it is encoded.
func BenchmarkBuffers(b *testing.B) {
	for b.Loop() {
		pool.Put(pool.Get(100_000))
	}
}
