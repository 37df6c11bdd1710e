package wal

import "testing"

func TestChecksumOfAnOffset(t *testing.T) {
	c := newSegmentCRC([16]byte{1, 2, 3}, 4)
	for _, off := range []int64{0, 8, 512, 1<<33 + 8} {
		if got, want := uint32(c.at(off)), c.sum(le.AppendUint64(nil, uint64(off))); got != want {
			t.Errorf("offset %d: %08x, want %08x", off, got, want)
		}
	}
}
