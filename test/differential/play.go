package differential

import (
	"fmt"
	"slices"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/quorumkv/quorumkv/test/script"
)

// act is one thing that happens in a history with streams: requests to the store, a message on a stream, the change of a
// stream to another node, or a pause.
type act struct {
	calls   []call
	message proto.Message // *pb.WatchCreateRequest, *pb.WatchCancelRequest or *pb.WatchProgressRequest
	stream  int           // of message and move
	move    bool          // end the stream and open another one, to node
	node    int
}

// settle is the act of waiting until everything due has arrived.
func (a act) settle() bool { return len(a.calls) == 0 && a.message == nil && !a.move }

const (
	streams  = 3
	patience = 10 * time.Second // until something due is missing
	askAgain = 20 * time.Millisecond
)

// play is a history with streams under way. The oracle's own full history, taken from a stream of its own with prev_kv,
// says what each watch on either side has to get: both are held against it. Control responses are compared with each
// other.
type play struct {
	pair     *pair
	state    *state
	sides    [2]*side
	history  *stream // of the oracle, everything since before the base
	patience time.Duration
	exceptions
	counts coverage
}

// side is one system in a play.
type side struct {
	*processes
	name    string
	streams []*stream
	drops   bool // an etcd: it drops progress requests while a watch is behind, and compacted watches keep their id
	lie     func(*pb.WatchResponse) []*pb.WatchResponse
}

// newPlay opens the streams on stores that are as after pair.begin.
func newPlay(p *pair, s *state, want, got *side, counts coverage, patience time.Duration) (*play, error) {
	pl := &play{pair: p, state: s, sides: [2]*side{want, got}, exceptions: exceptions{}, counts: counts, patience: patience}
	for _, side := range pl.sides {
		side.streams = nil
		for i := range streams {
			st, err := side.open(i % side.nodes())
			if err != nil {
				pl.end()
				return nil, err
			}
			side.streams = append(side.streams, st)
		}
	}
	var err error
	if pl.history, err = openStream(want.endpoints[0][0], 0); err != nil {
		pl.end()
		return nil, err
	}
	go pl.history.receive()
	everything := &pb.WatchCreateRequest{Key: []byte{0}, RangeEnd: []byte{0}, PrevKv: true, StartRevision: max(s.base-1, 1)}
	if err := pl.history.create(everything, s.compacted); err != nil {
		pl.end()
		return nil, err
	}
	return pl, nil
}

func (sd *side) open(node int) (*stream, error) {
	node %= sd.nodes()
	st, err := openStream(sd.endpoints[node][0], node)
	if err != nil {
		return nil, err
	}
	st.lie, st.etcd = sd.lie, sd.drops
	go st.receive()
	return st, nil
}

func (p *play) end() {
	if p.history != nil {
		p.history.cancel()
	}
	for _, sd := range p.sides {
		for _, st := range sd.streams {
			st.cancel()
		}
	}
}

// do makes one act happen. The error says what was wrong, on which side.
func (p *play) do(a act) error {
	var err error
	switch m := a.message.(type) {
	case *pb.WatchCreateRequest:
		err = p.create(a.stream, m)
	case *pb.WatchCancelRequest:
		err = p.cancelWatch(a.stream, m)
	case *pb.WatchProgressRequest:
		err = p.askProgress(a.stream, m)
	default:
		switch {
		case a.move:
			err = p.move(a.stream, a.node)
		case len(a.calls) > 0:
			err = p.call(a.calls)
		default:
			err = p.settle()
		}
	}
	if err != nil {
		return err
	}
	return p.faults()
}

func (p *play) faults() error {
	for _, sd := range p.sides {
		for i, st := range sd.streams {
			st.mu.Lock()
			faults := st.faults
			st.mu.Unlock()
			if len(faults) > 0 {
				return fmt.Errorf("%s, stream %d: %s", sd.name, i, faults[0])
			}
		}
	}
	return nil
}

