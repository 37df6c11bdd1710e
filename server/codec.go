package server

import (
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// countingCodec is gRPC's protobuf codec, with the bytes counted.
type countingCodec struct {
	encoding.CodecV2
	sent, received prometheus.Counter
}

func newCountingCodec(m *metrics) countingCodec {
	return countingCodec{CodecV2: encoding.GetCodecV2(proto.Name), sent: m.sent, received: m.received}
}

func (c countingCodec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(encodedMessage); ok {
		c.sent.Add(float64(mem.BufferSlice(m).Len()))
		return mem.BufferSlice(m), nil
	}
	data, err := c.CodecV2.Marshal(v)
	c.sent.Add(float64(data.Len()))
	return data, err
}

func (c countingCodec) Unmarshal(data mem.BufferSlice, v any) error {
	c.received.Add(float64(data.Len()))
	return c.CodecV2.Unmarshal(data, v)
}
