package buffers

import "testing"

func TestPool(t *testing.T) {
	var p pool
	for range 2 { // the second time from what the first gave back
		for _, length := range []int{0, 1, 1 << 10, 1<<10 + 1, 4 << 10, 4<<10 + 1, 100_000, 1<<largest - 1, 1 << largest, 1<<largest + 1} {
			b := p.Get(length)
			if len(*b) != length {
				t.Errorf("got %d bytes of %d", len(*b), length)
			}
			if size := cap(*b); size > max(1<<smallest, 2*length) {
				t.Errorf("got room for %d bytes of %d", size, length)
			}
			*b = (*b)[:min(1, length)]
			p.Put(b)
		}
	}
}

// TestLentAgain: what is given back is lent to the next one, but for what the collector and the race detector take.
func TestLentAgain(t *testing.T) {
	var p pool
	for _, length := range []int{1<<10 + 1, 4 << 10, 100_000, 1 << largest} {
		const never = 2 // the buffer and the slice that says where it is
		if allocs := testing.AllocsPerRun(100, func() { p.Put(p.Get(length)) }); allocs >= never {
			t.Errorf("%v allocations for %d bytes each time, although they are given back", allocs, length)
		}
	}
}

// BenchmarkPool: what a message costs before it is encoded.
func BenchmarkPool(b *testing.B) {
	for b.Loop() {
		Pool.Put(Pool.Get(100_000))
	}
}
