package backend

import (
	"errors"
	"fmt"
	"io"

	"go.etcd.io/bbolt"
)

// Pin holds one committed state while later commits go on. The pages that it needs are not reused meanwhile, so the
// file grows under writes: a Pin must be closed soon. One goroutine uses it at a time.
type Pin struct {
	db *DB
	tx *bbolt.Tx
}

// Pin holds the state as of the last Commit.
func (d *DB) Pin() (*Pin, error) {
	p := &Pin{db: d}
	err := guard(func() (err error) {
		p.tx, err = d.bolt.Begin(false)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("pin state: %w", classify(err))
	}
	return p, nil
}

// Size is the number of bytes that WriteTo writes.
func (p *Pin) Size() int64 { return p.tx.Size() }

// WriteTo writes a copy of the pinned state, in the format that Stage reads, and returns its size.
func (p *Pin) WriteTo(w io.Writer) (int64, error) {
	var n int64
	sink := &sink{w: w}
	err := guard(func() (err error) {
		n, err = p.tx.WriteTo(sink)
		return err
	})
	switch {
	case sink.err != nil:
		return n, fmt.Errorf("write copy of state: %w", sink.err)
	case err != nil && !errors.Is(err, ErrDamaged):
		return n, fmt.Errorf("read state for a copy: %w: %w", ErrDamaged, err) // a bad sector, the file cut short
	case err != nil:
		return n, fmt.Errorf("read state for a copy: %w", err)
	}
	return n, nil
}

// Close lets the state go. A second call does nothing.
func (p *Pin) Close() {
	if p.tx != nil {
		_ = p.tx.Rollback() // of a read transaction: it only gives the pages back
		p.tx = nil
	}
}

// sink tells the errors of the target of a copy from those of its source.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		s.err = err
	}
	return n, err
}
