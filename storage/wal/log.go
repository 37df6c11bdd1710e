package wal

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/internal/env"
)

// Snapshot is a point from which a log starts: everything up to and including Index is in the state.
type Snapshot struct {
	Index, Term uint64
	ConfState   *raftpb.ConfState
}

// Config is fixed for the life of a log, but for SegmentBytes, which may differ from boot to boot.
type Config struct {
	// SegmentBytes is the size of a segment file; 0 means 64 MiB. It is also the unit in which compaction frees space,
	// so very large segments hold disk space for long, and very small ones cost two extra syncs each. A record larger
	// than a segment gets a segment of its own size.
	SegmentBytes int64
	// Seed goes into every checksum: the node's incarnation. Opening a log with another seed finds nothing valid in it.
	Seed [16]byte
}

const (
	defaultSegmentBytes = 64 << 20
	minSegmentBytes     = 1 << 10
)

func (c Config) validate() (Config, error) {
	if c.SegmentBytes == 0 {
		c.SegmentBytes = defaultSegmentBytes
	}
	if c.SegmentBytes < minSegmentBytes {
		return c, fmt.Errorf("segment size of %d bytes is below the least, %d", c.SegmentBytes, minSegmentBytes)
	}
	return c, nil
}

// ErrFailed is in the chain of every error after the first that left the disk in doubt.
var ErrFailed = errors.New("log refuses further work after an earlier error")

// errClosed is what a Log fails with once it is closed.
var errClosed = errors.New("log is closed")

// Log is an open log. See the package comment for its rules.
type Log struct {
	fs  env.FS
	dir string
	cfg Config

	// The current segment, and where the next frame goes in it.
	file   env.File
	number uint64
	size   int64
	crc    segmentCRC
	off    int64

	seq   uint64 // of the last frame
	chain uint32 // header checksum of the last frame, or of the segment's header
	terms terms
	snap  Snapshot // where the log last started
	hint  uint64   // highest commit index written

	// sealed is set while nothing was written behind the last seal.
	sealed bool
	// unsynced is set while the last frame with content was not synced. It must be before the next frame (W1).
	unsynced bool
	// wanted is set once WantsNext has said yes for the current segment.
	wanted bool

	// segments lists the files, oldest first, the current one last.
	segments []segmentInfo

	buf []byte
	err error // sticky
}

// segmentInfo is what compaction needs to know about a segment.
type segmentInfo struct {
	number uint64
	// last is the highest index of any entry in the segment, overwritten ones included; 0 if it holds nothing of worth.
	last uint64
}

// fail makes err the log's last word.
func (l *Log) fail(err error) error {
	l.err = err
	return err
}

// usable returns an error unless the log may go on.
func (l *Log) usable() error {
	if l.err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, l.err)
	}
	return nil
}

// Close gives up the file. It syncs nothing: whatever must last was synced when it was written.
func (l *Log) Close() error {
	if errors.Is(l.err, errClosed) {
		return nil
	}
	l.err = errClosed
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("close log segment: %w", err)
	}
	return nil
}
