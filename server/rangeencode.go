package server

import (
	"context"
	"encoding/binary"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/quorumkv/quorumkv/internal/buffers"
	"github.com/quorumkv/quorumkv/storage/apply"
)

// Most ranges want pairs as they are stored. They are read into the buffers that gRPC sends, which go back to the pool piece by
// piece: a large answer is in memory once, without a message and a pair's struct for each key, and only what of it is not on the
// wire yet.

// Fields of RangeResponse.
const (
	fieldKvs   = protowire.Number(2)
	fieldMore  = protowire.Number(3)
	fieldCount = protowire.Number(4)
)

// Sizes of the buffers: the first one takes a small answer. A pair that is larger has one of its own size.
const (
	firstRangeBuffer = 4 << 10
	rangeBuffer      = 32 << 10
)

// rangeEncoder makes a RangeResponse. It is closed with finish or free.
type rangeEncoder struct {
	full mem.BufferSlice
	last *[]byte // what is being filled
}

// append gives f, which appends to its argument, room for that many bytes in one piece.
func (c *rangeEncoder) append(bytes int, f func(b []byte) []byte) {
	if c.last == nil || cap(*c.last)-len(*c.last) < bytes {
		c.grow(bytes)
	}
	*c.last = f(*c.last)
}

// grow goes on in another buffer.
func (c *rangeEncoder) grow(bytes int) {
	size := max(rangeBuffer, bytes)
	if c.last == nil && bytes <= firstRangeBuffer {
		size = firstRangeBuffer
	}
	c.put()
	c.last = buffers.Pool.Get(size)
	*c.last = (*c.last)[:0]
}

// put hands the last buffer over.
func (c *rangeEncoder) put() {
	if c.last != nil {
		c.full = append(c.full, mem.NewBuffer(c.last, buffers.Pool))
		c.last = nil
	}
}

// pair returns the room for an encoded pair of that size.
func (c *rangeEncoder) pair(size int) (room []byte) {
	c.append(protowire.SizeTag(fieldKvs)+protowire.SizeBytes(size), func(b []byte) []byte {
		b = protowire.AppendTag(b, fieldKvs, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(size))
		room = b[len(b) : len(b)+size : len(b)+size]
		return b[:len(b)+size]
	})
	return room
}

// header comes first.
func (c *rangeEncoder) header(h *pb.ResponseHeader) {
	header := encodeHeader(h)
	c.append(len(header), func(b []byte) []byte { return append(b, header...) })
}

// finish adds what follows the pairs.
func (c *rangeEncoder) finish(more bool, count int64) encodedMessage {
	const most = 2 + 1 + binary.MaxVarintLen64
	c.append(most, func(b []byte) []byte {
		b = appendVarint(b, fieldMore, protowire.EncodeBool(more))
		return appendVarint(b, fieldCount, uint64(count))
	})
	c.put()
	return encodedMessage(c.full)
}

// free gives all buffers back.
func (c *rangeEncoder) free() {
	c.put()
	c.full.Free()
}

// encodedRange is Range for requests whose answer can be sent as it is read.
func (k *kvServer) encodedRange(ctx context.Context, r *pb.RangeRequest) (any, error) {
	if err := checkRange(r); err != nil {
		return nil, err
	}
	resp, err := readView(ctx, k.api, r.Serializable, &k.metrics.rangeRequest,
		func(v *apply.View) (encodedMessage, error) {
			var c rangeEncoder
			c.header(k.header.fill(&pb.ResponseHeader{Revision: v.KV.Revision()}))
			more, count, err := apply.RangeEncoded(v.KV, r, c.pair)
			if err != nil {
				c.free()
				return nil, err
			}
			return c.finish(more, count), nil
		})
	if err != nil {
		return nil, toStatus(err)
	}
	return resp, nil
}

// kvService is etcd's service, with ranges that may be answered by bytes in place of a message.
func kvService() *grpc.ServiceDesc {
	d := pb.KV_ServiceDesc
	d.Methods = slices.Clone(d.Methods)
	for i := range d.Methods {
		if d.Methods[i].MethodName == "Range" {
			d.Methods[i].Handler = handleRange
		}
	}
	return &d
}

// handleRange is the method's handler, in gRPC's form.
func handleRange(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
	r := new(pb.RangeRequest)
	if err := decode(r); err != nil {
		return nil, err
	}
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: pb.KV_Range_FullMethodName}
	return interceptor(ctx, r, info, func(ctx context.Context, _ any) (any, error) {
		k := srv.(*kvServer)
		if apply.IsPlain(r) {
			return k.encodedRange(ctx, r)
		}
		return k.Range(ctx, r)
	})
}
