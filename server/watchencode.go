package server

import (
	"encoding/binary"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/quorumkv/quorumkv/storage/mvcc"
	"github.com/quorumkv/quorumkv/storage/watch"
)

// An event goes to many watchers, and the responses that carry it differ in a few bytes. So events are encoded once for all
// watchers of a stream that get the same, and gRPC is handed the bytes.

// Fields of WatchResponse, ResponseHeader and Event.
const (
	fieldHeader       = protowire.Number(1)
	fieldWatchID      = protowire.Number(2)
	fieldCreated      = protowire.Number(3)
	fieldCanceled     = protowire.Number(4)
	fieldCancelReason = protowire.Number(6)
	fieldEvents       = protowire.Number(11)

	fieldClusterID = protowire.Number(1)
	fieldMemberID  = protowire.Number(2)
	fieldRevision  = protowire.Number(3)
	fieldRaftTerm  = protowire.Number(4)

	fieldType   = protowire.Number(1)
	fieldKV     = protowire.Number(2)
	fieldPrevKV = protowire.Number(3)
)

// encodedMessage is a message in its wire form, for countingCodec.
type encodedMessage mem.BufferSlice

// responseEncoder makes the responses of one piece of work. They share the header, and often the events.
type responseEncoder struct {
	header  mem.Buffer
	events  []watch.Event // those encoded last
	encoded mem.Buffer
	// Room for what differs, taken in one piece.
	ids     []byte
	buffers []mem.Buffer
}

func newResponseEncoder(h *pb.ResponseHeader, responses int) *responseEncoder {
	return &responseEncoder{
		header:  mem.SliceBuffer(encodeHeader(h)),
		ids:     make([]byte, 0, responses*maxWatchIDBytes),
		buffers: make([]mem.Buffer, 0, responses*3),
	}
}

// response returns a WatchResponse with events.
func (c *responseEncoder) response(id int64, events []watch.Event) encodedMessage {
	if c.encoded == nil || !slices.Equal(c.events, events) {
		c.events, c.encoded = events, mem.SliceBuffer(encodeEvents(events))
	}
	from := len(c.ids)
	c.ids = appendVarint(c.ids, fieldWatchID, uint64(id))
	first := len(c.buffers)
	c.buffers = append(c.buffers, c.header, mem.SliceBuffer(c.ids[from:len(c.ids):len(c.ids)]), c.encoded)
	return c.buffers[first:len(c.buffers):len(c.buffers)]
}

// encodeReply returns the WatchResponse that answers a request.
func encodeReply(h *pb.ResponseHeader, r watch.Reply, cancelReason string) encodedMessage {
	b := encodeHeader(h)
	b = appendVarint(b, fieldWatchID, uint64(r.ID))
	b = appendVarint(b, fieldCreated, protowire.EncodeBool(r.Created))
	b = appendVarint(b, fieldCanceled, protowire.EncodeBool(r.Canceled))
	if cancelReason != "" {
		b = protowire.AppendTag(b, fieldCancelReason, protowire.BytesType)
		b = protowire.AppendString(b, cancelReason)
	}
	return encodedMessage{mem.SliceBuffer(b)}
}

// maxWatchIDBytes is the most that a watch id takes in a response.
const maxWatchIDBytes = 1 + binary.MaxVarintLen64

// encodeHeader returns the header of a response.
func encodeHeader(h *pb.ResponseHeader) []byte {
	b := make([]byte, 0, 64)
	b = protowire.AppendTag(b, fieldHeader, protowire.BytesType)
	b = append(b, 0) // its length: well below 128
	start := len(b)
	b = appendVarint(b, fieldClusterID, h.ClusterId)
	b = appendVarint(b, fieldMemberID, h.MemberId)
	b = appendVarint(b, fieldRevision, uint64(h.Revision))
	b = appendVarint(b, fieldRaftTerm, h.RaftTerm)
	b[start-1] = byte(len(b) - start)
	return b
}

// encodeEvents returns the events of a WatchResponse.
func encodeEvents(events []watch.Event) []byte {
	size := 0
	for i := range events {
		size += protowire.SizeTag(fieldEvents) + protowire.SizeBytes(eventSize(&events[i]))
	}
	b := make([]byte, 0, size)
	for i := range events {
		e := &events[i]
		b = protowire.AppendTag(b, fieldEvents, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(eventSize(e)))
		if e.Delete {
			b = appendVarint(b, fieldType, uint64(mvccpb.DELETE))
		}
		b = appendKV(b, fieldKV, e.KV)
		if e.Prev != nil {
			b = appendKV(b, fieldPrevKV, e.Prev)
		}
	}
	return b
}

func eventSize(e *watch.Event) int {
	size := protowire.SizeTag(fieldKV) + protowire.SizeBytes(mvcc.KeyValueSize(e.KV))
	if e.Delete {
		size += protowire.SizeTag(fieldType) + protowire.SizeVarint(uint64(mvccpb.DELETE))
	}
	if e.Prev != nil {
		size += protowire.SizeTag(fieldPrevKV) + protowire.SizeBytes(mvcc.KeyValueSize(e.Prev))
	}
	return size
}

func appendKV(b []byte, field protowire.Number, kv *mvccpb.KeyValue) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(mvcc.KeyValueSize(kv)))
	return mvcc.AppendKeyValue(b, kv)
}

// appendVarint appends a field, unless it is zero.
func appendVarint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}
