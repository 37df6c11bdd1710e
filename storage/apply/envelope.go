package apply

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// envelopeVersion is the first byte of every entry's data. A machine that meets another one stops: it cannot know what
// its peers did with that entry.
const envelopeVersion = 2

// minCommandBytes is the shortest encoding of a command: 8 bytes of member and four one-byte varints. It bounds what a
// forged count can make the decoder allocate.
const minCommandBytes = 12

var (
	// ErrEnvelopeVersion means that an entry was written by a version of the software that this one cannot read.
	ErrEnvelopeVersion = errors.New("unknown version of the command envelope")
	// ErrMalformedEnvelope means that an entry's data is not a batch of commands.
	ErrMalformedEnvelope = errors.New("malformed command envelope")
)

// RequestID names a command for good: Epoch grows with each boot of the member, Counter within an epoch, so no id is
// ever used twice.
type RequestID struct {
	Member, Epoch, Counter uint64
}

// Command is one client's request on its way through the log.
type Command struct {
	ID RequestID
	// Term, unless it is 0, is that of the only entries that may carry the command: in any other it does nothing. So what
	// a leader decided cannot happen once it leads no more.
	Term uint64
	// Request is an encoded etcdserverpb.InternalRaftRequest, a [CheckRequest] or a [ReportRequest].
	Request []byte
}

// EncodeBatch returns the data of one raft entry that carries cmds.
func EncodeBatch(cmds []Command) []byte { return AppendBatch(nil, cmds) }

// AppendBatch appends to data that of one raft entry that carries cmds.
func AppendBatch(data []byte, cmds []Command) []byte {
	size := 1 + protowire.SizeVarint(uint64(len(cmds)))
	for i := range cmds {
		c := &cmds[i]
		size += 8 + protowire.SizeVarint(c.ID.Epoch) + protowire.SizeVarint(c.ID.Counter) + protowire.SizeVarint(c.Term) +
			protowire.SizeVarint(uint64(len(c.Request))) + len(c.Request)
	}
	data = slices.Grow(data, size)
	data = append(data, envelopeVersion)
	data = binary.AppendUvarint(data, uint64(len(cmds)))
	for i := range cmds {
		c := &cmds[i]
		data = binary.LittleEndian.AppendUint64(data, c.ID.Member)
		data = binary.AppendUvarint(data, c.ID.Epoch)
		data = binary.AppendUvarint(data, c.ID.Counter)
		data = binary.AppendUvarint(data, c.Term)
		data = binary.AppendUvarint(data, uint64(len(c.Request)))
		data = append(data, c.Request...)
	}
	return data
}

// DecodeBatch is the inverse of [EncodeBatch]. The requests alias data.
func DecodeBatch(data []byte) ([]Command, error) {
	return appendBatch(nil, data)
}

// appendBatch decodes data behind dst. After an error nothing may be used of what it appended.
func appendBatch(dst []Command, data []byte) ([]Command, error) {
	if len(data) == 0 {
		return dst, fmt.Errorf("read version: %w", ErrMalformedEnvelope)
	}
	if data[0] != envelopeVersion {
		return dst, fmt.Errorf("version %d: %w", data[0], ErrEnvelopeVersion)
	}
	r := envelopeReader{rest: data[1:]}
	count := r.uvarint()
	if count > uint64(len(r.rest)/minCommandBytes) {
		return dst, fmt.Errorf("%d commands in %d bytes: %w", count, len(r.rest), ErrMalformedEnvelope)
	}
	if dst == nil {
		dst = make([]Command, 0, count)
	}
	for range count {
		id := RequestID{Member: r.fixed64(), Epoch: r.uvarint(), Counter: r.uvarint()}
		dst = append(dst, Command{ID: id, Term: r.uvarint(), Request: r.bytes()})
	}
	if r.short || len(r.rest) > 0 {
		return dst, fmt.Errorf("%d commands, %d bytes too many: %w", count, len(r.rest), ErrMalformedEnvelope)
	}
	return dst, nil
}

// envelopeReader consumes the fields of an envelope. The first field that is not there sets short; from then on every
// field reads as zero, so the caller checks once.
type envelopeReader struct {
	rest  []byte
	short bool
}

func (r *envelopeReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		return r.fail()
	}
	r.rest = r.rest[n:]
	return v
}

func (r *envelopeReader) fixed64() uint64 {
	if len(r.rest) < 8 {
		return r.fail()
	}
	v := binary.LittleEndian.Uint64(r.rest)
	r.rest = r.rest[8:]
	return v
}

func (r *envelopeReader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.fail()
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *envelopeReader) fail() uint64 {
	r.short, r.rest = true, nil
	return 0
}
