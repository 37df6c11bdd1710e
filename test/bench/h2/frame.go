package h2

import (
	"encoding/binary"

	"golang.org/x/net/http2"
)

// appendFrame begins a frame with a payload of n bytes.
func appendFrame(b []byte, kind http2.FrameType, flags http2.Flags, id uint32, n int) []byte {
	b = append(b, byte(n>>16), byte(n>>8), byte(n), byte(kind), byte(flags))
	return binary.BigEndian.AppendUint32(b, id)
}

// appendUint32Frame appends a frame that holds one number.
func appendUint32Frame(b []byte, kind http2.FrameType, id, number uint32) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(b, kind, 0, id, 4), number)
}

func appendSettings(b []byte, settings ...http2.Setting) []byte {
	b = appendFrame(b, http2.FrameSettings, 0, 0, 6*len(settings))
	for _, s := range settings {
		b = binary.BigEndian.AppendUint16(b, uint16(s.ID))
		b = binary.BigEndian.AppendUint32(b, s.Val)
	}
	return b
}

// frame is a frame that was read. Its payload is valid until the next is.
type frame struct {
	kind    http2.FrameType
	flags   http2.Flags
	id      uint32
	payload []byte
}

// nextFrame takes the first frame off b. It reports false if that is not whole.
func nextFrame(b []byte) (f frame, rest []byte, ok bool, err error) {
	if len(b) < headerBytes {
		return f, b, false, nil
	}
	n := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	if n > frameBytes {
		return f, b, false, http2.ConnectionError(http2.ErrCodeFrameSize)
	}
	if len(b) < headerBytes+n {
		return f, b, false, nil
	}
	f = frame{http2.FrameType(b[3]), http2.Flags(b[4]), binary.BigEndian.Uint32(b[5:]) & maxStreamID, b[headerBytes : headerBytes+n]}
	return f, b[headerBytes+n:], true, nil
}

var errProtocol = http2.ConnectionError(http2.ErrCodeProtocol)

// unpadded is the payload of a frame of data or headers, without padding and priority.
func (f frame) unpadded() ([]byte, error) {
	b, padding := f.payload, 0
	if f.flags.Has(http2.FlagDataPadded) { // the same bit for headers
		if len(b) < 1 {
			return nil, errProtocol
		}
		b, padding = b[1:], int(b[0])
	}
	if f.kind == http2.FrameHeaders && f.flags.Has(http2.FlagHeadersPriority) {
		padding += 5
		if len(b) < padding {
			return nil, errProtocol
		}
		b, padding = b[5:], padding-5
	}
	if len(b) < padding {
		return nil, errProtocol
	}
	return b[:len(b)-padding], nil
}

// number is the payload of a frame that holds one number.
func (f frame) number() (uint32, error) {
	if len(f.payload) != 4 {
		return 0, http2.ConnectionError(http2.ErrCodeFrameSize)
	}
	return binary.BigEndian.Uint32(f.payload), nil
}
