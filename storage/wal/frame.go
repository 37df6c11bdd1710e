package wal

import (
	"errors"
	"fmt"
	"math"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

const (
	frameHeaderSize = 56
	// frameAlign is where frames may start. Finding the next frame behind a damaged one looks at these places only.
	frameAlign = 8
	// maxPayload leaves room for the padded frame in a signed 32-bit length.
	maxPayload = math.MaxInt32 - 2*frameHeaderSize
)

// frameKind is a frame's magic number, so that no bit has to say what the others are.
type frameKind uint32

const (
	kindEntries = frameKind('Q' | 'K'<<8 | 'V'<<16 | 'e'<<24)
	kindReset   = frameKind('Q' | 'K'<<8 | 'V'<<16 | 'r'<<24)
	kindSeal    = frameKind('Q' | 'K'<<8 | 'V'<<16 | 's'<<24)
)

func (k frameKind) String() string {
	switch k {
	case kindEntries:
		return "frame"
	case kindReset:
		return "reset frame"
	case kindSeal:
		return "seal"
	default:
		return fmt.Sprintf("unknown frame %08x", uint32(k))
	}
}

// frameHeader is decoded only after its checksum held, so its fields can be trusted even if the payload is damaged.
type frameHeader struct {
	kind       frameKind
	payload    int // bytes
	seq        uint64
	first      uint64
	prevTerm   uint64
	commit     uint64
	count      uint32
	payloadCRC uint32
	prevCRC    uint32
	crc        uint32
}

// size is the whole frame's, padding included.
func (h frameHeader) size() int64 { return frameSize(int64(h.payload)) }

// last is the index of the last entry once the frame is applied.
func (h frameHeader) last() uint64 { return h.first + uint64(h.count) - 1 }

// content tells frames that change the log from those that are only evidence.
func (h frameHeader) content() bool { return h.kind != kindSeal }

func (h frameHeader) String() string {
	if h.count == 0 {
		return fmt.Sprintf("%s %d (after index %d, term %d)", h.kind, h.seq, h.first-1, h.prevTerm)
	}
	return fmt.Sprintf("%s %d (entries %d to %d, after term %d)", h.kind, h.seq, h.first, h.last(), h.prevTerm)
}

func frameSize(payload int64) int64 {
	return (frameHeaderSize + payload + frameAlign - 1) &^ (frameAlign - 1)
}

// encodeFrame appends the frame to b, which may hold other bytes already. Of h, the checksums and lengths are filled in
// here. conf is the ConfState of a reset frame as encodeConf returns it.
func encodeFrame(b []byte, crc segmentCRC, h *frameHeader, conf []byte, entries []*raftpb.Entry) []byte {
	start := len(b)
	b = append(b, make([]byte, frameHeaderSize)...)
	if h.kind == kindReset {
		b = append(b, conf...)
	}
	b = appendEntries(b, entries)

	payload := b[start+frameHeaderSize:]
	h.payload = len(payload)
	h.count = uint32(len(entries))
	h.payloadCRC = crc.sum(payload)

	p := b[start : start+frameHeaderSize]
	le.PutUint32(p, uint32(h.kind))
	le.PutUint32(p[4:], uint32(h.payload))
	le.PutUint64(p[8:], h.seq)
	le.PutUint64(p[16:], h.first)
	le.PutUint64(p[24:], h.prevTerm)
	le.PutUint64(p[32:], h.commit)
	le.PutUint32(p[40:], h.count)
	le.PutUint32(p[44:], h.payloadCRC)
	le.PutUint32(p[48:], h.prevCRC)
	h.crc = crc.sum(p[:52])
	le.PutUint32(p[52:], h.crc)

	for len(b)-start < int(h.size()) {
		b = append(b, 0)
	}
	return b
}

// decodeFrameHeader reads a header and says whether b starts with one. Nothing in it was compared with its neighbours
// yet.
func decodeFrameHeader(b []byte, crc segmentCRC) (frameHeader, bool) {
	if len(b) < frameHeaderSize || !frameMagic(le.Uint32(b)) {
		return frameHeader{}, false
	}
	h := frameHeader{
		kind:       frameKind(le.Uint32(b)),
		seq:        le.Uint64(b[8:]),
		first:      le.Uint64(b[16:]),
		prevTerm:   le.Uint64(b[24:]),
		commit:     le.Uint64(b[32:]),
		count:      le.Uint32(b[40:]),
		payloadCRC: le.Uint32(b[44:]),
		prevCRC:    le.Uint32(b[48:]),
		crc:        le.Uint32(b[52:]),
	}
	n := le.Uint32(b[4:])
	if crc.sum(b[:52]) != h.crc || n > maxPayload || h.seq == 0 || h.first == 0 || h.first+uint64(h.count) < h.first {
		return frameHeader{}, false
	}
	h.payload = int(n)
	return h, true
}

func frameMagic(m uint32) bool {
	k := frameKind(m)
	return k == kindEntries || k == kindReset || k == kindSeal
}

// decodePayload checks and reads the payload that belongs to h. The entries share p's memory. The ConfState is a reset
// frame's, and nil if it has none.
func decodePayload(p []byte, crc segmentCRC, h frameHeader) ([]*raftpb.Entry, *raftpb.ConfState, error) {
	if sum := crc.sum(p); sum != h.payloadCRC {
		return nil, nil, fmt.Errorf("its payload has checksum %08x, its header says %08x", sum, h.payloadCRC)
	}
	var conf *raftpb.ConfState
	if h.kind == kindReset {
		var err error
		if conf, p, err = decodeConf(p); err != nil {
			return nil, nil, err
		}
	}
	if h.kind == kindEntries && h.count == 0 {
		return nil, nil, errors.New("it holds no entries")
	}
	entries, err := decodeEntries(p, h.count, h.first, h.prevTerm)
	return entries, conf, err
}

// encodeConf encodes an optional ConfState: its length plus one, 0 when there is none, and its bytes.
func encodeConf(conf *raftpb.ConfState) ([]byte, error) {
	b := make([]byte, 4)
	if conf == nil {
		return b, nil
	}
	b, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(b, conf)
	if err != nil {
		return nil, fmt.Errorf("encode ConfState: %w", err)
	}
	le.PutUint32(b, uint32(len(b)-4)+1)
	return b, nil
}

// decodeConf reads what encodeConf wrote and returns the rest.
func decodeConf(p []byte) (*raftpb.ConfState, []byte, error) {
	if len(p) < 4 {
		return nil, nil, errors.New("payload ends before the ConfState")
	}
	n := uint64(le.Uint32(p))
	p = p[4:]
	if n == 0 {
		return nil, p, nil
	}
	if n--; n > uint64(len(p)) {
		return nil, nil, errors.New("payload ends inside the ConfState")
	}
	conf := new(raftpb.ConfState)
	if err := proto.Unmarshal(p[:n], conf); err != nil {
		return nil, nil, fmt.Errorf("decode ConfState: %w", err)
	}
	return conf, p[n:], nil
}
