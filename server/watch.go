package server

import (
	"context"
	"errors"
	"io"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/storage/watch"
)

const (
	// historySlice is how much history is read for a stream at a time, in bytes: also about what is held in memory for a
	// client that does not read.
	historySlice = 512 << 10
	// historyReaders is how many streams may read old history from the file at once.
	historyReaders = 2
	// repliesAtMost is how many requests of a stream are taken before the replies to earlier ones have been sent.
	repliesAtMost = 512
)

// watchServer is etcdserverpb.Watch. Which watcher gets what is decided on the loop (package watch); here requests go
// there, and the history that it allots to a stream is read, put into etcd's form and sent.
type watchServer struct {
	*api
	pb.UnsafeWatchServer
	// readers is a token for each stream that may read the file at the same time.
	readers chan struct{}
}

func newWatchServer(a *api) *watchServer {
	return &watchServer{api: a, readers: make(chan struct{}, historyReaders)}
}

// Watch serves one stream with two goroutines: this one sends, the other receives. The other one ends with the stream,
// which is when this one has returned: nothing else wakes it.
func (w *watchServer) Watch(stream grpc.BidiStreamingServer[pb.WatchRequest, pb.WatchResponse]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	feed, err := w.node.Watch(ctx)
	if err != nil {
		return toStatus(err)
	}
	defer feed.close()
	s := &watchStream{watchServer: w, feed: feed, stream: stream, sent: make(chan struct{}, 1)}
	received := make(chan error, 1) // the end of receive, sent once
	go func() { received <- s.receive(ctx) }()
	for {
		select {
		case work := <-feed.work:
			if err := s.carryOut(ctx, work); err != nil {
				return toStatus(err)
			}
		case err := <-received:
			if !errors.Is(err, io.EOF) {
				return toStatus(err)
			}
			received = nil // the client has nothing more to say, and goes on listening
		case <-ctx.Done():
			return toStatus(ctx.Err())
		case <-feed.stopped:
			return toStatus(raftnode.ErrStopped)
		}
	}
}

// watchStream is one call of Watch.
type watchStream struct {
	*watchServer
	feed   *watchFeed
	stream grpc.BidiStreamingServer[pb.WatchRequest, pb.WatchResponse]
	// sent tells receive, which waits if too many replies do, that some have gone. carryOut never waits for it.
	sent chan struct{}
}

// receive passes the client's requests on until it breaks off.
func (s *watchStream) receive(ctx context.Context) error {
	for {
		r, err := s.stream.Recv()
		if err != nil {
			return err
		}
		op := s.operation(r)
		if op == nil {
			continue
		}
		waiting, err := s.feed.do(ctx, op)
		for err == nil && waiting > repliesAtMost {
			select {
			case <-s.sent:
			case <-ctx.Done():
			}
			waiting, err = s.feed.do(ctx, func(*watch.Stream) {})
		}
		if err != nil {
			return err
		}
	}
}

// operation is what a request asks for; nil for one that this version does not know.
func (s *watchStream) operation(r *pb.WatchRequest) func(*watch.Stream) {
	switch r := r.RequestUnion.(type) {
	case *pb.WatchRequest_CreateRequest:
		if c := r.CreateRequest; c != nil {
			spec := watchSpec(c)
			return func(w *watch.Stream) { w.Create(c.WatchId, spec) }
		}
	case *pb.WatchRequest_CancelRequest:
		if c := r.CancelRequest; c != nil {
			return func(w *watch.Stream) { w.Cancel(c.WatchId) }
		}
	case *pb.WatchRequest_ProgressRequest:
		return func(w *watch.Stream) { w.AskProgress() }
	}
	return nil
}

func watchSpec(c *pb.WatchCreateRequest) watch.Spec {
	spec := watch.Spec{Key: string(c.Key), End: string(c.RangeEnd), Start: c.StartRevision}
	if spec.Key == "" {
		spec.Key = "\x00"
	}
	set := func(o watch.Options, wanted bool) {
		if wanted {
			spec.Options |= o
		}
	}
	set(watch.PrevKV, c.PrevKv)
	set(watch.Notify, c.ProgressNotify)
	set(watch.Fragment, c.Fragment)
	set(watch.NoPut, slices.Contains(c.Filters, pb.WatchCreateRequest_NOPUT))
	set(watch.NoDelete, slices.Contains(c.Filters, pb.WatchCreateRequest_NODELETE))
	return spec
}

