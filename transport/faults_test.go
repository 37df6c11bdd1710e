package transport

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/internal/fault"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// drilled is a node whose traffic can be disturbed.
type drilled struct {
	*node
	faults      *fault.Injector
	ended       chan string // why rules ended
	unreachable chan uint64
}

func startDrilled(t *testing.T, id uint64, options ...option) *drilled {
	t.Helper()
	d := &drilled{ended: make(chan string, 16), unreachable: make(chan uint64, 1<<16)}
	d.faults = fault.NewInjector(func(c fault.Change) {
		if c.Event == fault.Ended {
			d.ended <- c.Why
		}
	})
	t.Cleanup(d.faults.Close)
	d.node = startNode(t, id, "127.0.0.1:0", append(options, func(c *Config, _ *timing) {
		c.Faults = d.faults
		c.Unreachable = func(id uint64) {
			select {
			case d.unreachable <- id:
			default:
			}
		}
	})...)
	return d
}

// threeDrilled are linked with each other.
func threeDrilled(t *testing.T, options ...option) (a, b, c *drilled) {
	t.Helper()
	noGoroutines(t)
	a, b, c = startDrilled(t, 1, options...), startDrilled(t, 2, options...), startDrilled(t, 3, options...)
	link(a.node, b.node, c.node)
	return a, b, c
}

func (d *drilled) set(r fault.Rules, ttl time.Duration) {
	d.Helper()
	if _, err := d.faults.Set(r, ttl, func(uint64) error { return nil }); err != nil {
		d.Fatal(err)
	}
}

func (d *drilled) heal() { d.set(fault.Rules{}, 0) }

// quickToMissAPeer notices a dead connection within the time that a test has.
func quickToMissAPeer(_ *Config, p *timing) {
	p.pingTimeout, p.handshake = 300*time.Millisecond, 300*time.Millisecond
}

// kinds makes a message of each class, and of each that a member may not do without.
func kinds(from, to, n uint64) []*peerpb.Message {
	return []*peerpb.Message{
		heartbeat(from, to, n), entries(from, to, n, nil), forward(from, to, n), chunk(from, to, n, nil),
	}
}

// only checks that of each class the next message to arrive at d from a peer is the marker, so none came before it.
func (d *drilled) only(from *drilled) {
	d.Helper()
	const marker = 999
	for _, m := range []*peerpb.Message{
		heartbeat(from.id, d.id, marker), entries(from.id, d.id, marker, nil), chunk(from.id, d.id, marker, nil),
	} {
		from.Send(d.id, m)
	}
	for range classes {
		if m := d.receive(); m.GetFrom() != from.id || numberOf(m) != marker {
			d.Errorf("member %x got message %d of %x", d.id, numberOf(m), m.GetFrom())
		}
	}
}

// numberOf is the n that a message was made with.
func numberOf(m *peerpb.Message) uint64 {
	switch b := m.GetBody().(type) {
	case *peerpb.Message_Raft:
		if len(b.Raft.GetEntries()) > 0 {
			return b.Raft.GetIndex()
		}
		return b.Raft.GetCommit()
	case *peerpb.Message_Forward:
		return b.Forward.GetCounters()[0]
	case *peerpb.Message_SnapshotChunk:
		return b.SnapshotChunk.GetOffset()
	}
	return 0
}

func TestLinkCutOneWayAtTheSender(t *testing.T) {
	a, b, c := threeDrilled(t)
	a.set(fault.Rules{Links: []fault.Link{{Peer: b.id, Out: true, Drop: 1}}}, time.Minute)
	for _, m := range kinds(a.id, b.id, 1) {
		a.Send(b.id, m)
	}
	// What goes the other way, or to and from others, is not concerned.
	a.only(b)
	b.only(c)
	c.only(a)
	a.heal()
	b.only(a)
}

