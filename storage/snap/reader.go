package snap

import (
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"

	"github.com/quorumkv/quorumkv/internal/env"
)

// Reader is an open snapshot file.
type Reader struct {
	file    env.File
	name    string
	size    int64
	trailer trailer
}

// Open opens a snapshot and checks its trailer, not yet its content. The error matches fs.ErrNotExist or ErrDamaged.
func Open(fs env.FS, dir string, index, term uint64) (*Reader, error) {
	r, err := open(fs, FileName(dir, index, term))
	if err != nil {
		return nil, err
	}
	if m := r.trailer.meta; m.Index != index || m.Term != term {
		return nil, errors.Join(r.damaged(fmt.Errorf("it holds index %d, term %d", m.Index, m.Term)), r.Close())
	}
	return r, nil
}

func open(fs env.FS, name string) (*Reader, error) {
	file, err := fs.Open(name)
	if errors.Is(err, env.ErrUnreadable) {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	r := &Reader{file: file, name: name}
	if err := r.readTrailer(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return r, nil
}

func (r *Reader) readTrailer() (err error) {
	if r.size, err = r.file.Size(); err != nil {
		return fmt.Errorf("read size of snapshot %s: %w", r.name, err)
	}
	var footer [footerSize]byte
	if r.size < footerSize {
		return r.damaged(fmt.Errorf("it has only %d bytes", r.size))
	}
	if err := readAt(r.file, footer[:], r.size-footerSize); err != nil {
		return r.failed(fmt.Errorf("read footer: %w", err))
	}
	var hasConf bool
	if r.trailer, hasConf, err = decodeFooter(footer[:], r.size); err != nil {
		return r.damaged(err)
	}
	conf := make([]byte, r.trailer.conf)
	if err := readAt(r.file, conf, r.trailer.content); err != nil {
		return r.failed(fmt.Errorf("read ConfState: %w", err))
	}
	if err := r.trailer.decodeConf(conf, footer[:], hasConf); err != nil {
		return r.damaged(err)
	}
	return nil
}

func (r *Reader) damaged(err error) error { return fmt.Errorf("%w: %s: %w", ErrDamaged, r.name, err) }

// failed is the error of a read. What the disk cannot read is damaged.
func (r *Reader) failed(err error) error {
	if errors.Is(err, env.ErrUnreadable) {
		return r.damaged(err)
	}
	return fmt.Errorf("snapshot %s: %w", r.name, err)
}

// Meta says what the snapshot holds.
func (r *Reader) Meta() Meta { return r.trailer.meta }

// Size is the whole file's, trailer included.
func (r *Reader) Size() int64 { return r.size }

// ReadAt reads the file, trailer included, as a receiver wants it. Nothing is verified: Verify before sending.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) { return r.file.ReadAt(p, off) }

// Verify reads all content and compares it with the checksum.
func (r *Reader) Verify() error {
	_, err := io.CopyBuffer(io.Discard, onlyReader{r.Content()}, make([]byte, chunkBytes))
	return err
}

// onlyReader hides everything but Read, so that CopyBuffer uses its buffer.
type onlyReader struct{ io.Reader }

// Content returns the content, from its start. At its end, and only there, an error that matches ErrDamaged tells that
// what was read cannot be trusted: use nothing before io.EOF.
func (r *Reader) Content() io.Reader { return &content{r: r, digest: xxhash.New()} }

type content struct {
	r      *Reader
	off    int64
	digest *xxhash.Digest
}

func (c *content) Read(p []byte) (int, error) {
	rest := c.r.trailer.content - c.off
	if rest == 0 {
		if sum := c.digest.Sum64(); sum != c.r.trailer.sum {
			return 0, c.r.damaged(fmt.Errorf("its content has checksum %016x, its footer states %016x", sum, c.r.trailer.sum))
		}
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), rest)]
	if err := readAt(c.r.file, p, c.off); err != nil {
		return 0, c.r.failed(fmt.Errorf("read at offset %d: %w", c.off, err))
	}
	_, _ = c.digest.Write(p) // never fails
	c.off += int64(len(p))
	return len(p), nil
}

// Close gives up the file.
func (r *Reader) Close() error {
	if err := r.file.Close(); err != nil {
		return fmt.Errorf("close snapshot %s: %w", r.name, err)
	}
	return nil
}