// carryOut sends what the loop wants to be sent, in its order, and asks for more.
func (s *watchStream) carryOut(ctx context.Context, work *watch.Work) error {
	responses, err := s.collect(ctx, work) // first: to send may take for ever
	if err != nil {
		return err
	}
	for _, r := range work.Replies {
		if err := s.stream.SendMsg(s.reply(r)); err != nil {
			return err
		}
	}
	if len(work.Replies) > 0 {
		select {
		case s.sent <- struct{}{}:
		default:
		}
	}
	if len(responses) > 0 {
		if err := s.send(responses); err != nil {
			return err
		}
	}
	s.feed.report(work)
	return nil
}

// collect reads the history. Who needs the file waits for a turn: catching up must not keep the member from its work.
func (s *watchStream) collect(ctx context.Context, work *watch.Work) ([]watch.Response, error) {
	if work.NeedsFile() {
		select {
		case s.readers <- struct{}{}:
			defer func() { <-s.readers }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	responses, err := watch.Collect(work, historySlice)
	if errors.Is(err, backend.ErrDamaged) {
		s.logger.Error("watch ended by damage", "error", err)
	}
	return responses, s.reportDamage(err)
}

// reply answers the creation or the end of a watcher.
func (s *watchStream) reply(r watch.Reply) encodedMessage {
	header := s.header.identify(&pb.ResponseHeader{Revision: r.Revision})
	return encodeReply(header, r, refusal(r.Err))
}

// refusal is etcd's text for a watcher that is not created.
func refusal(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, watch.ErrEmptyRange):
		return "mvcc: watcher range is empty"
	case errors.Is(err, watch.ErrDuplicateID):
		return "mvcc: duplicate watch ID provided on the WatchStream"
	case errors.Is(err, watch.ErrNegativeRevision):
		return compactedReason
	}
	return errorText(err)
}

var compactedReason = rpctypes.ErrorDesc(rpctypes.ErrGRPCCompacted)

// send sends what was collected, at one revision.
func (s *watchStream) send(responses []watch.Response) error {
	header := s.header.identify(&pb.ResponseHeader{Revision: responses[0].Revision})
	encoder := newResponseEncoder(header, len(responses))
	for i := range responses {
		if err := s.sendOne(&responses[i], header, encoder); err != nil {
			return err
		}
	}
	return nil
}

// sendOne sends the events of one watcher, or its end, or a notice of progress.
func (s *watchStream) sendOne(r *watch.Response, header *pb.ResponseHeader, encoder *responseEncoder) error {
	if r.Compacted > 0 {
		return s.stream.Send(&pb.WatchResponse{
			Header: header, WatchId: r.ID, Canceled: true, CompactRevision: r.Compacted, CancelReason: compactedReason,
		})
	}
	if len(r.Events) == 0 {
		return s.stream.Send(&pb.WatchResponse{Header: header, WatchId: r.ID})
	}
	s.metrics.watchEvents.Add(float64(len(r.Events)))
	m := encoder.response(r.ID, r.Events)
	if limit := s.limits.RequestBytes + messageOverheadBytes; r.Fragment && mem.BufferSlice(m).Len() >= limit {
		return sendFragments(watchResponse(header, r), limit, s.stream.Send)
	}
	return s.stream.SendMsg(m)
}

func watchResponse(header *pb.ResponseHeader, r *watch.Response) *pb.WatchResponse {
	m := &pb.WatchResponse{Header: header, WatchId: r.ID, Events: make([]*mvccpb.Event, len(r.Events))}
	for i, e := range r.Events {
		m.Events[i] = &mvccpb.Event{Kv: e.KV, PrevKv: e.Prev}
		if e.Delete {
			m.Events[i].Type = mvccpb.DELETE
		}
	}
	return m
}