func TestLinkCutOneWayAtTheReceiver(t *testing.T) {
	a, b, c := threeDrilled(t)
	b.set(fault.Rules{Links: []fault.Link{{Peer: a.id, In: true, Drop: 1}}}, time.Minute)
	a.only(b)
	b.only(c)
	c.only(a)
	settle(a, b, kinds(a.id, b.id, 1))
	if n := len(b.got); n != 0 {
		t.Errorf("%d messages passed a link that is cut", n)
	}
}

// settle sends messages and returns when the rules of their receiver have been asked about all of them. It ends the sender
// for that: a stream is over only when all that was read from it has been dealt with.
func settle(from, to *drilled, messages []*peerpb.Message) {
	from.Helper()
	bytes := 0.0
	for _, m := range messages {
		bytes += float64(proto.Size(m) + crcBytes)
		from.Send(to.id, m)
	}
	eventually(from, "the messages are there", func() bool {
		return to.metric("etcd_network_peer_received_bytes_total", label(from.id)) == bytes
	})
	from.stop()
	eventually(from, "the streams are over", func() bool {
		to.mu.Lock()
		defer to.mu.Unlock()
		for c := range classes {
			if to.receivers[source{from.id, c}] != nil {
				return false
			}
		}
		return true
	})
}

// A member that is cut off both ways loses every connection as it would to a pulled cable, opens none, tells raft, and
// is back when the rules have ended by themselves.
func TestCutOffMemberComesBackWhenTheRulesExpire(t *testing.T) {
	a, b, c := threeDrilled(t, quickToMissAPeer)
	a.set(fault.Rules{Links: []fault.Link{{In: true, Out: true, Drop: 1}}}, 2*time.Second)
	for _, m := range kinds(a.id, b.id, 1) {
		a.Send(b.id, m)
	}
	for _, m := range kinds(b.id, a.id, 1) {
		b.Send(a.id, m)
	}
	for _, l := range []struct{ from, to *drilled }{{a, b}, {a, c}, {b, a}, {c, a}} {
		for range classes {
			l.from.logs.wait(l.from, "peer lost", label(l.to.id))
		}
		if _, up := l.from.Active(l.to.id); up {
			t.Errorf("member %x still has a connection to %x", l.from.id, l.to.id)
		}
	}
	c.only(b)
	told := map[uint64]bool{}
	for len(told) < 2 {
		a.Send(b.id, heartbeat(a.id, b.id, 2))
		a.Send(c.id, heartbeat(a.id, c.id, 2))
		select {
		case id := <-a.unreachable:
			told[id] = true
		case <-time.After(patience):
			t.Fatalf("raft was told about %v", told)
		}
	}
	if why := <-a.ended; why != "expired" {
		t.Errorf("the rules ended as %q", why)
	}
	for _, l := range []struct{ from, to *drilled }{{a, b}, {a, c}, {b, a}, {c, a}} {
		l.from.connectedTo(l.to.id)
	}
	b.only(a)
	a.only(c)
}

// Pings meet the rule of their direction only: a member that hears and is not heard stays connected one way.
func TestOneWayCutKeepsTheOtherWay(t *testing.T) {
	a, b, _ := threeDrilled(t, quickToMissAPeer)
	since, _ := b.Active(a.id)
	b.set(fault.Rules{Links: []fault.Link{{Peer: a.id, In: true, Drop: 1}}}, time.Minute)
	for range classes {
		a.logs.wait(a, "peer lost", label(b.id))
	}
	if now, up := b.Active(a.id); !up || !now.Equal(since) {
		t.Errorf("the connection of b to a: up %v, since %v, was %v", up, now, since)
	}
	a.only(b)
	b.heal()
	a.connectedTo(b.id)
	b.only(a)
}

