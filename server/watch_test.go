package server

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/storage/mvcc"
	"github.com/quorumkv/quorumkv/storage/watch"
)

// watcherOf opens a raw stream.
func watcherOf(t *testing.T, e *edge, options ...grpc.DialOption) pb.Watch_WatchClient {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	t.Cleanup(cancel)
	stream, err := pb.NewWatchClient(e.dial(t, options...)).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func create(c *pb.WatchCreateRequest) *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: c}}
}

func cancelWatch(id int64) *pb.WatchRequest {
	return &pb.WatchRequest{RequestUnion: &pb.WatchRequest_CancelRequest{CancelRequest: &pb.WatchCancelRequest{WatchId: id}}}
}

var askProgress = &pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}

// told is a response without what is the same in all of them.
func told(m *pb.WatchResponse) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "watch %d at %d", m.WatchId, m.Header.Revision)
	if m.Created {
		b.WriteString(" created")
	}
	if m.Canceled {
		fmt.Fprintf(&b, " canceled (%d, %q)", m.CompactRevision, m.CancelReason)
	}
	if m.Fragment {
		b.WriteString(" fragment")
	}
	for _, e := range m.Events {
		fmt.Fprintf(&b, "; %s %s=%s@%d", e.Type, e.Kv.Key, e.Kv.Value, e.Kv.ModRevision)
		if e.PrevKv != nil {
			fmt.Fprintf(&b, " was %s@%d", e.PrevKv.Value, e.PrevKv.ModRevision)
		}
	}
	return b.String()
}

func expect(t *testing.T, stream pb.Watch_WatchClient, want ...string) {
	t.Helper()
	for _, w := range want {
		m, err := stream.Recv()
		if err != nil {
			t.Fatalf("want %s: %v", w, err)
		}
		if got := told(m); got != w {
			t.Fatalf("got  %s\nwant %s", got, w)
		}
		if m.Header.ClusterId != testCluster || m.Header.MemberId != testMember || m.Header.RaftTerm != testTerm {
			t.Fatalf("header %v", m.Header)
		}
	}
}

func request(t *testing.T, stream pb.Watch_WatchClient, requests ...*pb.WatchRequest) {
	t.Helper()
	for _, r := range requests {
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWatchReplies goes through what a client can ask of a stream; the texts are those of an etcd 3.7.
func TestWatchReplies(t *testing.T) {
	n := newSoloNode(t)
	e := serve(t, n, testConfig())
	c, ctx := e.client(t), testContext(t)
	put := func(key, value string) {
		t.Helper()
		if _, err := c.Put(ctx, key, value); err != nil {
			t.Fatal(err)
		}
	}
	put("a", "1") // 2
	put("a", "2") // 3
	put("b", "3") // 4
	stream := watcherOf(t, e)
	request(t, stream, &pb.WatchRequest{}, askProgress) // ignored both
	request(t, stream, create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: -1, RangeEnd: []byte("a")}))
	expect(t, stream, `watch -1 at 4 created canceled (0, "etcdserver: mvcc: required revision has been compacted")`)
	request(t, stream, create(&pb.WatchCreateRequest{Key: []byte("b"), RangeEnd: []byte("a")}))
	expect(t, stream, `watch -1 at 4 created canceled (0, "mvcc: watcher range is empty")`)
	request(t, stream, create(&pb.WatchCreateRequest{Key: []byte("a"), RangeEnd: []byte{0}, StartRevision: 2, PrevKv: true, WatchId: 1}))
	expect(t, stream, "watch 1 at 4 created",
		"watch 1 at 4; PUT a=1@2; PUT a=2@3 was 1@2; PUT b=3@4")
	request(t, stream, create(&pb.WatchCreateRequest{Key: []byte("x"), WatchId: 1}))
	expect(t, stream, `watch -1 at 4 created canceled (0, "mvcc: duplicate watch ID provided on the WatchStream")`)
	request(t, stream, askProgress)
	expect(t, stream, "watch -1 at 4")
	request(t, stream, create(&pb.WatchCreateRequest{Key: []byte("c"), Filters: []pb.WatchCreateRequest_FilterType{pb.WatchCreateRequest_NOPUT}}))
	expect(t, stream, "watch 0 at 4 created")
	request(t, stream, cancelWatch(7), cancelWatch(1)) // there is no 7, and no answer
	expect(t, stream, `watch 1 at 4 canceled (0, "")`)
	put("c", "4")
	if _, err := c.Delete(ctx, "c"); err != nil {
		t.Fatal(err)
	}
	expect(t, stream, "watch 0 at 6; DELETE c=@6")
	if _, err := c.Compact(ctx, 4); err != nil {
		t.Fatal(err)
	}
	request(t, stream, create(&pb.WatchCreateRequest{Key: []byte("a"), StartRevision: 3}))
	expect(t, stream, "watch 1 at 6 created", `watch 1 at 6 canceled (4, "etcdserver: mvcc: required revision has been compacted")`)
	request(t, stream, create(&pb.WatchCreateRequest{Key: []byte("b"), StartRevision: 4, PrevKv: true}))
	expect(t, stream, "watch 2 at 6 created", "watch 2 at 6; PUT b=3@4")
	// Half a stream goes on.
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	put("b", "5")
	expect(t, stream, "watch 2 at 7; PUT b=5@7 was 3@4")
}

