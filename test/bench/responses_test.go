package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// TestResponses reads what is counted out of whole responses.
func TestResponses(t *testing.T) {
	kv := &mvccpb.KeyValue{Key: []byte("k"), Value: []byte(strings.Repeat("v", 300)), ModRevision: 9, Lease: 1 << 62}
	events := []*mvccpb.Event{{Kv: kv}, {Kv: kv, PrevKv: &mvccpb.KeyValue{Value: []byte("old")}}, {Type: mvccpb.Event_DELETE, Kv: kv}}
	header := &pb.ResponseHeader{ClusterId: 1 << 63, MemberId: 7, Revision: 5, RaftTerm: 2}
	found := &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: &pb.RangeResponse{Header: header, Kvs: []*mvccpb.KeyValue{kv}}}}
	put := &pb.ResponseOp{Response: &pb.ResponseOp_ResponsePut{ResponsePut: &pb.PutResponse{Header: header}}}
	tests := []struct {
		message proto.Message
		into    response
		want    response
	}{
		{&pb.WatchResponse{Header: header, WatchId: -1, Events: events}, &watched{events: 7, end: true}, &watched{events: 3}},
		{&pb.WatchResponse{Header: header, WatchId: 3, Created: true}, &watched{}, &watched{watch: true}},
		{&pb.WatchResponse{Header: header, Created: true, Canceled: true, CancelReason: "x"}, &watched{}, &watched{watch: true, end: true}},
		{&pb.LeaseKeepAliveResponse{Header: header, ID: 1 << 62, TTL: 60}, &keptAlive{}, &keptAlive{ttl: 60}},
		{&pb.LeaseKeepAliveResponse{Header: header, ID: 1 << 62}, &keptAlive{ttl: 9}, &keptAlive{}},
		{&pb.RangeResponse{Header: header, Kvs: []*mvccpb.KeyValue{kv, kv}, Count: 2}, &ranged{keys: 9}, &ranged{keys: 2, revision: 5}},
		{&pb.RangeResponse{}, &ranged{keys: 9, revision: 9}, &ranged{}},
		{&pb.TxnResponse{Header: header, Succeeded: true, Responses: []*pb.ResponseOp{put}}, &swapped{found: 8},
			&swapped{succeeded: true, revision: 5}},
		{&pb.TxnResponse{Header: header, Responses: []*pb.ResponseOp{found}}, &swapped{succeeded: true}, &swapped{revision: 5, found: 9}},
		{&pb.PutResponse{Header: header}, done{}, done{}},
	}
	for _, tt := range tests {
		data := encode(tt.message)
		err := tt.into.Scan(data)
		if r, ok := tt.want.(*ranged); ok {
			r.bytes = len(data)
		}
		if err != nil || !equal(tt.into, tt.want) {
			t.Errorf("%v: %+v, %v, want %+v", tt.message, tt.into, err, tt.want)
		}
	}
	for _, broken := range [][]byte{{0x0a, 0x7f}, {0x80}, {0x10, 0x80}} {
		if err := (&ranged{}).Scan(broken); err == nil {
			t.Errorf("%x is accepted", broken)
		}
	}
}

func equal(a, b response) bool {
	if w, ok := a.(*watched); ok { // it holds a function
		v := b.(*watched)
		return w.events == v.events && w.watch == v.watch && w.end == v.end
	}
	switch a := a.(type) {
	case *ranged:
		return *a == *b.(*ranged)
	case *swapped:
		return *a == *b.(*swapped)
	case *keptAlive:
		return *a == *b.(*keptAlive)
	default:
		return a == b
	}
}

// TestWatchedValues reads the values of events.
func TestWatchedValues(t *testing.T) {
	var got [][]byte
	r := watched{value: func(v []byte) { got = append(got, bytes.Clone(v)) }}
	event := func(value string) *mvccpb.Event {
		return &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte("k"), Value: []byte(value), Version: 3}}
	}
	message := encode(&pb.WatchResponse{Events: []*mvccpb.Event{event("one"), event("two")}})
	for range 2 { // it keeps the function
		if err := r.Scan(message); err != nil {
			t.Fatal(err)
		}
	}
	want := [][]byte{[]byte("one"), []byte("two"), []byte("one"), []byte("two")}
	if !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("values %q, want %q", got, want)
	}
}
