package h2

import (
	"encoding/binary"
	"math"
	"net"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// readBytes is how much is read at once: some frames of the largest size.
const readBytes = 4 * (headerBytes + frameBytes)

// reader is what the goroutine that reads knows.
type reader struct {
	decoder  decoder
	block    []byte // of headers, which are continued in the next frame
	opening  frame  // with which it began
	received uint32 // bytes that the peer has not been told to be read
	spares   [][]byte
}

func newReader() reader { return reader{decoder: newDecoder()} }

// buffer returns an empty buffer for a message that comes in pieces.
func (r *reader) buffer() []byte {
	n := len(r.spares)
	if n == 0 {
		return nil
	}
	b := r.spares[n-1]
	r.spares = r.spares[:n-1]
	return b[:0]
}

func (r *reader) putBuffer(b []byte) { r.spares = append(r.spares, b) }

// read handles what comes until the connection is lost.
func (t *transport) read(tcp net.Conn) error {
	buffer := make([]byte, readBytes)
	filled := 0
	for {
		n, err := tcp.Read(buffer[filled:])
		if err != nil {
			return err
		}
		filled += n
		t.hold()
		rest, err := t.handleAll(buffer[:filled])
		t.release()
		if err != nil {
			return err
		}
		filled = copy(buffer, rest)
	}
}

// handleAll handles the frames in b and returns what follows the last whole one.
func (t *transport) handleAll(b []byte) ([]byte, error) {
	for {
		f, rest, ok, err := nextFrame(b)
		if err != nil || !ok {
			return rest, err
		}
		if err := t.handle(f); err != nil {
			return rest, err
		}
		b = rest
	}
}

// handle handles one frame. An error is the end of the connection.
func (t *transport) handle(f frame) error {
	switch f.kind {
	case http2.FrameData:
		return t.handleData(f)
	case http2.FrameHeaders, http2.FrameContinuation:
		return t.handleHeaders(f)
	case http2.FrameSettings:
		return t.handleSettings(f)
	case http2.FrameWindowUpdate:
		return t.handleWindowUpdate(f)
	case http2.FramePing:
		if !f.flags.Has(http2.FlagPingAck) {
			t.mu.Lock()
			t.out = appendFrame(t.out, http2.FramePing, http2.FlagPingAck, 0, len(f.payload))
			t.out = append(t.out, f.payload...)
			t.mu.Unlock()
		}
	case http2.FrameRSTStream:
		code, err := f.number()
		if err != nil {
			return err
		}
		if s := t.end(f.id); s != nil {
			s.finish(resetError(http2.ErrCode(code)))
		}
	case http2.FrameGoAway:
		return t.handleGoAway(f)
	}
	return nil // others are of no interest, and pushes have been forbidden
}

func (t *transport) stream(id uint32) *Stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.streams[id]
}

// end forgets a stream and returns it, or nil if it has gone already.
func (t *transport) end(id uint32) *Stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.streams[id]
	if s != nil {
		t.remove(s)
	}
	return s
}

func (t *transport) handleData(f frame) error {
	// Padding counts, and so does what comes after a stream's end.
	t.refill(0, &t.received, len(f.payload))
	data, err := f.unpadded()
	if err != nil {
		return err
	}
	s := t.stream(f.id)
	if s == nil {
		return nil
	}
	t.refill(f.id, &s.received, len(f.payload))
	err = s.take(data)
	if err == nil && f.flags.Has(http2.FlagDataEndStream) {
		err = status.Error(codes.Internal, "the stream has ended without a status")
	}
	if err != nil {
		t.reset(s)
		s.finish(err)
	}
	return nil
}

// refill opens a window again when half of it has been used.
func (t *transport) refill(id uint32, received *uint32, n int) {
	*received += uint32(n)
	if *received < maxWindow/2 {
		return
	}
	t.mu.Lock()
	t.out = appendUint32Frame(t.out, http2.FrameWindowUpdate, id, *received)
	t.mu.Unlock()
	*received = 0
}

func (t *transport) handleHeaders(f frame) error {
	block := f.payload
	if f.kind == http2.FrameHeaders {
		var err error
		if block, err = f.unpadded(); err != nil {
			return err
		}
		t.opening = f
	}
	if len(t.block) > 0 || !f.flags.Has(http2.FlagHeadersEndHeaders) { // the same bit for a continuation
		t.block = append(t.block, block...)
		block = t.block
	}
	if !f.flags.Has(http2.FlagHeadersEndHeaders) {
		return nil
	}
	a, err := t.decoder.decode(block)
	t.block = t.block[:0]
	if err != nil {
		return err
	}
	if t.opening.flags.Has(http2.FlagHeadersEndStream) {
		if s := t.end(t.opening.id); s != nil {
			s.finish(a.trailers)
		}
	} else if a.headers != nil {
		if s := t.stream(t.opening.id); s != nil {
			t.reset(s)
			s.finish(a.headers)
		}
	}
	return nil
}

func (t *transport) handleSettings(f frame) error {
	if f.flags.Has(http2.FlagSettingsAck) {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.limit == 0 {
		t.limit = math.MaxInt32 // unless it says something else
	}
	for b := f.payload; len(b) >= 6; b = b[6:] {
		value := binary.BigEndian.Uint32(b[2:])
		switch http2.SettingID(binary.BigEndian.Uint16(b)) {
		case http2.SettingMaxConcurrentStreams:
			t.limit = min(value, math.MaxInt32)
		case http2.SettingInitialWindowSize:
			for _, s := range t.streams {
				s.window += int64(value) - t.initial
			}
			t.initial = int64(value)
		case http2.SettingMaxFrameSize:
			t.frame = int(value)
		case http2.SettingHeaderTableSize:
			t.headers.limit(value)
		}
	}
	t.out = appendFrame(t.out, http2.FrameSettings, http2.FlagSettingsAck, 0, 0)
	t.unblock()
	t.admit()
	return nil
}

func (t *transport) handleWindowUpdate(f frame) error {
	n, err := f.number()
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.id == 0 {
		t.window += int64(n)
	} else if s := t.streams[f.id]; s != nil {
		s.window += int64(n)
	}
	t.unblock()
	return nil
}

// handleGoAway ends the streams that the peer has not looked at. Those that wait for their turn are among them.
func (t *transport) handleGoAway(f frame) error {
	if len(f.payload) < 8 {
		return http2.ConnectionError(http2.ErrCodeFrameSize)
	}
	last := binary.BigEndian.Uint32(f.payload) & maxStreamID
	t.mu.Lock()
	t.closing = true
	unseen := t.waiting
	t.waiting = nil
	for id, s := range t.streams {
		if id > last {
			unseen = append(unseen, s)
		}
	}
	for _, s := range unseen {
		t.remove(s)
	}
	t.close()
	t.mu.Unlock()
	for _, s := range unseen {
		s.finish(status.Errorf(codes.Unavailable, "the server goes away: %v %q", http2.ErrCode(binary.BigEndian.Uint32(f.payload[4:])), f.payload[8:]))
	}
	return nil
}
