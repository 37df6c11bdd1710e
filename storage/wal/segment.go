package wal

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

const (
	segmentSuffix = ".log"
	tmpSuffix     = ".tmp"
	// nextName is a segment file prepared ahead: all zeros, synced, without a header.
	nextName = "next" + tmpSuffix

	segmentMagic      = "QKVWAL\x00\x02"
	segmentFixedSize  = 88
	segmentHeaderUnit = 512
	// maxConfBytes bounds the ConfState in a segment header: far above any real cluster, far below a segment.
	maxConfBytes = 64 << 10

	flagBootCopy = 1 << 0
)

// segmentName is the file of a segment. Names sort like numbers.
func segmentName(dir string, number uint64) string {
	return path.Join(dir, fmt.Sprintf("%016x%s", number, segmentSuffix))
}

// parseSegmentName is segmentName's inverse, without the directory.
func parseSegmentName(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 16 || strings.ToLower(digits) != digits {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 64)
	return n, err == nil && n > 0
}

// segmentHeader proves where the segment before it ended (prev to lastTerm), and where the log last started (snap).
type segmentHeader struct {
	number    uint64
	prev      uint64
	lastSeq   uint64
	chain     uint32
	bootCopy  bool
	lastIndex uint64
	lastTerm  uint64
	snap      Snapshot
	born      int64
	crc       uint32
}

// segmentHeaderSize is the padded size of a header with a ConfState as encodeConf returns it.
func segmentHeaderSize(conf []byte) int64 {
	n := int64(segmentFixedSize - 4 + len(conf))
	return (n + segmentHeaderUnit - 1) / segmentHeaderUnit * segmentHeaderUnit
}

// encodeSegmentHeader appends the padded header to b and sets h.crc.
func encodeSegmentHeader(b []byte, crc segmentCRC, h *segmentHeader, conf []byte) []byte {
	start := len(b)
	var flags uint32
	if h.bootCopy {
		flags |= flagBootCopy
	}
	b = append(b, segmentMagic...)
	b = le.AppendUint64(b, h.number)
	b = le.AppendUint64(b, h.prev)
	b = le.AppendUint64(b, h.lastSeq)
	b = le.AppendUint32(b, h.chain)
	b = le.AppendUint32(b, flags)
	b = le.AppendUint64(b, h.lastIndex)
	b = le.AppendUint64(b, h.lastTerm)
	b = le.AppendUint64(b, h.snap.Index)
	b = le.AppendUint64(b, h.snap.Term)
	b = le.AppendUint64(b, uint64(h.born))
	h.crc = segmentHeaderCRC(crc, b[start:], conf)
	b = le.AppendUint32(b, h.crc)
	b = append(b, conf...)
	return append(b, make([]byte, start+int(segmentHeaderSize(conf))-len(b))...)
}

func segmentHeaderCRC(crc segmentCRC, fixed, conf []byte) uint32 {
	return segmentCRC(crc.sum(fixed[:segmentFixedSize-8])).sum(conf)
}

// decodeSegmentHeader reads a header from the start of b and returns its padded size.
func decodeSegmentHeader(b []byte, crc segmentCRC) (segmentHeader, int64, error) {
	if len(b) < segmentFixedSize {
		return segmentHeader{}, 0, fmt.Errorf("its header is cut off after %d bytes", len(b))
	}
	if string(b[:len(segmentMagic)]) != segmentMagic {
		return segmentHeader{}, 0, fmt.Errorf("its header starts with %x, not %x", b[:len(segmentMagic)], segmentMagic)
	}
	n := int64(le.Uint32(b[84:]))
	if n > 0 {
		n-- // stored plus one
	}
	if n > maxConfBytes || segmentFixedSize+n > int64(len(b)) {
		return segmentHeader{}, 0, fmt.Errorf("its header states a ConfState of %d bytes", n)
	}
	conf := b[84 : segmentFixedSize+n]
	h := segmentHeader{
		number:    le.Uint64(b[8:]),
		prev:      le.Uint64(b[16:]),
		lastSeq:   le.Uint64(b[24:]),
		chain:     le.Uint32(b[32:]),
		bootCopy:  le.Uint32(b[36:])&flagBootCopy != 0,
		lastIndex: le.Uint64(b[40:]),
		lastTerm:  le.Uint64(b[48:]),
		snap:      Snapshot{Index: le.Uint64(b[56:]), Term: le.Uint64(b[64:])},
		born:      int64(le.Uint64(b[72:])),
		crc:       le.Uint32(b[80:]),
	}
	if sum := segmentHeaderCRC(crc, b, conf); sum != h.crc {
		return segmentHeader{}, 0, fmt.Errorf("its header has checksum %08x and states %08x", sum, h.crc)
	}
	size := segmentHeaderSize(conf)
	if h.born < size || h.prev >= h.number {
		return segmentHeader{}, 0, errors.New("its header contradicts itself")
	}
	var err error
	if h.snap.ConfState, _, err = decodeConf(conf); err != nil {
		return segmentHeader{}, 0, err
	}
	return h, size, nil
}
