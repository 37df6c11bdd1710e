package snap

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
)

// ErrWrongOffset is returned for a chunk that does not follow the last one: a duplicate, or one from after a gap.
// Nothing was written; ask for Offset.
var ErrWrongOffset = errors.New("snapshot chunk has the wrong offset")

// Receiver puts a snapshot file together from chunks, in order. End it with Finish or Abort; Abort may follow an error.
type Receiver struct {
	unfinished
	meta  Meta
	off   int64
	total int64
	err   error // sticky: after a failed write the file has a hole
}

// Receive starts a snapshot of total bytes, trailer included. The disk must have room for it.
func Receive(fs env.FS, dir string, m Meta, total int64) (*Receiver, error) {
	if total < footerSize {
		return nil, fmt.Errorf("receive snapshot at index %d: %d bytes are too few for one", m.Index, total)
	}
	u, err := create(fs, dir, ".recv", m, total)
	if err != nil {
		return nil, err
	}
	return &Receiver{unfinished: u, meta: m, total: total}, nil
}

// Offset is where the next chunk must start.
func (r *Receiver) Offset() int64 { return r.off }

// Chunk takes the bytes from off on.
func (r *Receiver) Chunk(off int64, data []byte) error {
	switch {
	case r.err != nil:
		return r.err
	case off != r.off:
		return fmt.Errorf("%w: %d instead of %d", ErrWrongOffset, off, r.off)
	case int64(len(data)) > r.total-off:
		return fmt.Errorf("snapshot chunk [%d,+%d) exceeds the file's %d bytes", off, len(data), r.total)
	}
	if err := r.writeAt(data, off); err != nil {
		r.err = err
		return err
	}
	r.off += int64(len(data))
	return nil
}

// Finish verifies the whole file and gives it its name, durably. The error matches ErrDamaged if the chunks do not make
// up the snapshot that was announced. Only when it returns nil is there one.
func (r *Receiver) Finish() error {
	if err := r.finish(); err != nil {
		r.err = err
		return errors.Join(err, r.discard())
	}
	return nil
}

func (r *Receiver) finish() error {
	switch {
	case r.err != nil:
		return r.err
	case r.off != r.total:
		return fmt.Errorf("snapshot at index %d has %d of %d bytes", r.meta.Index, r.off, r.total)
	}
	if err := r.sync(); err != nil {
		return err
	}
	if err := r.verify(); err != nil {
		return err
	}
	return r.publish()
}

// verify reads the file back: the chunks' own checksums say nothing about the sender's disk.
func (r *Receiver) verify() error {
	read, err := open(r.fs, r.tmp)
	if err != nil {
		return err
	}
	err = read.Verify()
	if got := read.Meta(); err == nil && !sameMeta(got, r.meta) {
		err = read.damaged(fmt.Errorf("it holds index %d, term %d, %v; announced were index %d, term %d, %v",
			got.Index, got.Term, got.ConfState, r.meta.Index, r.meta.Term, r.meta.ConfState))
	}
	return errors.Join(err, read.Close())
}

// sameMeta takes no ConfState for an empty one.
func sameMeta(a, b Meta) bool {
	orEmpty := func(c *raftpb.ConfState) *raftpb.ConfState {
		if c == nil {
			return new(raftpb.ConfState)
		}
		return c
	}
	return a.Index == b.Index && a.Term == b.Term && proto.Equal(orEmpty(a.ConfState), orEmpty(b.ConfState))
}

// Abort gives the snapshot up and removes what was written. After Finish has returned nil it changes nothing.
func (r *Receiver) Abort() error { return r.discard() }
