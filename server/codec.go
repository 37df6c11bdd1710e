package server

import (
	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	"github.com/quorumkv/quorumkv/storage/apply"
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
	if decode(data, v) {
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

// decode decodes what most requests are without the protobuf library, if it can. What it decodes keeps a copy of data.
func decode(data mem.BufferSlice, v any) (ok bool) {
	switch r := v.(type) {
	case *pb.RangeRequest:
		ok = apply.DecodeRange(data.Materialize(), r)
	case *pb.PutRequest:
		ok = apply.DecodePut(data.Materialize(), r)
	case *pb.TxnRequest:
		ok = apply.DecodeTxn(data.Materialize(), r)
	}
	return ok
}
