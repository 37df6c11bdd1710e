package transport

import (
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/internal/fault"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

var errSuperseded = status.Error(codes.Aborted, "a newer stream of the same member and class took over")

// service is the gRPC face of the transport.
type service struct {
	peerpb.UnimplementedPeerServer
	t *Transport
}

// source names an incoming stream. There is at most one of each: the newest.
type source struct {
	member uint64
	class  class
}

// receiver reads one incoming stream.
type receiver struct {
	t       *Transport
	from    source
	run     peerpb.Boot
	stream  grpc.ServerStream
	metrics incoming

	cut   chan error // why the stream shall end; capacity 1, sent at most once, by whoever took it off Transport.receivers
	ended chan error // why it ended; capacity 1, sent once by receive
}

// Messages admits a stream and waits for its end. Reading is the receiver's task, in its own goroutine, because a
// blocked read cannot be interrupted but by returning from here.
func (s *service) Messages(in grpc.ClientStreamingServer[peerpb.Message, peerpb.MessagesClosed]) error {
	h, err := s.t.accept(in.Context())
	if err != nil {
		s.t.refused(h.from, err)
		return err
	}
	if err := s.t.awaitFaults(in.Context(), h.from, fault.In); err != nil {
		return err
	}
	r, err := s.t.startReceiver(source{member: h.from, class: h.class}, h.run.Boot, in)
	if err != nil {
		return err
	}
	// The consent goes out last: whoever has it is connected, and newer than every stream that had it before.
	if err := in.SendHeader(runMetadata(s.t.cfg.Hello)); err != nil {
		return err
	}
	select {
	case err = <-r.cut:
	case err = <-r.ended:
	}
	if err == io.EOF {
		return in.SendAndClose(&peerpb.MessagesClosed{})
	}
	return err
}

func (t *Transport) startReceiver(from source, run peerpb.Boot, in grpc.ServerStream) (*receiver, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, errClosed
	}
	delete(t.refusals, from.member)
	for c := range classes {
		// A stream of another run ends, whatever its class: should that run still live, its next call tells it that it is over.
		old, ok := t.receivers[source{from.member, c}]
		if ok && (c == from.class || old.run != run) {
			delete(t.receivers, old.from)
			old.cut <- errSuperseded
		}
	}
	r := &receiver{
		t: t, from: from, run: run, stream: in, metrics: t.metrics.incoming(from.member),
		cut: make(chan error, 1), ended: make(chan error, 1),
	}
	t.receivers[from] = r
	if p, ok := (*t.peers.Load())[from.member]; ok {
		p.wake(from.class)
	}
	t.running.Go(r.receive)
	return r, nil
}

// cutReceivers ends the incoming streams of a member. The caller holds t.mu.
func (t *Transport) cutReceivers(member uint64, reason error) {
	for c := range classes {
		if r, ok := t.receivers[source{member, c}]; ok {
			delete(t.receivers, r.from)
			r.cut <- reason
		}
	}
}

// receive hands message after message to Config.Receive until the stream ends.
func (r *receiver) receive() {
	var f frame
	quiet := false // one line per stream says that messages get dropped
	for {
		m := &peerpb.Message{}
		f.message = m
		if err := r.stream.RecvMsg(&f); err != nil {
			r.finish(err)
			return
		}
		r.metrics.receivedBytes.Add(float64(f.size))
		if err := Check(m, r.from.member, r.t.cfg.MemberID); err != nil {
			r.metrics.failures.Inc()
			if !quiet {
				quiet = true
				r.t.log.Warn("peer message dropped, more may follow", "peer-id", label(r.from.member),
					"class", r.from.class.String(), "reason", err)
			}
			continue
		}
		if r.t.cfg.Faults.Active() {
			r.receiveThroughFaults(m)
			continue
		}
		r.t.cfg.Receive(r.run, m)
	}
}

func (r *receiver) finish(err error) {
	r.t.mu.Lock()
	if r.t.receivers[r.from] == r {
		delete(r.t.receivers, r.from)
	}
	r.t.mu.Unlock()
	switch status.Code(err) {
	case codes.Internal, codes.ResourceExhausted: // damaged or too large: ours to report, the sender sees only the end
		r.metrics.failures.Inc()
		r.t.log.Warn("peer stream ended", "peer-id", label(r.from.member), "class", r.from.class.String(),
			"reason", reasonOf(err))
	}
	r.ended <- err
}

// refused logs and counts a stream that did not pass the handshake. The sender tries again and again: only a new reason
// is news.
func (t *Transport) refused(from uint64, err error) {
	const remembered = 64
	t.mu.Lock()
	reason := reasonOf(err)
	news := t.refusals[from] != reason
	if len(t.refusals) >= remembered {
		clear(t.refusals)
	}
	t.refusals[from] = reason
	t.mu.Unlock()
	if _, known := (*t.peers.Load())[from]; known {
		t.metrics.incoming(from).failures.Inc()
	}
	if news {
		t.log.Warn("peer stream refused", "peer-id", label(from), "reason", reason)
	}
}
