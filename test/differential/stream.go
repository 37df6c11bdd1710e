package differential

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

// stream is one Watch stream to one node and all that came on it. What has to hold for every stream of every server is
// checked as it arrives, in received; what depends on the history is left to play.
type stream struct {
	node   int
	client pb.Watch_WatchClient
	cancel context.CancelFunc
	etcd   bool                                        // the node is one
	lie    func(*pb.WatchResponse) []*pb.WatchResponse // of a planted error; nil: the truth

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced whenever something arrived
	asked    []*watcher    // created, not yet answered; the answers come in this order
	watchers map[int64]*watcher
	all      []*watcher          // those of watchers and those that ended
	controls []*pb.WatchResponse // created and canceled, in the order of arrival
	progress []progress
	arrivals map[int64]time.Time // of revisions
	manual   int                 // progress answers that name no watcher
	pieces   int                 // responses that were fragments
	faults   []string
}

// watcher is one watch and what it got.
type watcher struct {
	request   *pb.WatchCreateRequest
	compacted int64 // compaction revision when it was created

	id      int64
	first   int64 // revision
	events  []*mvccpb.Event
	partial bool // the last response was a fragment with more to come
	size    int  // of the last response
	initial int  // events of the first response, until they are compared
	ended   bool

	want []*mvccpb.Event // so far
	seen int             // events of the history that were looked at for want
}

// progress is an answer that says: all up to here was sent.
type progress struct {
	revision int64
	had      map[*watcher]int // events at that time
}

// messageSize is from where on a response is cut in fragments.
const messageSize = requestLimit + 512<<10

func openStream(e endpoint, node int) (*stream, error) {
	ctx, cancel := context.WithCancel(context.Background())
	client, err := e.watch.Watch(ctx)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open a stream to node %d: %w", node, err)
	}
	return &stream{node: node, client: client, cancel: cancel, changed: make(chan struct{}), watchers: map[int64]*watcher{},
		arrivals: map[int64]time.Time{}}, nil
}

// at is when a revision arrived.
func (s *stream) at(revision int64) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arrivals[revision]
}

// receive runs until the stream ends.
func (s *stream) receive() {
	for {
		response, err := s.client.Recv()
		s.mu.Lock()
		if err != nil {
			if s.client.Context().Err() == nil {
				s.fault("the stream ended: %v", err)
			}
			s.wake()
			s.mu.Unlock()
			return
		}
		responses := []*pb.WatchResponse{response}
		if s.lie != nil {
			responses = s.lie(response)
		}
		for _, r := range responses {
			s.received(r)
		}
		s.wake()
		s.mu.Unlock()
	}
}

func (s *stream) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stream) fault(format string, args ...any) {
	if len(s.faults) < 10 {
		s.faults = append(s.faults, fmt.Sprintf(format, args...))
	}
}

// received takes note of a response. mu is held.
func (s *stream) received(r *pb.WatchResponse) {
	switch {
	case r.Created:
		s.created(r)
	case r.Canceled:
		s.controls = append(s.controls, r)
		if w := s.watchers[r.WatchId]; w != nil {
			w.ended = true
			delete(s.watchers, r.WatchId)
		}
	case len(r.Events) == 0:
		s.progressed(r)
	default:
		s.notified(r)
	}
	if r.Fragment && (r.Created || r.Canceled || len(r.Events) == 0) {
		s.fault("a response without events is a fragment: %v", r)
	}
}

func (s *stream) created(r *pb.WatchResponse) {
	s.controls = append(s.controls, r)
	if len(s.asked) == 0 {
		s.fault("nobody asked for %v", r)
		return
	}
	w := s.asked[0]
	s.asked = s.asked[1:]
	if r.Canceled {
		return
	}
	w.id, w.first = r.WatchId, w.request.StartRevision
	if w.first == 0 {
		w.first = r.Header.GetRevision() + 1
	}
	s.watchers[r.WatchId] = w
	s.all = append(s.all, w)
}

// progressed: what is behind the revision has to have been sent.
func (s *stream) progressed(r *pb.WatchResponse) {
	p := progress{revision: r.Header.GetRevision(), had: map[*watcher]int{}}
	if r.WatchId == -1 {
		s.manual++
		if len(s.watchers) == 0 {
			s.fault("progress on a stream that watches nothing: %v", r)
		}
		for _, w := range s.watchers {
			p.had[w] = len(w.events)
		}
	} else if w := s.watchers[r.WatchId]; w == nil {
		s.fault("progress of watch %d, which is not there: %v", r.WatchId, r)
	} else if !w.request.ProgressNotify {
		s.fault("watch %d has not asked for progress: %v", r.WatchId, r)
	} else {
		p.had[w] = len(w.events)
	}
	for w := range p.had {
		if start := w.request.StartRevision; p.revision < start-1 || s.etcd && p.revision < start { // decision "next"
			s.fault("progress up to %d of watch %d, which starts at %d", p.revision, w.id, w.request.StartRevision)
		}
		if w.partial {
			s.fault("progress up to %d between the fragments of watch %d", p.revision, w.id)
		}
	}
	s.progress = append(s.progress, p)
}

