// Command echo is the ceiling for benchmarks: etcd's KV service with Put and Range, the same messages, on the server that
// QuorumKV's clients talk to, with nothing behind it: no storage, no raft, no checks. What a real server does not reach of
// its figures is what it does itself; the rest is gRPC's.
//
// It takes a member's command line, so that the harness starts it like one, and heeds --listen-client-urls alone.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"

	"github.com/quorumkv/quorumkv/server"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "echo: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	const flag = "--listen-client-urls=http://"
	addr := ""
	for _, a := range args {
		if rest, found := strings.CutPrefix(a, flag); found {
			addr = rest
		}
	}
	if addr == "" {
		return fmt.Errorf("no %sHOST:PORT among the arguments", flag)
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s := grpc.NewServer(server.GRPCTuning()...)
	pb.RegisterKVServer(s, kv{})
	ctx, restore := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer restore()
	context.AfterFunc(ctx, s.Stop)
	fmt.Println("ready to serve client requests") // what the harness waits for
	return s.Serve(listener)
}

type kv struct{ pb.UnimplementedKVServer }

// valueBytes is the size of the values that it answers with, that of the benchmark's rows with ranges.
const valueBytes = 256

var value = make([]byte, valueBytes)

func header() *pb.ResponseHeader {
	return &pb.ResponseHeader{ClusterId: 1 << 63, MemberId: 1 << 62, Revision: 1_000_000, RaftTerm: 2}
}

func (kv) Put(context.Context, *pb.PutRequest) (*pb.PutResponse, error) {
	return &pb.PutResponse{Header: header()}, nil
}

func (kv) Range(_ context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	kv := &mvccpb.KeyValue{Key: r.Key, CreateRevision: 2, ModRevision: 1_000_000, Version: 100, Value: value}
	return &pb.RangeResponse{Header: header(), Kvs: []*mvccpb.KeyValue{kv}, Count: 1}, nil
}
