// Package buffers lends memory for messages on their way through gRPC, as gRPC's own pool does. But that one clears what it
// lends each time, all of it, and has no size between 32 KiB and 1 MiB and none above.
//
// What is lent holds what the last one left there: whoever sends it has written every byte of it.
package buffers

import (
	"math/bits"
	"sync"

	"google.golang.org/grpc/mem"
)

// Sizes are powers of two; these are the exponents of the first, a page, and of the last, which has room for the largest request.
const (
	smallest = 12
	largest  = 21
)

// Pool is one for the process.
var Pool mem.BufferPool = &pool{}

type pool struct {
	sizes [largest - smallest + 1]sync.Pool // of *[]byte
}

func (p *pool) Get(length int) *[]byte {
	if mem.IsBelowBufferPoolingThreshold(length) || length > 1<<largest { // gRPC gives nothing back that is that small
		b := make([]byte, length)
		return &b
	}
	exponent := max(smallest, bits.Len(uint(length-1)))
	if b, ok := p.sizes[exponent-smallest].Get().(*[]byte); ok {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length, 1<<exponent)
	return &b
}

func (p *pool) Put(b *[]byte) {
	size := cap(*b)
	exponent := bits.Len(uint(size)) - 1
	if exponent >= smallest && exponent <= largest && size == 1<<exponent {
		p.sizes[exponent-smallest].Put(b)
	}
}
