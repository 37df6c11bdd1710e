package wal

import (
	"errors"
	"io"

	"github.com/quorumkv/quorumkv/internal/env"
)

// windowBytes is how much of a segment recovery reads at a time.
const windowBytes = 256 << 10

// window reads a file from front to back through one buffer.
type window struct {
	f    env.File
	size int64
	buf  []byte // holds the file's bytes from at on
	at   int64
	mem  []byte // buf's memory, reused from file to file
}

func (w *window) open(f env.File) error {
	size, err := f.Size()
	w.f, w.size, w.buf, w.at = f, size, nil, 0
	return err
}

// peek returns up to n bytes from off on, fewer only at the end of the file. They are valid until the next call.
func (w *window) peek(off int64, n int) ([]byte, error) {
	n = int(min(int64(n), w.size-off))
	if n <= 0 {
		return nil, nil
	}
	if off < w.at || off+int64(n) > w.at+int64(len(w.buf)) {
		if len(w.mem) < n {
			w.mem = make([]byte, max(int64(n), min(windowBytes, w.size)))
		}
		w.buf = w.mem[:min(int64(len(w.mem)), w.size-off)]
		w.at = off
		if err := readAt(w.f, w.buf, off); err != nil {
			w.buf = nil
			return nil, err
		}
	}
	return w.buf[off-w.at:][:n], nil
}

// copy fills p from off on. The caller has checked that the file is long enough.
func (w *window) copy(p []byte, off int64) error {
	if len(p) > windowBytes {
		return readAt(w.f, p, off)
	}
	b, err := w.peek(off, len(p))
	copy(p, b)
	return err
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
