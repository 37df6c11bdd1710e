package transport

import (
	"math/bits"
	"sync"

	"google.golang.org/grpc/mem"
)

// Messages between these sizes have a pool of their own. gRPC's would lend a MiB for each and clear it first, which costs
// more than the message does.
const (
	largeBytes     = 32 << 10
	largeBytesKept = 1 << 20
)

// buffers lends memory for encoded messages. That of large ones holds whatever the last one left there.
type buffers struct{ large sync.Pool }

// pool is one for the process, as the codec is.
var pool mem.BufferPool = &buffers{}

func (p *buffers) Get(length int) *[]byte {
	if length <= largeBytes {
		return mem.DefaultBufferPool().Get(length)
	}
	if b, ok := p.large.Get().(*[]byte); ok && cap(*b) >= length {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length, 1<<bits.Len(uint(length-1)))
	return &b
}

func (p *buffers) Put(b *[]byte) {
	switch size := cap(*b); {
	case size <= largeBytes:
		mem.DefaultBufferPool().Put(b)
	case size <= largeBytesKept:
		p.large.Put(b)
	}
}
