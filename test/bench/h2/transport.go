package h2

import (
	"math"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Limits of HTTP/2.
const (
	maxStreamID   = math.MaxInt32
	maxWindow     = math.MaxInt32
	defaultWindow = 65_535
	frameBytes    = 16_384 // of a payload, unless a peer takes more; this one does not
	headerBytes   = 9      // of a frame
)

// dialTimeout ends an attempt to connect. Servers are near.
const dialTimeout = time.Second

// transport is one TCP connection, from dialing to its loss.
type transport struct {
	addr string

	mu      sync.Mutex // of what follows, down to the next blank line but one
	tcp     net.Conn   // nil until it is there
	err     error      // of the loss
	closing bool       // takes no more streams, and ends with the last
	streams map[uint32]*Stream
	waiting []*Stream // until the peer allows another
	nextID  uint32
	limit   uint32 // of streams at once; 0 until the peer has said its settings
	headers encoder

	window  int64 // what the peer lets all streams send together
	initial int64 // window of a new stream
	frame   int   // payload that the peer takes
	blocked []*Stream

	out     []byte // what is to be written
	spare   []byte // its buffer while the other is being written
	writing bool   // a goroutine does
	held    bool   // answers are being read: what they lead to is written after them

	reader // of the goroutine that reads
}

func newTransport(addr string) *transport {
	return &transport{
		addr: addr, streams: map[uint32]*Stream{}, nextID: 1, headers: newEncoder(addr),
		window: defaultWindow, initial: defaultWindow, frame: frameBytes, reader: newReader(),
	}
}

// run connects and reads until the connection is lost.
func (t *transport) run() {
	tcp, err := net.DialTimeout("tcp", t.addr, dialTimeout)
	if err == nil && t.greet(tcp) {
		err = t.read(tcp)
	}
	if err != nil {
		err = status.Error(codes.Unavailable, err.Error())
	}
	t.fail(err)
}

// greet sends what a connection begins with: all that this side is ever going to take may come at once. It reports whether the
// connection is still wanted.
func (t *transport) greet(tcp net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		tcp.Close()
		return false
	}
	t.tcp = tcp
	t.out = append(t.out, http2.ClientPreface...)
	t.out = appendSettings(t.out, http2.Setting{ID: http2.SettingEnablePush}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: maxWindow})
	t.out = appendUint32Frame(t.out, http2.FrameWindowUpdate, 0, maxWindow-defaultWindow)
	t.flush()
	return true
}

// fail ends the connection and all streams.
func (t *transport) fail(err error) {
	t.mu.Lock()
	if t.err == nil {
		t.err = err
	}
	streams := t.waiting
	for _, s := range t.streams {
		streams = append(streams, s)
	}
	for _, s := range streams {
		s.gone = true
	}
	t.waiting, t.blocked = nil, nil
	clear(t.streams)
	if t.tcp != nil {
		t.tcp.Close()
	}
	t.mu.Unlock()
	for _, s := range streams {
		s.finish(err)
	}
}

// start takes a stream, which begins now or when the peer allows. It reports false if the transport takes no more.
func (t *transport) start(s *Stream, request []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.nextID > maxStreamID {
		t.close()
	}
	if t.err != nil || t.closing {
		return false
	}
	s.t = t
	if len(t.waiting) > 0 || len(t.streams) >= int(t.limit) {
		if s.unary {
			t.send(s, request, true)
		}
		t.waiting = append(t.waiting, s)
		return true
	}
	t.begin(s)
	if s.unary {
		t.send(s, request, true)
	}
	t.flush()
	return true
}

// begin sends the headers of a stream.
func (t *transport) begin(s *Stream) {
	s.id, s.window = t.nextID, t.initial
	t.nextID += 2
	t.streams[s.id] = s
	block := t.headers.encode(s.method)
	t.out = appendFrame(t.out, http2.FrameHeaders, http2.FlagHeadersEndHeaders, s.id, len(block))
	t.out = append(t.out, block...)
}

// admit begins streams that waited.
func (t *transport) admit() {
	for len(t.waiting) > 0 && len(t.streams) < int(t.limit) && t.nextID <= maxStreamID && !t.closing {
		s := t.waiting[0]
		t.waiting = t.waiting[1:]
		t.begin(s)
		if !t.push(s) {
			t.blocked = append(t.blocked, s)
		}
	}
	if t.nextID > maxStreamID {
		t.close()
	}
}

// remove forgets a stream that is over, and makes room for another.
func (t *transport) remove(s *Stream) {
	same := func(other *Stream) bool { return other == s }
	switch {
	case s.id == 0:
		t.waiting = slices.DeleteFunc(t.waiting, same)
	case len(s.unsent) > 0:
		t.blocked = slices.DeleteFunc(t.blocked, same)
	}
	delete(t.streams, s.id)
	s.gone = true
	t.admit()
	if t.closing {
		t.close()
	}
}

// close lets the streams that have begun come to their end.
func (t *transport) close() {
	t.closing = true
	if len(t.streams) == 0 && t.tcp != nil {
		t.tcp.Close()
	}
}

// reset tells the peer that a stream is of no interest any more.
func (t *transport) reset(s *Stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.streams[s.id] == s {
		t.out = appendUint32Frame(t.out, http2.FrameRSTStream, s.id, uint32(http2.ErrCodeCancel))
	}
	t.remove(s)
	t.flush()
}

// flush writes what has gathered. It leaves that to another goroutine that is at it, or will be when it has read what came.
func (t *transport) flush() {
	if t.writing || t.held || t.tcp == nil {
		return
	}
	t.writing = true
	for len(t.out) > 0 {
		b := t.out
		t.out = t.spare[:0]
		t.mu.Unlock()
		_, err := t.tcp.Write(b)
		t.mu.Lock()
		t.spare = b
		if err != nil {
			t.tcp.Close() // which the reader notices
			t.out = nil
		}
	}
	t.writing = false
}

// hold keeps what is to be written until release.
func (t *transport) hold() {
	t.mu.Lock()
	t.held = true
	t.mu.Unlock()
}

func (t *transport) release() {
	t.mu.Lock()
	t.held = false
	t.flush()
	t.mu.Unlock()
}
