package wal

import (
	"errors"
	"io"

	"github.com/quorumkv/quorumkv/internal/env"
)

const (
	// windowBytes is how much of a segment recovery reads at a time: few calls, which wait for the disk each.
	windowBytes = 1 << 20
	// scrubWindowBytes is the same for a scrub, which has time, and clients that wait for the same disk.
	scrubWindowBytes = 256 << 10
	// blockBytes is the piece in which it reads where the disk fails to: what systems cache, and so what a bad sector takes.
	blockBytes = 4 << 10
	// unreadableByte stands for what the disk cannot read. Such bytes are no frame, and no end of the log either.
	unreadableByte = 0xff
)

// window reads a file from front to back through one buffer. What the disk cannot read it fills with unreadableByte.
type window struct {
	f    env.File
	size int64
	buf  []byte // holds the file's bytes from at on
	at   int64
	mem  []byte // buf's memory, reused from file to file
	// scrub asks the disk even for what memory holds, and for less at a time.
	scrub bool

	holes []hole // what the disk cannot read of this file
	// read and failed say of all files so far whether anything could be read, and whether anything could not.
	read, failed bool
}

// hole is a part of a file that the disk cannot read.
type hole struct{ from, to int64 }

// bytes is how much is read at a time.
func (w *window) bytes() int {
	if w.scrub {
		return scrubWindowBytes
	}
	return windowBytes
}

func (w *window) open(f env.File) error {
	size, err := f.Size()
	w.f, w.size, w.buf, w.at, w.holes = f, size, nil, 0, nil
	return err
}

// unreadable tells whether the disk failed to read any of a range that was looked at.
func (w *window) unreadable(from, to int64) bool {
	for _, h := range w.holes {
		if h.from < to && from < h.to {
			return true
		}
	}
	return false
}

// fill reads p from off on.
func (w *window) fill(p []byte, off int64) error {
	if w.scrub {
		w.f.Forget(off, int64(len(p)))
	}
	err := readAt(w.f, p, off)
	if !errors.Is(err, env.ErrUnreadable) {
		w.read = w.read || err == nil
		return err
	}
	w.failed = true
	for len(p) > 0 {
		n := min(int64(len(p)), blockBytes-off%blockBytes)
		switch err := readAt(w.f, p[:n], off); {
		case err == nil:
			w.read = true
		case errors.Is(err, env.ErrUnreadable):
			for i := range p[:n] {
				p[i] = unreadableByte
			}
			w.holes = append(w.holes, hole{off, off + n})
		default:
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

// peek returns up to n bytes from off on, fewer only at the end of the file. They are valid until the next call. It reads whole
// blocks, which need not go through the system's memory.
func (w *window) peek(off int64, n int) ([]byte, error) {
	n = int(min(int64(n), w.size-off))
	if n <= 0 {
		return nil, nil
	}
	if off < w.at || off+int64(n) > w.at+int64(len(w.buf)) {
		w.at = off - off%blockBytes
		if need := off + int64(n) - w.at; int64(len(w.mem)) < need {
			w.mem = make([]byte, max((need+blockBytes-1)/blockBytes*blockBytes, min(int64(w.bytes()), w.size)))
		}
		w.buf = w.mem[:min(int64(len(w.mem)), w.size-w.at)]
		if err := w.fill(w.buf, w.at); err != nil {
			w.buf = nil
			return nil, err
		}
	}
	return w.buf[off-w.at:][:n], nil
}

// copy fills p from off on. The caller has checked that the file is long enough.
func (w *window) copy(p []byte, off int64) error {
	for len(p) > 0 {
		b, err := w.peek(off, min(len(p), w.bytes()-blockBytes))
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return io.ErrUnexpectedEOF
		}
		n := copy(p, b)
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// readAt fills p or fails.
func readAt(f env.File, p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
