package mvcc

import (
	"encoding/binary"
	"hash/crc32"
	"slices"

	"github.com/quorumkv/quorumkv/internal/invariant"
	"github.com/quorumkv/quorumkv/storage/backend"
)

// Sealed is what one flush takes to the file: all that was fresh when it was sealed. It never changes, so that another
// goroutine can write it while the store goes on.
type Sealed struct {
	rows    []Event
	deletes []deletedRow
	// meta says that the records of the bucket meta are written, with the revisions of that moment and the number of rows
	// that the file then has.
	meta                        bool
	revision, compact, finished int64
	fileRows                    int64
	// What the store takes back if the flush comes to nothing.
	rowBytes, deleteBytes int
	metaDirty             bool
	// block is memory for the rows as they are stored, the store's from flush to flush while it is busy.
	block []byte
}

// blockKept is the largest block that is kept for the next flush.
const blockKept = 8 << 20

// FreshBytes is the size of what the next Seal takes.
func (s *Store) FreshBytes() int { return s.freshBytes + s.freshDeleteBytes }

// FreshOps is the number of changes that the next Seal takes.
func (s *Store) FreshOps() int {
	n := len(s.overlay) - s.sealed + len(s.deletes) - s.sealedDeletes
	if n == 0 && s.metaDirty {
		return 1
	}
	return n
}

// Seal begins a flush: it takes everything fresh. The store may change at once, but the next flush begins only after
// Flushed or NotFlushed.
func (s *Store) Seal() *Sealed {
	invariant.Check(!s.txn && s.flush == nil, "seal: open transaction %t, flush under way %t", s.txn, s.flush != nil)
	f := &Sealed{
		meta:        s.FreshOps() > 0,
		rows:        s.overlay[s.sealed:len(s.overlay):len(s.overlay)],
		deletes:     s.deletes[:len(s.deletes):len(s.deletes)],
		revision:    s.revision,
		compact:     s.compact,
		finished:    s.finished,
		rowBytes:    s.freshBytes,
		deleteBytes: s.freshDeleteBytes,
		metaDirty:   s.metaDirty,
		block:       s.block,
	}
	f.fileRows = s.rows + int64(len(f.rows)-len(f.deletes))
	s.sealed, s.freshBytes = len(s.overlay), 0
	s.sealedDeletes, s.freshDeleteBytes = len(s.deletes), 0
	s.metaDirty = false
	s.flush, s.block = f, nil
	return f
}

// AddTo adds the changes to a batch. What it adds is valid until Flushed or NotFlushed.
func (f *Sealed) AddTo(b *backend.Batch) {
	block := slices.Grow(f.block[:0], f.rowBytes+f.deleteBytes)
	f.block = block
	cut := func(from int) []byte { return block[from:len(block):len(block)] }
	for i := range f.rows {
		e := &f.rows[i]
		from := len(block)
		block = appendRevisionKey(block, e.Rev, e.Delete)
		key := cut(from)
		from = len(block)
		block = appendRowValue(block, key, e)
		b.Put(backend.Key, key, cut(from))
	}
	// Deletes come last: a row may be put and compacted within one flush.
	for _, d := range f.deletes {
		from := len(block)
		block = appendRevisionKey(block, d.rev, d.tombstone)
		b.Delete(backend.Key, cut(from))
	}
	if f.meta {
		f.putMeta(b)
	}
}

// putMeta adds the meta records to b.
func (f *Sealed) putMeta(b *backend.Batch) {
	if f.compact != noCompaction {
		b.Put(backend.Meta, scheduledKey, appendRevisionKey(nil, Revision{Main: f.compact}, false))
	}
	if f.finished != noCompaction {
		b.Put(backend.Meta, finishedKey, appendRevisionKey(nil, Revision{Main: f.finished}, false))
	}
	v := binary.BigEndian.AppendUint64(make([]byte, 0, currentBytes), uint64(f.revision))
	v = binary.BigEndian.AppendUint64(v, uint64(f.compact))
	v = binary.BigEndian.AppendUint64(v, uint64(f.fileRows))
	b.Put(backend.Meta, currentKey, binary.BigEndian.AppendUint32(v, crc32.Checksum(v, castagnoli)))
}

// Flushed says that what the last Seal took is committed.
func (s *Store) Flushed() {
	f := s.endFlush()
	s.rows = f.fileRows
	s.flushed = s.sealed
	s.deletes, s.sealedDeletes = append(s.deletes[:0], s.deletes[s.sealedDeletes:]...), 0
	s.trim()
}

// NotFlushed says that what the last Seal took is not committed, and never will be: the next one takes it again.
func (s *Store) NotFlushed() {
	f := s.endFlush()
	s.sealed, s.freshBytes = s.flushed, s.freshBytes+f.rowBytes
	s.sealedDeletes, s.freshDeleteBytes = 0, s.freshDeleteBytes+f.deleteBytes
	s.metaDirty = s.metaDirty || f.metaDirty
}

func (s *Store) endFlush() *Sealed {
	invariant.Check(s.flush != nil, "end of a flush that was not begun")
	f := s.flush
	s.flush = nil
	if cap(f.block) <= blockKept && s.FreshOps() > 0 {
		s.block = f.block
	}
	return f
}

// trim drops the oldest flushed rows from an overlay that has grown too large. Views may hold the old one.
func (s *Store) trim() {
	if len(s.overlay) <= 2*s.recent.Rows && s.overlayBytes <= 2*s.recent.Bytes {
		return
	}
	cut, size := 0, s.overlayBytes
	for cut < s.flushed && (len(s.overlay)-cut > s.recent.Rows || size > s.recent.Bytes) {
		// A whole revision goes or stays.
		rev := s.overlay[cut].Rev.Main
		for ; cut < s.flushed && s.overlay[cut].Rev.Main == rev; cut++ {
			size -= s.overlay[cut].rowBytes()
		}
		s.base = rev
	}
	rest := s.overlay[cut:]
	s.overlay = append(make([]Event, 0, 5*len(rest)/2), rest...) // it more than doubles before the next time
	s.flushed -= cut
	s.sealed -= cut
	s.overlayBytes = size
	s.view = nil
}
