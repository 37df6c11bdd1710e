package transport

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/internal/fault"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

var (
	errNoAnswer  = status.Error(codes.Unavailable, "no answer to the handshake in time")
	errEnded     = errors.New("the peer ended the stream")
	errNoAddress = errors.New("no usable address")
)

// stream is the sender's end of one class.
type stream = grpc.ClientStreamingClient[peerpb.Message, peerpb.MessagesClosed]

// sender keeps one stream to one peer alive and feeds it from the queue.
type sender struct {
	t     *Transport
	peer  *peer
	class class
	queue *queue
	// wake ends a wait between attempts: the peer has just called us, so it is there. Receivers send, without waiting;
	// room for one, since one is enough.
	wake chan struct{}

	absence absence
}

// run connects, sends until the stream is lost, and starts again, until the peer or the transport is done with.
func (s *sender) run() {
	ctx := s.peer.ctx
	attempt := 0      // counts through the addresses; stays on one that works
	failed := 0       // attempts in a row that came to nothing
	quiet := codes.OK // the kind of failure that is already in the log
	for {
		x := s.session(ctx, attempt)
		if ctx.Err() != nil {
			return
		}
		if x.up > 0 {
			s.event(hclog.Warn, "peer lost", "reason", reasonOf(x.err), "elapsed", x.up.Round(time.Millisecond))
			quiet = codes.Unavailable
		}
		s.lookForAbsence(x)
		if errors.Is(x.err, errMoved) {
			attempt, failed = 0, 0
			continue
		}
		if x.up == 0 {
			attempt++
			if code := status.Code(x.err); code != quiet {
				s.event(hclog.Warn, "peer unreachable", "url", x.addr.url, "reason", reasonOf(x.err))
				quiet = code
			}
		}
		if x.up >= s.t.timing.backoffMax {
			failed = 0 // it was a real connection, not one that breaks as soon as it stands
		}
		// Try every address before waiting.
		if failed++; failed%x.addrs == 0 {
			pause(ctx, s.t.timing.delay(failed/x.addrs), s.wake)
		}
	}
}

// session is what became of one attempt at a stream.
type session struct {
	addr  address
	addrs int           // how many addresses there are to try, at least 1
	up    time.Duration // zero when the stream never stood
	err   error         // why it ended, or never stood

	refused bool // nobody listens there
}

// session opens a stream to the peer's n-th address and sends on it for as long as it lasts.
func (s *sender) session(parent context.Context, n int) (x session) {
	ctx, end := context.WithCancelCause(parent)
	defer end(nil)
	x.addr, x.addrs = s.peer.attach(s.class, end, n)
	if x.addrs == 0 {
		x.addrs, x.err = 1, errNoAddress
		return x
	}
	var refused atomic.Bool
	conn, err := s.t.dial(x.addr, &refused)
	if err != nil {
		x.err = err
		return x
	}
	defer conn.Close()
	out, err := s.open(ctx, end, conn)
	if err != nil {
		x.err, x.refused = err, refused.Load()
		if s.class == control && errors.Is(err, errNoAnswer) {
			s.peer.cut(err) // without a control stream nobody pings, and the other streams would hang on
		}
		return x
	}

	var helpers sync.WaitGroup
	defer helpers.Wait()
	helpers.Go(func() { end(watch(out)) })
	if s.class == control {
		helpers.Go(func() { end(s.ping(ctx, conn)) })
	}
	start := time.Now()
	s.connected(x.addr, start)
	s.drain(ctx, end, out)
	<-ctx.Done() // when the stream broke under drain, the watcher knows why
	s.disconnected()
	x.up, x.err = max(time.Since(start), 1), context.Cause(ctx)
	return x
}

// open starts the stream and waits for the peer's consent.
func (s *sender) open(ctx context.Context, end context.CancelCauseFunc, conn *grpc.ClientConn) (stream, error) {
	patience := time.AfterFunc(s.t.timing.handshake, func() { end(errNoAnswer) })
	defer patience.Stop()
	cfg := &s.t.cfg
	h := hello{cluster: cfg.ClusterID, from: cfg.MemberID, to: s.peer.id, run: cfg.Hello, class: s.class}
	if err := s.t.awaitFaults(ctx, s.peer.id, fault.Out); err != nil {
		return nil, causeOr(ctx, err)
	}
	out, err := peerpb.NewPeerClient(conn).Messages(metadata.NewOutgoingContext(ctx, h.metadata()))
	if err != nil {
		return nil, causeOr(ctx, err)
	}
	answer, err := out.Header()
	if err != nil {
		return nil, causeOr(ctx, err)
	}
	if answer == nil { // refused: the reason comes with the end of the stream
		err := causeOr(ctx, watch(out))
		if status.Code(err) == disowned {
			cfg.Disowned(s.peer.id, reasonOf(err))
		}
		return nil, err
	}
	run, err := parseRun(answer)
	if err != nil {
		return nil, status.Error(codes.FailedPrecondition, err.Error())
	}
	if err := s.t.admit(ctx, s.peer.id, run); err != nil {
		return nil, causeOr(ctx, err)
	}
	if !patience.Stop() {
		return nil, causeOr(ctx, errNoAnswer) // the answer came too late by a hair
	}
	return out, nil
}

// watch waits for the end of a stream and returns the reason, never nil.
func watch(out stream) error {
	var closed peerpb.MessagesClosed
	if err := out.RecvMsg(&closed); err != nil && err != io.EOF {
		return err
	}
	return errEnded
}

// drain sends what the queue gets until the stream breaks.
func (s *sender) drain(ctx context.Context, end context.CancelCauseFunc, out stream) {
	var batch []item
	var f frame
	for {
		if batch = s.queue.take(batch[:0]); len(batch) == 0 {
			select {
			case <-s.queue.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		for i, it := range batch {
			f.message = it.message
			if err := out.SendMsg(&f); err != nil {
				if err != io.EOF { // EOF: the peer ended the stream, and the watcher knows more
					end(err)
				}
				return
			}
			batch[i] = item{}
			s.queue.release(it.weight)
			s.peer.metrics.sentBytes.Add(float64(f.size))
		}
		if cap(batch) > batchKept {
			batch = nil
		}
	}
}

// batchKept bounds the slices that a sender keeps for reuse.
const batchKept = 1024

func (s *sender) connected(addr address, now time.Time) {
	if s.class == control {
		s.peer.active.Store(&now)
		s.peer.metrics.active.Inc()
	}
	s.queue.admit()
	s.event(hclog.Info, "peer connected", "url", addr.url)
}

func (s *sender) disconnected() {
	if s.class == control {
		s.peer.active.Store(nil)
		s.peer.metrics.active.Dec()
	}
	dropped := s.queue.shut()
	if s.peer.ctx.Err() != nil {
		return // our own doing: nobody was lost
	}
	if s.class == control {
		s.peer.metrics.disconnected.Inc()
	}
	s.peer.lost(s.class, dropped)
}

// event logs a change of state. The other classes follow the control stream's fate, so they speak at debug level.
func (s *sender) event(level hclog.Level, what string, args ...any) {
	if s.class != control {
		level = hclog.Debug
	}
	s.peer.log.Log(level, what, append([]any{"class", s.class.String()}, args...)...)
}

// reasonOf is an error as the log shall show it.
func reasonOf(err error) string { return status.Convert(err).Message() }

// causeOr is why ctx ended, if it did, else err: what gRPC says about a stream that we cancelled ourselves is no news.
func causeOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// pause waits for d or until it is woken, and reports false when ctx ended first.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-wake:
		return true
	case <-ctx.Done():
		return false
	}
}
