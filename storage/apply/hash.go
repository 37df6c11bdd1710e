package apply

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"

	"github.com/quorumkv/quorumkv/storage/lease"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// Tags of the records that make up one entry's part of the history. Never change one.
const (
	tagCommand    = 'c'
	tagPut        = 'p'
	tagDelete     = 'd'
	tagCompaction = 'k'
	tagMember     = 'm'
	tagOutcome    = 'o'
	tagGrant      = 'g'
	tagRevoke     = 'r'
	tagAlarm      = 'a'
	tagReport     = 'h'
)

// history is the hash of everything that was ever applied: each entry's sum starts with the one before. Two replicas
// with the same index and different sums have diverged, and no later entry can hide it. The sum does not depend on
// flushes, on physical compaction or on who asked.
type history struct {
	sum    uint64
	digest xxhash.Digest
	buf    []byte
}

func (h *history) begin(index, term uint64) {
	h.digest.Reset()
	h.buf = h.buf[:0]
	h.u64(h.sum, index, term)
	h.write()
}

func (h *history) end() { h.sum = h.digest.Sum64() }

func (h *history) command(id RequestID) {
	h.buf = append(h.buf[:0], tagCommand)
	h.u64(id.Member, id.Epoch, id.Counter)
	h.write()
}

// outcome closes a command: its error and the revision it was answered with.
func (h *history) outcome(code uint8, revision int64) {
	h.buf = append(h.buf[:0], tagOutcome, code)
	h.u64(uint64(revision))
	h.write()
}

func (h *history) changes(events []mvcc.Event) {
	for i := range events {
		h.change(&events[i])
	}
}

func (h *history) change(e *mvcc.Event) {
	kv := e.KV
	if e.Delete {
		h.buf = append(h.buf[:0], tagDelete)
		h.u64(uint64(e.Rev.Main), uint64(e.Rev.Sub))
		h.write()
		h.bytes(kv.Key)
		return
	}
	h.buf = append(h.buf[:0], tagPut)
	h.u64(uint64(e.Rev.Main), uint64(e.Rev.Sub), uint64(kv.CreateRevision), uint64(kv.Version), uint64(kv.Lease))
	h.write()
	h.bytes(kv.Key)
	h.bytes(kv.Value)
}

func (h *history) compaction(revision int64) {
	h.buf = append(h.buf[:0], tagCompaction)
	h.u64(uint64(revision))
	h.write()
}

func (h *history) grant(l lease.Lease) {
	h.buf = append(h.buf[:0], tagGrant)
	h.u64(uint64(l.ID), uint64(l.TTL))
	h.write()
}

func (h *history) revoke(id int64) {
	h.buf = append(h.buf[:0], tagRevoke)
	h.u64(uint64(id))
	h.write()
}

func (h *history) alarm(a Alarm, raised bool) {
	h.buf = append(h.buf[:0], tagAlarm, 0)
	if raised {
		h.buf[1] = 1
	}
	h.u64(a.Member, uint64(a.Type))
	h.write()
}

func (h *history) report(index uint64, r Report) {
	h.buf = append(h.buf[:0], tagReport)
	h.u64(index, r.Member, r.Hash)
	h.write()
}

func (h *history) member(m *Member) {
	h.buf = append(h.buf[:0], tagMember)
	h.write()
	h.bytes(m.encode())
}

// bytes writes b behind its length, so that no two sequences of fields look alike.
func (h *history) bytes(b []byte) {
	h.buf = h.buf[:0]
	h.u64(uint64(len(b)))
	h.write()
	h.digest.Write(b)
}

func (h *history) u64(values ...uint64) {
	for _, v := range values {
		h.buf = binary.LittleEndian.AppendUint64(h.buf, v)
	}
}

func (h *history) write() { h.digest.Write(h.buf) }