func TestNoHandshakePassesACutLink(t *testing.T) {
	noGoroutines(t)
	a, b := startDrilled(t, 1, quickToMissAPeer), startDrilled(t, 2, quickToMissAPeer)
	for _, cut := range []*drilled{a, b} {
		a.SetPeers(nil)
		cut.set(fault.Rules{Links: []fault.Link{{In: cut == b, Out: cut == a, Drop: 1}}}, time.Minute)
		a.SetPeers([]Peer{b.peer()})
		if l := a.logs.wait(a, "peer unreachable", label(b.id)); l.reason != reasonOf(errNoAnswer) {
			t.Errorf("unreachable because of %q", l.reason)
		}
		cut.heal()
		a.connectedTo(b.id)
	}
}

func TestLateMessagesKeepTheirOrderOnTheWire(t *testing.T) {
	a, b, _ := threeDrilled(t)
	const delay, messages = 50 * time.Millisecond, 50
	slow := func(peer uint64, in bool) fault.Rules {
		return fault.Rules{Links: []fault.Link{{Peer: peer, In: in, Out: !in, Delay: delay}}}
	}
	a.set(slow(b.id, false), time.Minute)
	b.set(slow(a.id, true), time.Minute)
	start := time.Now()
	for n := range uint64(messages) {
		for _, m := range kinds(a.id, b.id, n+1) {
			a.Send(b.id, m)
		}
	}
	next := map[any]uint64{}
	for range 4 * messages {
		m := b.receive()
		if d := time.Since(start); d < 2*delay {
			t.Fatalf("a message came after %v, both ends together hold it for %v", d, 2*delay)
		}
		kind := classOf(m)
		if kind == bulk && m.GetForward() != nil {
			kind = classes // counted apart: two messages of a number go on this stream
		}
		if next[kind]++; numberOf(m) != next[kind] {
			t.Fatalf("message %d of %v came in the place of %d", numberOf(m), classOf(m), next[kind])
		}
	}
	a.heal()
	b.heal()
	b.only(a)
}

// A message that comes twice is two messages: whoever receives one may change it.
func TestDuplicatedMessages(t *testing.T) {
	a, b, _ := threeDrilled(t)
	twice := fault.Rules{Links: []fault.Link{{In: true, Out: true, Duplicate: 1}}}
	b.set(twice, time.Minute)
	a.Send(b.id, heartbeat(a.id, b.id, 1))
	one, two := b.receive(), b.receive()
	if numberOf(one) != 1 || numberOf(two) != 1 || one.GetRaft() == two.GetRaft() {
		t.Errorf("got %v and %v", one, two)
	}
	a.set(twice, time.Minute)
	b.heal()
	a.Send(b.id, chunk(a.id, b.id, 2, []byte("data")))
	if one, two := b.receive(), b.receive(); numberOf(one) != 2 || numberOf(two) != 2 {
		t.Errorf("got %v and %v", one, two)
	}
	a.heal()
	b.only(a)
}

// What is held back when the transport closes is never received.
func TestNothingIsReceivedAfterClose(t *testing.T) {
	a, b, _ := threeDrilled(t)
	b.set(fault.Rules{Links: []fault.Link{{In: true, Delay: 5 * time.Second}}}, time.Minute)
	settle(a, b, kinds(a.id, b.id, 1))
	b.Transport.Close()
	b.faults.Close() // lets go on what is held
	if n := len(b.got); n != 0 {
		t.Errorf("%d messages received after Close", n)
	}
}

// The pings go with the control stream. When it is lost alone, and cannot be opened again, the other streams go too: nobody
// else would notice that the peer is cut off.
func TestCutOffMemberIsNoticedWithoutPings(t *testing.T) {
	a, b, _ := threeDrilled(t, quickToMissAPeer)
	a.set(fault.Rules{Links: []fault.Link{{In: true, Out: true, Drop: 1}}}, time.Minute)
	p := (*b.peers.Load())[a.id]
	p.mu.Lock()
	p.sessions[control](errors.New("reset by the test"))
	p.mu.Unlock()
	for range classes {
		b.logs.wait(b, "peer lost", label(a.id))
	}
}
