package h2

import (
	"slices"

	"golang.org/x/net/http2"
)

// send sends a message, or keeps what the peer does not let it send yet.
func (t *transport) send(s *Stream, message []byte, last bool) {
	n := prefixBytes + len(message)
	if s.id != 0 && len(s.unsent) == 0 && n <= t.allowance(s) {
		t.data(s, n, last)
		t.out = append(appendPrefix(t.out, message), message...)
		return
	}
	if s.id != 0 && len(s.unsent) == 0 {
		t.blocked = append(t.blocked, s)
	}
	s.unsent = append(appendPrefix(s.unsent, message), message...)
	s.last = last
	if s.id != 0 {
		t.unblock()
	}
}

// allowance is how long a stream's next frame of data may be.
func (t *transport) allowance(s *Stream) int { return min(t.frame, int(min(s.window, t.window))) }

// data begins a frame of data.
func (t *transport) data(s *Stream, n int, last bool) {
	s.window -= int64(n)
	t.window -= int64(n)
	var flags http2.Flags
	if last {
		flags = http2.FlagDataEndStream
	}
	t.out = appendFrame(t.out, http2.FrameData, flags, s.id, n)
}

// push sends what a stream has kept, as far as the peer lets it, and reports whether that is all.
func (t *transport) push(s *Stream) bool {
	for len(s.unsent) > 0 {
		n := min(len(s.unsent), t.allowance(s))
		if n <= 0 {
			return false
		}
		t.data(s, n, s.last && n == len(s.unsent))
		t.out = append(t.out, s.unsent[:n]...)
		s.unsent = s.unsent[n:]
	}
	s.unsent = nil
	return true
}

// unblock is called when the peer allows more.
func (t *transport) unblock() { t.blocked = slices.DeleteFunc(t.blocked, t.push) }
