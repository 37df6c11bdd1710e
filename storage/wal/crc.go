package wal

import (
	"encoding/binary"
	"hash/crc32"
)

// le is the byte order of everything on disk.
var le = binary.LittleEndian

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segmentCRC starts every checksum in a segment. Checksums of the same bytes under two numbers of one log always
// differ: a CRC maps different 32-bit starts to different ends, and distinct numbers below 2^32 to distinct starts.
type segmentCRC uint32

func newSegmentCRC(seed [16]byte, number uint64) segmentCRC {
	var b [24]byte
	copy(b[:], seed[:])
	le.PutUint64(b[16:], number)
	return segmentCRC(crc32.Checksum(b[:], castagnoli))
}

// at starts the checksums of the frame at an offset, so that a copy of it elsewhere in the segment is none.
//
// It is crc32.Update over the offset's eight bytes, without the allocation that a slice of them would cost every append.
func (c segmentCRC) at(off int64) segmentCRC {
	crc := ^uint32(c)
	for i := range 8 {
		crc = castagnoli[byte(crc)^byte(uint64(off)>>(8*i))] ^ crc>>8
	}
	return segmentCRC(^crc)
}

func (c segmentCRC) sum(b []byte) uint32 { return crc32.Update(uint32(c), castagnoli, b) }
