package main

import (
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

func TestReport(t *testing.T) {
	o, err := parse([]string{"-clients", "7", "-rounds", "3", "-ops", "put"})
	if err != nil {
		t.Fatal(err)
	}
	r := newReport(o)
	for _, ops := range []int{400, 200, 1000} {
		r.add("put", 7, "quorumkv", result{ops: ops, elapsed: time.Second, cpu: time.Second, p50: 1234567, p99: 23456789})
		r.add("put", 7, "etcd", result{ops: ops / 2, elapsed: time.Second, errors: 1, p50: 999, p99: 3 * time.Second})
	}
	r.memory["quorumkv"] = []memory{{watchers: 1000, before: 30 << 20, after: 30<<20 + 500_000}}
	r.memory["etcd"] = []memory{{watchers: 1000, before: 40 << 20, after: 40<<20 + 1_000_000}}
	var out strings.Builder
	r.write(&out)
	for _, want := range []string{
		"| watch-memory | 10000 | quorumkv | 500 | 30 MiB | 30 MiB | 0.50 |\n",
		"| watch-memory | 10000 | etcd | 1000 | 40 MiB | 41 MiB |  |\n",
		"| put | 7 | quorumkv | 400 (200–1000) | 1.235ms | 23.5ms | 2.5ms | 0 | 2.00 |\n",
		"| put | 7 | etcd | 200 (100–500) | 1µs | 3s | 0s | 3 |  |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, args := range []string{"-clients=0", "-clients=1,x", "-ops=get", "-systems=zookeeper", "-rounds=0", "-watchers=0", "-no-such-flag"} {
		if _, err := parse([]string{args}); err == nil {
			t.Errorf("%s is accepted", args)
		}
	}
}

// TestRawCodec reads what is counted out of whole responses.
func TestRawCodec(t *testing.T) {
	kv := &mvccpb.KeyValue{Key: []byte("k"), Value: []byte(strings.Repeat("v", 300))}
	events := []*mvccpb.Event{{Kv: kv}, {Kv: kv, PrevKv: kv}, {Type: mvccpb.Event_DELETE, Kv: kv}}
	header := &pb.ResponseHeader{ClusterId: 1 << 63, MemberId: 7, Revision: 5, RaftTerm: 2}
	tests := []struct {
		codec   rawCodec
		message proto.Message
		want    scanned
	}{
		{rawCodec{}, &pb.WatchResponse{Header: header, WatchId: -1, Events: events}, scanned{events: 3}},
		{rawCodec{}, &pb.WatchResponse{Header: header, WatchId: 3, Created: true}, scanned{watch: true}},
		{rawCodec{}, &pb.WatchResponse{Header: header, Created: true, Canceled: true, CancelReason: "x"}, scanned{watch: true, end: true}},
		{rawCodec{keepAlive: true}, &pb.LeaseKeepAliveResponse{Header: header, ID: 1 << 62, TTL: 60}, scanned{ttl: 60}},
		{rawCodec{keepAlive: true}, &pb.LeaseKeepAliveResponse{Header: header, ID: 1 << 62}, scanned{}},
	}
	for _, tt := range tests {
		got := scanned{events: 9}
		data := encode(tt.message)
		// In two buffers, as a large message comes.
		parts := mem.BufferSlice{mem.SliceBuffer(data[:len(data)/2]), mem.SliceBuffer(data[len(data)/2:])}
		if err := tt.codec.Unmarshal(parts, &got); err != nil || got != tt.want {
			t.Errorf("%v: %+v, %v, want %+v", tt.message, got, err, tt.want)
		}
	}
	if err := (rawCodec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer{0x0a, 0x7f}}, &scanned{}); err == nil {
		t.Error("half a message is accepted")
	}
}

func TestHostCleansUp(t *testing.T) {
	var out strings.Builder
	var order []string
	code := newHost(&out).run(func(h *host) {
		h.Cleanup(func() { order = append(order, "first") })
		h.Cleanup(func() { order = append(order, "second") })
		h.Fatalf("no %s", "luck")
	})
	if code != 1 || strings.Join(order, " ") != "second first" || out.String() != "bench: no luck\n" {
		t.Errorf("exit code %d, cleanups %v, output %q", code, order, out.String())
	}
}
