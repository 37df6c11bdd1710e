package h2

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Stream is one call: with one message each way, or open in both directions.
type Stream struct {
	method string
	into   Message
	report func(error)
	unary  bool // report is called once, at the end
	t      *transport

	// Guarded by t.mu.
	id     uint32 // 0 while it waits for its turn
	window int64  // what the peer lets it send
	unsent []byte // what waits for the window
	last   bool   // nothing comes after unsent
	gone   bool   // it is not the transport's any more

	// Of the goroutine that reads.
	received uint32 // bytes that the peer has not been told to be read
	partial  []byte // of a message that is not whole
	answered bool   // a message came

	mu   sync.Mutex // held while a message is scanned, and while that is reported on an open stream
	over bool       // nothing is scanned or reported any more
}

// prefixBytes go before each message: whether it is compressed, and its length.
const prefixBytes = 5

func appendPrefix(b, message []byte) []byte {
	return binary.BigEndian.AppendUint32(append(b, 0), uint32(len(message)))
}

// Send sends a message on an open stream. The error is io.EOF after the stream's end; what it ended with is reported.
func (s *Stream) Send(message []byte) error {
	if s.t == nil {
		return io.EOF
	}
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if s.gone {
		return io.EOF
	}
	s.t.send(s, message, false)
	s.t.flush()
	return nil
}

// Cancel ends a stream. After that nothing is scanned or reported. It returns false if the stream had its end already.
func (s *Stream) Cancel() bool {
	s.mu.Lock()
	over := s.over
	s.over = true
	s.mu.Unlock()
	if !over && s.t != nil {
		s.t.reset(s)
	}
	return !over
}

// finish reports the end, unless that has been done.
func (s *Stream) finish(err error) {
	s.mu.Lock()
	over := s.over
	s.over = true
	s.mu.Unlock()
	if over {
		return
	}
	switch {
	case err == nil && !s.unary:
		err = io.EOF
	case err == nil && !s.answered:
		err = errEmpty
	}
	s.report(err)
}

// take scans the messages in data, of which the last may not be whole. Its rest is kept in a buffer of the transport's.
func (s *Stream) take(data []byte) error {
	if len(s.partial) > 0 {
		missing, err := s.missing(s.partial)
		for err == nil && missing > 0 && len(data) > 0 { // first of the prefix, then of the message
			n := min(missing, len(data))
			s.partial, data = append(s.partial, data[:n]...), data[n:]
			missing, err = s.missing(s.partial)
		}
		if err != nil || missing > 0 {
			return err
		}
		if err := s.scan(s.partial[prefixBytes:]); err != nil {
			return err
		}
		s.t.putBuffer(s.partial)
		s.partial = nil
	}
	for len(data) > 0 {
		missing, err := s.missing(data)
		if err != nil {
			return err
		}
		if missing > 0 {
			s.partial = append(slices.Grow(s.t.buffer(), len(data)+missing), data...)
			return nil
		}
		end := prefixBytes + int(binary.BigEndian.Uint32(data[1:]))
		if err := s.scan(data[prefixBytes:end]); err != nil {
			return err
		}
		data = data[end:]
	}
	return nil
}

// missing is how much the first message in b lacks: of the prefix, if that is not whole. It is 0 when the message is there.
func (s *Stream) missing(b []byte) (int, error) {
	if len(b) < prefixBytes {
		return prefixBytes - len(b), nil
	}
	if b[0] != 0 {
		return 0, status.Error(codes.Internal, "a message is compressed, and none was asked to be")
	}
	return max(0, prefixBytes+int(binary.BigEndian.Uint32(b[1:]))-len(b)), nil
}

func (s *Stream) scan(message []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil
	}
	if err := s.into.Scan(message); err != nil {
		return fmt.Errorf("read an answer to %s: %w", s.method, err)
	}
	s.answered = true
	if !s.unary {
		s.report(nil)
	}
	return nil
}

// resetError is what a call ends with when the server resets its stream.
func resetError(code http2.ErrCode) error {
	c := codes.Internal
	switch code {
	case http2.ErrCodeRefusedStream:
		c = codes.Unavailable
	case http2.ErrCodeCancel:
		c = codes.Canceled
	}
	return status.Errorf(c, "the server has reset the stream: %v", code)
}
