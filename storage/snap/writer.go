package snap

import (
	"errors"

	"github.com/cespare/xxhash/v2"

	"github.com/quorumkv/quorumkv/internal/env"
)

// chunkBytes is the size of the writes and reads that this package makes.
const chunkBytes = 256 << 10

// Writer makes a snapshot file out of the content written to it. End it with Finish or Abort; either may follow an
// error.
type Writer struct {
	unfinished
	meta   Meta
	off    int64 // of what is on disk
	buf    []byte
	digest *xxhash.Digest
	err    error // sticky: after a failed write the content has a hole
}

// Create starts a snapshot. sizeHint is the content's likely length: if the disk has not that much, the error matches
// env.ErrNoSpace and nothing was written.
func Create(fs env.FS, dir string, m Meta, sizeHint int64) (*Writer, error) {
	u, err := create(fs, dir, "", m, sizeHint)
	if err != nil {
		return nil, err
	}
	return &Writer{unfinished: u, meta: m, buf: make([]byte, 0, chunkBytes), digest: xxhash.New()}, nil
}

// Write appends to the content.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	done := 0
	for done < len(p) {
		n := copy(w.buf[len(w.buf):cap(w.buf)], p[done:])
		w.buf = w.buf[:len(w.buf)+n]
		done += n
		if len(w.buf) == cap(w.buf) {
			if err := w.flush(); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

func (w *Writer) flush() error {
	_, _ = w.digest.Write(w.buf) // never fails
	if err := w.writeAt(w.buf, w.off); err != nil {
		w.err = err
		return err
	}
	w.off += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

// Finish completes the snapshot: trailer, sync, name, directory. Only when it returns nil is there one; after an error
// what was written is removed.
func (w *Writer) Finish() error {
	if err := w.finish(); err != nil {
		w.err = err
		return errors.Join(err, w.discard())
	}
	return nil
}

func (w *Writer) finish() error {
	if w.err != nil {
		return w.err
	}
	if err := w.flush(); err != nil {
		return err
	}
	t := trailer{meta: w.meta, content: w.off, sum: w.digest.Sum64()}
	b, err := t.encode()
	if err != nil {
		return err
	}
	if err := w.writeAt(b, w.off); err != nil {
		return err
	}
	if err := w.sync(); err != nil {
		return err
	}
	return w.publish()
}

// Abort gives the snapshot up and removes what was written. After Finish has returned nil it changes nothing.
func (w *Writer) Abort() error { return w.discard() }
