package env

import "unsafe"

const (
	// directBlock is what direct writes are made of: no file system shows larger sectors.
	directBlock = 4096
	// directChunk is the most that one direct write takes along: large enough that a segment costs few calls.
	directChunk = 1 << 20
	// directIdle is the most memory that a file keeps for its next writes when the last one was small.
	directIdle = 64 << 10
	// directLeast is the size from which on files are written directly.
	directLeast = 1 << 20
)

// zeros is what Create fills files with; never written to.
var zeros = alignedBuffer(directChunk)

// alignedTo tells whether address and length are multiples of a power of two.
func alignedTo(p []byte, of int) bool {
	return (int(uintptr(unsafe.Pointer(unsafe.SliceData(p))))|len(p))&(of-1) == 0
}

// alignedBuffer is one whose address is as direct writes want it.
func alignedBuffer(size int) []byte {
	b := make([]byte, size+directBlock)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (directBlock - 1)
	return b[skip : skip+size : skip+size]
}