// TestWatchClient follows a store through etcd's own client, with history in the file and in memory.
func TestWatchClient(t *testing.T) {
	n := newSoloNode(t)
	e := serve(t, n, testConfig())
	c, ctx := e.client(t), testContext(t)
	const events = 300
	value := string(make([]byte, 5000))
	for i := range events {
		if i == events/2 {
			n.flush(t)
		}
		if _, err := c.Put(ctx, fmt.Sprintf("k%d", i), value); err != nil {
			t.Fatal(err)
		}
	}
	next := int64(2)
	for r := range c.Watch(ctx, "k", clientv3.WithPrefix(), clientv3.WithRev(2), clientv3.WithProgressNotify()) {
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
		for _, ev := range r.Events {
			if ev.Kv.ModRevision != next || ev.Type != mvccpb.PUT {
				t.Fatalf("event %v, want revision %d", ev, next)
			}
			next++
		}
		if next == events+2 {
			return
		}
	}
	t.Fatalf("the watch ended at revision %d", next)
}

// TestWatchUnread opens watchers whose client reads nothing. Others do not notice, and what waits for it is bounded.
func TestWatchUnread(t *testing.T) {
	n := newSoloNode(t)
	e := serve(t, n, testConfig())
	c, ctx := e.client(t), testContext(t)
	// Windows of a size of their own do not grow with what the client takes off the network without reading it.
	stream := watcherOf(t, e, grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(64<<10))
	go func() { // ends with the stream
		for range 100 * repliesAtMost {
			if stream.Send(create(&pb.WatchCreateRequest{Key: []byte("k")})) != nil {
				return
			}
		}
	}()
	for range 50 {
		if _, err := c.Put(ctx, "k", string(make([]byte, 100<<10))); err != nil {
			t.Fatal(err)
		}
	}
	n.mu.Lock()
	watchers := n.watches.Watchers()
	n.mu.Unlock()
	// Besides those that wait: what gRPC buffers of some 18 bytes each, 64 KiB at each end.
	if watchers > 20*repliesAtMost {
		t.Errorf("%d watchers were taken from a client that reads no replies", watchers)
	}
}

func TestFragments(t *testing.T) {
	m := &pb.WatchResponse{Header: &pb.ResponseHeader{Revision: 5}, WatchId: 3}
	for i := range 20 {
		m.Events = append(m.Events, &mvccpb.Event{Kv: &mvccpb.KeyValue{Key: fmt.Append(nil, i), Value: make([]byte, 90+i%3)}})
	}
	for _, limit := range []int{1, 150, 500, proto.Size(m), proto.Size(m) + 1} {
		var events []*mvccpb.Event
		last := false
		err := sendFragments(m, limit, func(p *pb.WatchResponse) error {
			if last || p.WatchId != 3 || p.Header.Revision != 5 {
				t.Errorf("limit %d: piece %v", limit, p)
			}
			if len(p.Events) > 1 && proto.Size(p) >= limit {
				t.Errorf("limit %d: a piece of %d bytes with %d events", limit, proto.Size(p), len(p.Events))
			}
			last = !p.Fragment
			events = append(events, p.Events...)
			return nil
		})
		if err != nil || !last || len(events) != len(m.Events) {
			t.Errorf("limit %d: %d events, complete %t, %v", limit, len(events), last, err)
		}
		for i := range events {
			if events[i] != m.Events[i] {
				t.Errorf("limit %d: event %d is another", limit, i)
			}
		}
	}
}

// TestEncodedResponse compares what is encoded here with what the protobuf library makes of the same response.
func TestEncodedResponse(t *testing.T) {
	kv := func(i int) *mvccpb.KeyValue {
		return &mvccpb.KeyValue{Key: fmt.Append(nil, "key", i), Value: make([]byte, i*100), ModRevision: int64(i + 2), CreateRevision: 2, Version: 1}
	}
	for _, id := range []int64{0, 1, -1, 1 << 40} {
		for _, h := range []*pb.ResponseHeader{{}, {ClusterId: math.MaxUint64, MemberId: math.MaxUint64, Revision: math.MaxInt64, RaftTerm: math.MaxUint64}} {
			r, encoder := &watch.Response{ID: id}, newResponseEncoder(h, 1) // more than it was told of
			for i := range 4 {
				e := watch.Event{Event: mvcc.Event{KV: kv(i), Delete: i == 2}}
				if i%2 == 1 {
					e.Prev = kv(10 * i)
				}
				r.Events = append(r.Events, e)
				for range 2 { // the second time from memory
					want, err := proto.Marshal(watchResponse(h, r))
					if err != nil {
						t.Fatal(err)
					}
					if got := mem.BufferSlice(encoder.response(id, r.Events)).Materialize(); !bytes.Equal(got, want) {
						t.Errorf("watch %d, header %v, %d events:\ngot  %x\nwant %x", id, h, len(r.Events), got, want)
					}
				}
			}
		}
	}
}

// TestEncodedReply does the same for the answers to requests.
func TestEncodedReply(t *testing.T) {
	h := &pb.ResponseHeader{ClusterId: math.MaxUint64, MemberId: 1, Revision: 7, RaftTerm: 2}
	for _, r := range []watch.Reply{
		{ID: 1, Created: true}, {ID: 1 << 40, Canceled: true},
		{ID: watch.NoWatcher, Created: true, Canceled: true, Err: watch.ErrDuplicateID},
	} {
		reason := refusal(r.Err)
		want, err := proto.Marshal(&pb.WatchResponse{
			Header: h, WatchId: r.ID, Created: r.Created, Canceled: r.Canceled, CancelReason: reason,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := mem.BufferSlice(encodeReply(h, r, reason)).Materialize(); !bytes.Equal(got, want) {
			t.Errorf("%+v:\ngot  %x\nwant %x", r, got, want)
		}
	}
}