// notified: revisions only rise, and one is never cut in two but between fragments.
func (s *stream) notified(r *pb.WatchResponse) {
	w := s.watchers[r.WatchId]
	if w == nil {
		s.fault("events for watch %d, which is not there", r.WatchId)
		return
	}
	last := int64(0)
	if n := len(w.events); n > 0 {
		last = w.events[n-1].Kv.ModRevision
		if !w.partial {
			last++ // the next revision at least
		}
	}
	for _, e := range r.Events {
		if _, again := s.arrivals[e.Kv.ModRevision]; !again {
			s.arrivals[e.Kv.ModRevision] = time.Now()
		}
		if e.Kv.ModRevision < last {
			s.fault("watch %d gets revision %d after %d, or that one in two responses", r.WatchId, e.Kv.ModRevision, last-1)
		}
		last = e.Kv.ModRevision
	}
	if r.Header.GetRevision() < last {
		s.fault("watch %d gets revision %d in a response of revision %d", r.WatchId, last, r.Header.GetRevision())
	}
	if r.CompactRevision != 0 || r.CancelReason != "" {
		s.fault("events of watch %d with the fields of an end: %v", r.WatchId, r)
	}
	size := proto.Size(r)
	buffered := s.etcd && len(w.events) == 0 // what etcd had before it sent "created" goes out in one piece
	switch {
	case r.Fragment && !w.request.Fragment:
		s.fault("watch %d gets a fragment it has not asked for", r.WatchId)
	case w.request.Fragment && len(r.Events) > 1 && size >= messageSize && !buffered:
		s.fault("watch %d gets %d events in %d bytes, unfragmented", r.WatchId, len(r.Events), size)
	case w.partial && w.size+proto.Size(r.Events[0]) < messageSize/2:
		s.fault("watch %d gets a fragment of %d bytes, the next event has %d", r.WatchId, w.size, proto.Size(r.Events[0]))
	}
	if r.Fragment {
		s.pieces++
	}
	if len(w.events) == 0 {
		w.initial = len(r.Events)
	}
	w.events = append(w.events, r.Events...)
	w.partial, w.size = r.Fragment, size
}

// await blocks until done, which is called with mu held, or until the time has passed.
func (s *stream) await(timeout time.Duration, done func() bool) bool {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		s.mu.Lock()
		ok, broken, changed := done(), len(s.faults) > 0, s.changed
		s.mu.Unlock()
		if ok || broken {
			return ok
		}
		select {
		case <-changed:
		case <-timer.C:
			return false
		}
	}
}

// create sends a request; the answer makes the watcher.
func (s *stream) create(r *pb.WatchCreateRequest, compacted int64) error {
	s.mu.Lock()
	s.asked = append(s.asked, &watcher{request: r, compacted: compacted})
	s.mu.Unlock()
	return s.send(r)
}

func (s *stream) send(message proto.Message) error {
	request := &pb.WatchRequest{}
	switch m := message.(type) {
	case *pb.WatchCreateRequest:
		request.RequestUnion = &pb.WatchRequest_CreateRequest{CreateRequest: m}
	case *pb.WatchCancelRequest:
		request.RequestUnion = &pb.WatchRequest_CancelRequest{CancelRequest: m}
	case *pb.WatchProgressRequest:
		request.RequestUnion = &pb.WatchRequest_ProgressRequest{ProgressRequest: m}
	}
	return s.client.Send(request)
}

// expect works out what of the history a watcher has to get.
func (w *watcher) expect(history []*mvccpb.Event) {
	for ; w.seen < len(history); w.seen++ {
		e := history[w.seen]
		if e.Kv.ModRevision < w.first || !w.covers(e) {
			continue
		}
		if e.PrevKv != nil && (!w.request.PrevKv || e.Kv.ModRevision-1 < w.compacted) {
			e = &mvccpb.Event{Type: e.Type, Kv: e.Kv}
		}
		w.want = append(w.want, e)
	}
}

func (w *watcher) covers(e *mvccpb.Event) bool {
	if e.Type == mvccpb.Event_PUT && slices.Contains(w.request.Filters, pb.WatchCreateRequest_NOPUT) ||
		e.Type == mvccpb.Event_DELETE && slices.Contains(w.request.Filters, pb.WatchCreateRequest_NODELETE) {
		return false
	}
	key := w.request.Key
	if len(key) == 0 {
		key = []byte{0}
	}
	switch end := w.request.RangeEnd; {
	case len(end) == 0:
		return bytes.Equal(e.Kv.Key, key)
	case string(end) == "\x00":
		return bytes.Compare(e.Kv.Key, key) >= 0
	default:
		return bytes.Compare(e.Kv.Key, key) >= 0 && bytes.Compare(e.Kv.Key, end) < 0
	}
}

// upTo counts the events that a watcher has to have got by a revision.
func (w *watcher) upTo(revision int64) int {
	n, _ := slices.BinarySearchFunc(w.want, revision+1, func(e *mvccpb.Event, r int64) int {
		return int(e.Kv.ModRevision - r)
	})
	return n
}
