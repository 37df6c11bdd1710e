package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// etcd's client costs about as much as a server does. These measurements are of servers, with the clients on the same
// cores, so they use bare gRPC: requests are encoded beforehand, and of a response only what is counted is looked at.

// encoded is a request that is ready to be sent. It is not changed any more: gRPC reads it after the call has returned.
type encoded []byte

func encode(m proto.Message) encoded {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err) // a message made here
	}
	return b
}

// response is what a response is scanned into. The bytes are valid until scan returns.
type response interface{ scan([]byte) error }

// rawCodec passes requests through and hands responses to their scanners.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.(encoded))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	buffer := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buffer.Free()
	if err := v.(response).scan(buffer.ReadOnlyData()); err != nil {
		return fmt.Errorf("read a response: %w", err)
	}
	return nil
}

var _ encoding.CodecV2 = rawCodec{}

const (
	putMethod       = "/etcdserverpb.KV/Put"
	rangeMethod     = "/etcdserverpb.KV/Range"
	txnMethod       = "/etcdserverpb.KV/Txn"
	watchMethod     = "/etcdserverpb.Watch/Watch"
	keepAliveMethod = "/etcdserverpb.Lease/LeaseKeepAlive"
)

// dial returns a connection for encoded requests. It is closed when h ends, or earlier.
func dial(h *host, addr string) *grpc.ClientConn {
	conn, err := grpc.NewClient(addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(math.MaxInt32)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 10 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: 100 * time.Millisecond,
			},
			MinConnectTimeout: time.Second,
		}))
	if err != nil {
		h.Fatalf("connect to %s: %v", addr, err)
	}
	h.Cleanup(func() { conn.Close() })
	return conn
}

// open starts a stream of both directions.
func open(ctx context.Context, conn *grpc.ClientConn, method string) (grpc.ClientStream, error) {
	return conn.NewStream(ctx, streamDesc, method)
}

var streamDesc = &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