func (p *play) call(calls []call) error {
	for _, c := range calls {
		if _, ok := c.request.(*pb.CompactionRequest); ok {
			if ready, err := p.beforeCompaction(); !ready {
				return err
			}
		}
	}
	_, found := p.pair.run(p.state, step{calls: calls}, func(c call, _ answer) {
		p.counts[fmt.Sprintf("call %T", c.request)]++
	})
	if found != nil {
		return fmt.Errorf("%s is answered differently\n%s", script.Print(found.request, p.state.base), found)
	}
	return nil
}

// beforeCompaction waits until no watch can be hit by a compaction: prev_kv is looked up when an event is sent, and a watch
// that still looks for events in the past would end. Only progress tells that one does not; where a watch of the future
// stops that, the compaction is left out.
func (p *play) beforeCompaction() (ready bool, err error) {
	if err := p.settle(); err != nil {
		return false, err
	}
	for i, st := range p.sides[0].streams {
		if watched, future := st.watches(p.state.revision); future {
			return false, nil
		} else if watched {
			if err := p.askProgress(i, &pb.WatchProgressRequest{}); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// watches tells whether a stream watches anything, and anything from the future.
func (s *stream) watches(revision int64) (any, future bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.watchers {
		future = future || w.request.StartRevision > revision
	}
	return len(s.watchers) > 0, future
}

// catchUp makes the node of a stream know everything acknowledged: what a stream answers is the node's own state.
func (sd *side) catchUp(st *stream) {
	sd.ask(st.node, 0, &pb.RangeRequest{Key: []byte{0}, CountOnly: true})
}

// control sends a message on one stream of both sides and returns the next control response of each.
func (p *play) control(i int, send func(*stream) error) (replies [2]*pb.WatchResponse, err error) {
	for n, sd := range p.sides {
		st := sd.streams[i]
		sd.catchUp(st)
		st.mu.Lock()
		before := len(st.controls)
		st.mu.Unlock()
		if err := send(st); err != nil {
			return replies, fmt.Errorf("%s, stream %d: %w", sd.name, i, err)
		}
		if !st.await(p.patience, func() bool { return len(st.controls) > before }) {
			return replies, p.missing(sd, i, "no reply")
		}
		st.mu.Lock()
		replies[n] = st.controls[before]
		st.mu.Unlock()
	}
	return replies, nil
}

func (p *play) missing(sd *side, i int, what string) error {
	if err := p.faults(); err != nil {
		return err
	}
	return fmt.Errorf("%s, stream %d: %s within %v", sd.name, i, what, p.patience)
}

// compare holds two control responses against each other, but for what belongs to the system.
func compare(what string, replies [2]*pb.WatchResponse) error {
	var plain [2]*pb.WatchResponse
	for i, r := range replies {
		plain[i] = proto.CloneOf(r)
		if h := plain[i].Header; h != nil {
			h.ClusterId, h.MemberId, h.RaftTerm = 0, 0, 0
		}
	}
	if diff := gocmp.Diff(plain[0], plain[1], protocmp.Transform()); diff != "" {
		return fmt.Errorf("%s is answered differently (-want +got)\n%s", what, diff)
	}
	return nil
}

func (p *play) create(i int, r *pb.WatchCreateRequest) error {
	p.counts.watch(p.state, r)
	replies, err := p.control(i, func(st *stream) error { return st.create(r, p.state.compacted) })
	if err != nil {
		return err
	}
	if err := compare("create", replies); err != nil {
		return err
	}
	if replies[0].Canceled {
		p.counts["refused: "+replies[0].CancelReason]++
		return nil
	}
	if r.StartRevision > 0 && r.StartRevision < p.state.compacted {
		return p.compacted(i, replies[0].WatchId)
	}
	return nil
}

// compacted: a watch that starts too early is created and then ends.
func (p *play) compacted(i int, id int64) error {
	p.counts["ended by compaction"]++
	p.exceptions["10"]++
	var ends [2]*pb.WatchResponse
	for n, sd := range p.sides {
		st := sd.streams[i]
		if !st.await(p.patience, func() bool {
			ends[n] = st.controls[len(st.controls)-1]
			return ends[n].WatchId == id && ends[n].Canceled
		}) {
			return p.missing(sd, i, "a watch from before the compaction goes on")
		}
		if sd.drops { // decision 10: no reason, no revision
			ends[n] = proto.CloneOf(ends[n])
			ends[n].Header.Revision, ends[n].CancelReason = p.state.revision, compactedReason
		}
	}
	if err := compare("watch from before the compaction", ends); err != nil {
		return err
	}
	// Decision "zombie": on etcd the watch keeps its id, and stops all progress, until the client cancels it.
	p.exceptions["zombie"]++
	for _, sd := range p.sides {
		if !sd.drops {
			continue
		}
		st := sd.streams[i]
		st.mu.Lock()
		before := len(st.controls)
		st.mu.Unlock()
		if err := st.send(&pb.WatchCancelRequest{WatchId: id}); err != nil {
			return err
		}
		if !st.await(p.patience, func() bool { return len(st.controls) > before }) {
			return p.missing(sd, i, "no reply to the cancel of a compacted watch")
		}
		st.mu.Lock()
		st.controls = slices.Delete(st.controls, before, before+1)
		st.mu.Unlock()
	}
	return nil
}

const compactedReason = "etcdserver: mvcc: required revision has been compacted"

func (p *play) cancelWatch(i int, m *pb.WatchCancelRequest) error {
	st := p.sides[0].streams[i]
	st.mu.Lock()
	_, known := st.watchers[m.WatchId]
	st.mu.Unlock()
	if !known { // silence; what comes nevertheless is met as the answer to something else
		p.counts["cancel unknown"]++
		for _, sd := range p.sides {
			if err := sd.streams[i].send(m); err != nil {
				return err
			}
		}
		return nil
	}
	p.counts["cancel"]++
	if err := p.settle(); err != nil {
		return err
	}
	replies, err := p.control(i, func(st *stream) error { return st.send(m) })
	if err != nil {
		return err
	}
	return compare("cancel", replies)
}

// askProgress: an answer is due if something is watched and nothing is watched from the future.
func (p *play) askProgress(i int, m *pb.WatchProgressRequest) error {
	due, future := p.sides[0].streams[i].watches(p.state.revision)
	due = due && !future
	p.counts.when(due, "progress")
	p.counts.when(future, "progress: future watch")
	p.counts.when(!due && !future, "progress: nothing watched")
	for _, sd := range p.sides {
		st := sd.streams[i]
		sd.catchUp(st)
		if !due {
			if err := st.send(m); err != nil {
				return err
			}
			continue
		}
		st.mu.Lock()
		before := st.manual
		st.mu.Unlock()
		answered := func() bool { return st.manual > before }
		deadline := time.Now().Add(p.patience)
		for {
			if err := st.send(m); err != nil {
				return err
			}
			if !sd.drops {
				if !st.await(p.patience, answered) {
					return p.missing(sd, i, "no answer to a progress request")
				}
				break
			}
			if st.await(askAgain, answered) {
				break
			}
			p.exceptions["9"]++
			if time.Now().After(deadline) {
				return p.missing(sd, i, "no answer to progress requests")
			}
		}
		st.mu.Lock()
		newest := int64(0)
		for _, pr := range st.progress[max(0, len(st.progress)-100):] {
			newest = max(newest, pr.revision)
		}
		st.mu.Unlock()
		if newest != p.state.revision {
			return fmt.Errorf("%s, stream %d: progress up to %d, the store is at %d", sd.name, i, newest, p.state.revision)
		}
	}
	return nil
}

func (p *play) move(i, node int) error {
	if err := p.settle(); err != nil {
		return err
	}
	p.counts["move"]++
	for _, sd := range p.sides {
		sd.streams[i].cancel()
		st, err := sd.open(node)
		if err != nil {
			return fmt.Errorf("%s: %w", sd.name, err)
		}
		sd.streams[i] = st
	}
	return nil
}

// settle waits until every watch has what it has to get, and compares.
func (p *play) settle() error {
	history, err := p.events()
	if err != nil {
		return err
	}
	for _, sd := range p.sides {
		for i, st := range sd.streams {
			if err := p.settleStream(sd, i, st, history); err != nil {
				return err
			}
		}
	}
	return p.faults()
}

// events returns the oracle's history so far.
func (p *play) events() ([]*mvccpb.Event, error) {
	h := p.history
	var events []*mvccpb.Event
	complete := func() bool {
		if len(h.all) == 1 {
			events = h.all[0].events
		}
		return p.state.revision == 1 || len(events) > 0 && events[len(events)-1].Kv.ModRevision >= p.state.revision
	}
	if !h.await(p.patience, complete) {
		return nil, fmt.Errorf("the oracle's history does not reach revision %d: %q", p.state.revision, h.faults)
	}
	return events, nil
}

func (p *play) settleStream(sd *side, i int, st *stream, history []*mvccpb.Event) error {
	st.mu.Lock()
	all := st.all
	st.mu.Unlock()
	for _, w := range all {
		if w.request.StartRevision > 0 && w.request.StartRevision < w.compacted {
			continue // it was told so
		}
		if w.ended { // it had everything when it was canceled
			continue
		}
		w.expect(history)
		due := func() bool { return len(w.events) >= len(w.want) && !w.partial }
		if !st.await(p.patience, due) {
			if err := p.faults(); err != nil {
				return err
			}
		}
		st.mu.Lock()
		events := w.events
		for i := range min(w.initial, len(w.want), len(events)) {
			if st.etcd && events[i].PrevKv == nil && w.want[i].PrevKv != nil {
				events[i].PrevKv = w.want[i].PrevKv
				p.exceptions["first prev_kv"]++
			}
		}
		w.initial = 0
		st.mu.Unlock()
		if err := alikeEvents(w.want, events); err != nil {
			return fmt.Errorf("%s, stream %d, watch %d (%s): %w", sd.name, i, w.id,
				script.Print(w.request, p.state.base), err)
		}
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, pr := range st.progress {
		for w, had := range pr.had {
			if due := w.upTo(pr.revision); due > had {
				return fmt.Errorf("%s, stream %d: progress up to %d when watch %d had %d of %d events", sd.name, i, pr.revision,
					w.id, had, due)
			}
		}
	}
	p.counts["fragments"] += st.pieces
	st.progress, st.pieces = nil, 0
	// What has been compared once need not be kept.
	for _, w := range st.all {
		p.counts["events "+sd.name] += len(w.events)
		w.events, w.want = w.events[max(0, len(w.events)-1):], w.want[max(0, len(w.want)-1):]
		p.counts["events "+sd.name] -= len(w.events)
	}
	st.all = slices.DeleteFunc(st.all, func(w *watcher) bool { return w.ended })
	return nil
}

func alikeEvents(want, got []*mvccpb.Event) error {
	for i := range min(len(want), len(got)) {
		if !proto.Equal(want[i], got[i]) {
			return fmt.Errorf("event %d of %d (-want +got)\n%.3000s", i, len(want), gocmp.Diff(want[i], got[i], protocmp.Transform()))
		}
	}
	switch {
	case len(got) < len(want):
		return fmt.Errorf("%d of %d events, the first missing one is\n%.1000v", len(got), len(want), want[len(got)])
	case len(got) > len(want):
		return fmt.Errorf("%d events instead of %d, the first superfluous one is\n%.1000v", len(got), len(want), got[len(want)])
	}
	return nil
}

// quiet checks that nothing was left over: no answer too many.
func (p *play) quiet() error {
	if err := p.settle(); err != nil {
		return err
	}
	for i := range streams {
		a, b := p.sides[0].streams[i], p.sides[1].streams[i]
		a.mu.Lock()
		n := len(a.controls)
		a.mu.Unlock()
		b.mu.Lock()
		m := len(b.controls)
		b.mu.Unlock()
		if n != m {
			return fmt.Errorf("stream %d: %d control responses instead of %d", i, m, n)
		}
	}
	return nil
}
