package transport

import (
	"context"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/internal/fault"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// In a drill every message passes the rules twice: those of its sender before it is queued, those of its receiver after
// it was checked. What they drop vanishes without a word, as on a wire.
//
// A direction of a link is that of the messages. Streams, their handshakes and their pings belong to the member that
// opened them: cut is its link out, or the other's link in. A cut link lets no handshake pass, and pings get no answer,
// so within the ping's patience the streams of that direction are gone and the sender learns from Config.Unreachable what
// it would learn from a pulled cable. A cut of one direction leaves the other alone; TCP would lose both, but then raft
// would never meet a member that hears and is not heard.

// sendThroughFaults sends m as the rules have it.
func (t *Transport) sendThroughFaults(p *peer, m *peerpb.Message) {
	t.cfg.Faults.Pass(p.id, fault.Out, classOf(m).String(), weightOf(m), func() { p.send(m) })
}

// receiveThroughFaults hands m on as the rules have it. Each delivery is a copy: Config.Receive owns what it gets, and a
// message may come twice.
func (r *receiver) receiveThroughFaults(m *peerpb.Message) {
	r.t.cfg.Faults.Pass(r.from.member, fault.In, r.from.class.String(), weightOf(m), func() {
		r.t.receiveLate(r.run, proto.CloneOf(m))
	})
}

// receiveLate hands on a message whose stream may be gone, and drops it when the transport is closed.
func (t *Transport) receiveLate(from peerpb.Boot, m *peerpb.Message) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	t.running.Add(1)
	t.mu.Unlock()
	defer t.running.Done()
	t.cfg.Receive(from, m)
}

// awaitFaults holds up a call to or from a peer as long as the rules do. The error is a status.
func (t *Transport) awaitFaults(ctx context.Context, peer uint64, d fault.Direction) error {
	if err := t.cfg.Faults.Await(ctx, peer, d); err != nil {
		return status.FromContextError(err).Err()
	}
	return nil
}
