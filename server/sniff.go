package server

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// protocol is what a connection speaks.
type protocol int

const (
	protoNone  protocol = iota // nothing was said
	protoHTTP1                 // also everything that is not HTTP at all: net/http knows how to refuse that
	protoHTTP2                 // HTTP/2 with a first request that is not gRPC's
	protoGRPC
)

const clientPreface = http2.ClientPreface

const (
	// firstByteTimeout is how long a connection may stay silent before it is dropped.
	firstByteTimeout = 2 * time.Minute
	// firstRequestTimeout is how long an HTTP/2 connection may take to send its first request. Only gRPC clients
	// connect ahead of time, so it is one of theirs then.
	firstRequestTimeout = 5 * time.Second
	// sniffHeaderBytes bounds the headers that are looked at.
	sniffHeaderBytes = 64 << 10
	// sniffReadBytes is what is read at a time, or more: a first request is a few hundred bytes.
	sniffReadBytes = 512
	// sniffFrames bounds what may come before the first headers.
	sniffFrames = 32
)

// sniff reads from conn until it is clear what it speaks, and returns that with everything read.
//
// HTTP/2 is told from HTTP/1 by its preface. Which server gets an HTTP/2 connection is decided by the content type of
// its first request, and there is a catch: gRPC clients send none before they have seen the server's SETTINGS. So an
// empty SETTINGS frame, which promises nothing, is sent from here, and the server chosen will send its own after it. A
// server may change its settings at any time; but the client acknowledges each, and what is done about the
// acknowledgement too many is ackFilter's.
func sniff(conn net.Conn) (protocol, []byte) {
	r := &recorder{conn: conn}
	_ = conn.SetReadDeadline(time.Now().Add(firstByteTimeout)) // a dead connection fails at the read
	isHTTP2, err := r.startsWith(clientPreface)
	switch {
	case len(r.data) == 0 && err != nil:
		return protoNone, nil
	case !isHTTP2:
		_ = conn.SetReadDeadline(time.Time{})
		return protoHTTP1, r.data
	}
	if err := http2.NewFramer(conn, nil).WriteSettings(); err != nil {
		return protoNone, nil
	}
	_ = conn.SetReadDeadline(time.Now().Add(firstRequestTimeout))
	p := firstRequest(r)
	_ = conn.SetReadDeadline(time.Time{})
	return p, r.data
}

// firstRequest reads frames up to the first headers. Whatever is unclear is gRPC's: its server answers pings on idle
// connections, and breaks off broken ones properly.
func firstRequest(r *recorder) protocol {
	f := http2.NewFramer(nil, r)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.MaxHeaderListSize = sniffHeaderBytes
	f.SetMaxReadFrameSize(16 << 10) // what we have promised by not saying otherwise
	for range sniffFrames {
		frame, err := f.ReadFrame()
		if err != nil {
			return protoGRPC
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			for _, h := range frame.RegularFields() {
				if h.Name == "content-type" && strings.HasPrefix(h.Value, "application/grpc") {
					return protoGRPC
				}
			}
			return protoHTTP2
		case *http2.SettingsFrame, *http2.WindowUpdateFrame, *http2.PriorityFrame:
		default:
			return protoGRPC
		}
	}
	return protoGRPC
}

// recorder reads from a connection and keeps everything.
type recorder struct {
	conn net.Conn
	data []byte
	read int // how much of data has been read from the recorder
}

func (r *recorder) Read(p []byte) (int, error) {
	if r.read == len(r.data) {
		if err := r.more(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.data[r.read:])
	r.read += n
	return n, nil
}

func (r *recorder) more() error {
	r.data = slices.Grow(r.data, sniffReadBytes)
	n, err := r.conn.Read(r.data[len(r.data):cap(r.data)])
	r.data = r.data[:len(r.data)+n]
	if n > 0 {
		return nil
	}
	return err
}

// startsWith reads as long as the data could still become prefix, and past it if it does.
func (r *recorder) startsWith(prefix string) (bool, error) {
	for {
		have := min(len(r.data), len(prefix))
		if !bytes.Equal(r.data[:have], []byte(prefix[:have])) {
			return false, nil
		}
		if have == len(prefix) {
			r.read = have
			return true, nil
		}
		if err := r.more(); err != nil {
			return false, err
		}
	}
}

// replayConn is a connection of which some has been read already.
type replayConn struct {
	net.Conn
	replay []byte
}

func (c *replayConn) Read(p []byte) (int, error) {
	if len(c.replay) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.replay)
	if c.replay = c.replay[n:]; len(c.replay) == 0 {
		c.replay = nil
	}
	return n, nil
}

// ackFilter is a connection on whose way in one frame is missing: the client's acknowledgement of the SETTINGS that
// sniff sent. Clients acknowledge in order, so it is the first one. net/http would take it for an attack; gRPC does
// not mind.
type ackFilter struct {
	replayConn
	payload int // bytes to pass on until the next frame starts
	header  [frameHeaderBytes]byte
	read    int    // bytes of header read so far
	pass    []byte // a header to pass on
	done    bool
}

const frameHeaderBytes = 9

func (c *ackFilter) Read(p []byte) (int, error) {
	for {
		switch {
		case len(p) == 0 || c.done:
			return c.replayConn.Read(p)
		case len(c.pass) > 0:
			n := copy(p, c.pass)
			c.pass = c.pass[n:]
			return n, nil
		case c.payload > 0:
			n, err := c.replayConn.Read(p[:min(len(p), c.payload)])
			c.payload -= n
			return n, err
		}
		// What is read of a header stays when the deadline strikes in the middle of it.
		n, err := io.ReadFull(&c.replayConn, c.header[c.read:])
		if c.read += n; err != nil {
			return 0, unexpected(err, c.read)
		}
		c.nextFrame()
	}
}

// unexpected makes the end of a connection in the middle of a header the error that it is.
func unexpected(err error, read int) error {
	if err == io.EOF && read > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *ackFilter) nextFrame() {
	c.read = 0
	h := c.header
	if http2.FrameType(h[3]) == http2.FrameSettings && http2.Flags(h[4]).Has(http2.FlagSettingsAck) {
		c.done = true
		return
	}
	c.payload = int(h[0])<<16 | int(h[1])<<8 | int(h[2])
	c.pass = c.header[:]
}
