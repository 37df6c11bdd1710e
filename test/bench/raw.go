package main

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// A client of etcd's spends more on an event than the server does. These measurements are of servers, so they use bare
// gRPC: a request is encoded once, and of a response only what is counted is looked at.

// encoded is a request that is ready to be sent.
type encoded []byte

func encode(m proto.Message) encoded {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err) // a message made here
	}
	return b
}

// scanned is a response of which the fields are looked at where they lie.
type scanned struct {
	events int  // of a WatchResponse
	watch  bool // it is one that says created, canceled or both
	end    bool // canceled
	ttl    int64
}

// Field numbers of WatchResponse and LeaseKeepAliveResponse.
const (
	createdField  = 3
	canceledField = 4
	eventsField   = 11
	ttlField      = 3
)

// rawCodec passes bytes through.
type rawCodec struct{ keepAlive bool }

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.(encoded))}, nil
}

func (c rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	s := v.(*scanned)
	*s = scanned{}
	for b := buffer.ReadOnlyData(); len(b) > 0; {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("read a response: %w", protowire.ParseError(n))
		}
		b = b[n:]
		if kind == protowire.VarintType {
			value, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return fmt.Errorf("read a response: %w", protowire.ParseError(n))
			}
			b = b[n:]
			switch {
			case c.keepAlive && field == ttlField:
				s.ttl = int64(value)
			case !c.keepAlive && (field == createdField || field == canceledField):
				s.watch, s.end = true, s.end || field == canceledField
			}
			continue
		}
		if field == eventsField && !c.keepAlive {
			s.events++
		}
		if n = protowire.ConsumeFieldValue(field, kind, b); n < 0 {
			return fmt.Errorf("read a response: %w", protowire.ParseError(n))
		}
		b = b[n:]
	}
	return nil
}

var _ encoding.CodecV2 = rawCodec{}

const (
	watchMethod     = "/etcdserverpb.Watch/Watch"
	keepAliveMethod = "/etcdserverpb.Lease/LeaseKeepAlive"
)

// dial returns a connection for raw streams.
func dial(h *host, addr string) *grpc.ClientConn {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		h.Fatalf("connect to %s: %v", addr, err)
	}
	h.Cleanup(func() { conn.Close() })
	return conn
}

var streamDesc = &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
