package transport

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/transport/peerpb"
)

func TestDeliversInOrderWithinAClass(t *testing.T) {
	noGoroutines(t)
	const each = 1500
	a, b := startNode(t, 1, "127.0.0.1:0"), startNode(t, 2, "127.0.0.1:0")
	link(a, b)
	data := bytes.Repeat([]byte("x"), 300)
	kinds := map[class]func(n uint64) *peerpb.Message{
		control:  func(n uint64) *peerpb.Message { return heartbeat(1, 2, n) },
		bulk:     func(n uint64) *peerpb.Message { return entries(1, 2, n, data) },
		snapshot: func(n uint64) *peerpb.Message { return chunk(1, 2, n, data) },
	}
	var senders sync.WaitGroup
	for c, message := range kinds {
		senders.Go(func() {
			for n := range uint64(each) {
				a.Send(2, message(n))
				if c == snapshot { // its queue is short: be as patient as the one who fetches
					eventually(t, "room in the snapshot queue", func() bool {
						q := (*a.peers.Load())[2].senders[snapshot].queue
						q.mu.Lock()
						defer q.mu.Unlock()
						return q.count < q.maxCount
					})
				}
			}
		})
	}
	next := map[class]uint64{}
	for range each * len(kinds) {
		m := b.receive()
		c := classOf(m)
		if want := kinds[c](next[c]); !proto.Equal(m, want) {
			t.Fatalf("%s message %d is %v", c, next[c], m)
		}
		next[c]++
	}
	senders.Wait()
	if failures := a.metric("etcd_network_peer_sent_failures_total", "2"); failures != 0 {
		t.Errorf("%v messages dropped on a quiet network", failures)
	}
	sent := a.metric("etcd_network_peer_sent_bytes_total", "2")
	eventually(t, "all sent bytes to be counted", func() bool {
		sent = a.metric("etcd_network_peer_sent_bytes_total", "2")
		return sent == b.metric("etcd_network_peer_received_bytes_total", "1")
	})
	if least := float64(2 * each * len(data)); sent < least {
		t.Errorf("%v bytes sent, but the payload alone was %v", sent, least)
	}
}

// A receiver that stands still must cost its own messages only: Send keeps returning, other classes to the same peer
// and other peers keep their pace, and what is kept is bounded.
func TestSlowPeerLosesItsOwnMessagesOnly(t *testing.T) {
	noGoroutines(t)
	var mu sync.Mutex
	var unreachable []uint64
	a := startNode(t, 1, "127.0.0.1:0", func(c *Config, _ *timing) {
		c.Unreachable = func(id uint64) { mu.Lock(); unreachable = append(unreachable, id); mu.Unlock() }
	})
	gate := make(chan struct{})
	var slow *node
	slow = startNode(t, 2, "127.0.0.1:0", func(c *Config, _ *timing) {
		c.Receive = func(_ peerpb.Boot, m *peerpb.Message) {
			if classOf(m) == bulk {
				<-gate
			}
			slow.got <- m
		}
	})
	well := startNode(t, 3, "127.0.0.1:0")
	link(a, slow, well)

	data := make([]byte, 64<<10)
	q := (*a.peers.Load())[2].senders[bulk].queue
	const messages = 2000 // 125 MiB, of which 32 MiB fit the queue and a few more gRPC and the kernel
	for n := range uint64(messages) {
		a.Send(2, entries(1, 2, n, data)) // would hang here for ever if it waited
		q.mu.Lock()
		if q.bytes > q.maxBytes || q.count > q.maxCount {
			t.Errorf("queue holds %d messages of %d bytes", q.count, q.bytes)
		}
		q.mu.Unlock()
	}
	dropped := int(a.metric("etcd_network_peer_sent_failures_total", "2"))
	if dropped < messages/4 || dropped >= messages {
		t.Errorf("%d of %d messages dropped", dropped, messages)
	}
	mu.Lock()
	for _, id := range unreachable {
		if id != 2 {
			t.Errorf("member %x reported as unreachable", id)
		}
	}
	if len(unreachable) == 0 {
		t.Error("drops were not reported")
	}
	mu.Unlock()

	for n := range uint64(200) {
		a.Send(2, heartbeat(1, 2, n))
		a.Send(3, entries(1, 3, n, data))
		if got := slow.receive().GetRaft().GetCommit(); got != n {
			t.Fatalf("heartbeat %d when %d was due", got, n)
		}
		if got := well.receive().GetRaft().GetIndex(); got != n {
			t.Fatalf("entry %d when %d was due", got, n)
		}
	}
	if _, ok := a.Active(2); !ok {
		t.Error("a slow peer counts as lost")
	}

	close(gate)
	last := int64(-1)
	for range messages - dropped {
		index := int64(slow.receive().GetRaft().GetIndex())
		if index <= last {
			t.Fatalf("message %d after %d", index, last)
		}
		last = index
	}
}

func TestSendToNobodyIsDropped(t *testing.T) {
	noGoroutines(t)
	a := startNode(t, 1, "127.0.0.1:0")
	a.Send(2, heartbeat(1, 2, 0))
	a.SetPeers([]Peer{{ID: 1, URLs: []string{"http://127.0.0.1:1"}}, {ID: 2, URLs: []string{"http://127.0.0.1:1"}}, {ID: 3}})
	a.logs.wait(t, "peer unreachable", "2")
	a.Send(2, heartbeat(1, 2, 0))
	a.Send(3, heartbeat(1, 3, 0))
	a.Send(1, heartbeat(1, 1, 0))
	for _, to := range []string{"2", "3"} {
		if n := a.metric("etcd_network_peer_sent_failures_total", to); n != 1 {
			t.Errorf("%v messages to unreachable member %s counted", n, to)
		}
	}
	if _, ok := a.Active(2); ok {
		t.Error("a peer that never answered is active")
	}
	if line := a.logs.wait(t, "peer unreachable", "3"); line.reason != errNoAddress.Error() {
		t.Errorf("reason %q", line.reason)
	}
}

func TestReconnectsAfterThePeerRestarts(t *testing.T) {
	noGoroutines(t)
	a, b := startNode(t, 1, "127.0.0.1:0"), startNode(t, 2, "127.0.0.1:0")
	link(a, b)
	before := time.Now()
	if since, ok := a.Active(2); !ok || since.After(before) {
		t.Fatalf("active since %v, %t", since, ok)
	}
	for restart := 1; restart <= 3; restart++ {
		b.stop()
		a.logs.wait(t, "peer lost", "2")
		b = startNode(t, 2, b.addr)
		b.SetPeers([]Peer{a.peer()})
		a.connectedTo(2)
		b.connectedTo(1)
		a.Send(2, heartbeat(1, 2, 7))
		if got := b.receive().GetRaft().GetCommit(); got != 7 {
			t.Fatalf("received %d", got)
		}
		if n := int(a.metric("etcd_network_disconnected_peers_total", "2")); n != restart {
			t.Errorf("lost %d times after %d restarts", n, restart)
		}
	}
	if since, ok := a.Active(2); !ok || since.Before(before) {
		t.Errorf("active since %v, %t: from before the restart", since, ok)
	}
}

func TestRemovedPeerIsCutAndRefused(t *testing.T) {
	noGoroutines(t)
	a, b := startNode(t, 1, "127.0.0.1:0"), startNode(t, 2, "127.0.0.1:0")
	link(a, b)
	a.SetPeers(nil)
	for {
		line := b.logs.wait(t, "peer unreachable", "1")
		if line.class == control.String() && line.reason == "member 2 was removed from the cluster" {
			break
		}
	}
	if _, ok := a.Active(2); ok {
		t.Error("a removed peer is active")
	}
	if n := a.metric("etcd_network_known_peers", "2"); n != 0 {
		t.Errorf("known_peers is %v", n)
	}
	a.SetPeers([]Peer{b.peer()})
	a.connectedTo(2)
	b.connectedTo(1)
}

func TestMovedPeerIsFollowed(t *testing.T) {
	noGoroutines(t)
	a, b := startNode(t, 1, "127.0.0.1:0"), startNode(t, 2, "127.0.0.1:0")
	link(a, b)
	b.stop()
	c := startNode(t, 2, "127.0.0.1:0")
	a.SetPeers([]Peer{c.peer()})
	a.connectedTo(2)
	a.Send(2, heartbeat(1, 2, 1))
	c.receive()
}

func TestCloseWaitsAndIsFinal(t *testing.T) {
	noGoroutines(t)
	var closed atomic.Bool
	first := make(chan struct{}, 1)
	a := startNode(t, 1, "127.0.0.1:0")
	b := startNode(t, 2, "127.0.0.1:0", func(c *Config, _ *timing) {
		c.Receive = func(peerpb.Boot, *peerpb.Message) {
			if closed.Load() {
				t.Error("received a message after Close")
			}
			select {
			case first <- struct{}{}:
			default:
			}
		}
	})
	link(a, b)
	var sending sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		sending.Go(func() {
			for n := uint64(0); ; n++ {
				select {
				case <-stop:
					return
				default:
					a.Send(2, heartbeat(1, 2, n))
				}
			}
		})
	}
	<-first
	b.Transport.Close() // while messages arrive
	closed.Store(true)
	a.Transport.Close() // while messages are sent
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, f := range []string{"(*sender)", "(*receiver)", "transport.watch"} {
		if bytes.Contains(stacks, []byte(f)) {
			t.Errorf("a goroutine in %s outlived Close:\n%s", f, stacks)
		}
	}
	close(stop)
	sending.Wait()
	a.Transport.Close()
	a.SetPeers([]Peer{b.peer()})
	a.Send(2, heartbeat(1, 2, 0))
}

func TestConfigIsChecked(t *testing.T) {
	whole := Config{
		ClusterID: 1, MemberID: 1, Receive: func(peerpb.Boot, *peerpb.Message) {}, Disowned: func(uint64, string) {},
		Admit: func(context.Context, uint64, peerpb.Hello) error { return nil },
	}
	for _, without := range []func(*Config){
		func(c *Config) { c.ClusterID = 0 }, func(c *Config) { c.MemberID = 0 }, func(c *Config) { c.Receive = nil },
		func(c *Config) { c.Admit = nil }, func(c *Config) { c.Disowned = nil },
	} {
		cfg := whole
		without(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("accepted %+v", cfg)
		}
	}
	whole.Registerer = prometheus.NewRegistry()
	first, err := New(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	_, err = New(whole)
	if are := (prometheus.AlreadyRegisteredError{}); !errors.As(err, &are) {
		t.Errorf("the same registry twice: %v", err)
	}
}

func TestClassesAndWeights(t *testing.T) {
	data := make([]byte, 1000)
	for _, c := range []struct {
		m     *peerpb.Message
		class class
		least int
	}{
		{heartbeat(1, 2, 3), control, 0},
		{entries(1, 2, 3, data), bulk, 1000},
		{entries(1, 2, 3, nil), bulk, 0},
		{forward(1, 2, 3), bulk, 7},
		{&peerpb.Message{Body: &peerpb.Message_ForwardRefused{ForwardRefused: &peerpb.ForwardRefused{}}}, bulk, 0},
		{&peerpb.Message{Body: &peerpb.Message_SnapshotFetch{}}, snapshot, 0},
		{&peerpb.Message{Body: &peerpb.Message_SnapshotFailed{}}, snapshot, 0},
		{chunk(1, 2, 3, data), snapshot, 1000},
	} {
		if got := classOf(c.m); got != c.class {
			t.Errorf("%v is %s, want %s", c.m, got, c.class)
		}
		if w := weightOf(c.m); w <= c.least || w < proto.Size(c.m) {
			t.Errorf("%v weighs %d; it takes %d bytes", c.m, w, proto.Size(c.m))
		}
	}
}

func TestQueueBounds(t *testing.T) {
	q := newQueue(snapshot)
	small, large := chunk(1, 2, 0, nil), chunk(1, 2, 0, make([]byte, 20<<20))
	if q.push(small) {
		t.Fatal("a queue without a stream took a message")
	}
	q.admit()
	if !q.push(large) || q.push(small) {
		t.Fatal("an empty queue takes one message of any weight, and then no more")
	}
	taken := q.take(nil)
	if len(taken) != 1 || q.push(small) {
		t.Fatal("what the sender holds must count")
	}
	q.release(taken[0].weight)
	if q.count != 0 || q.bytes != 0 {
		t.Fatalf("%d messages, %d bytes in an empty queue", q.count, q.bytes)
	}
	for n := range q.maxCount {
		if !q.push(small) {
			t.Fatalf("refused message %d of %d", n, q.maxCount)
		}
	}
	if q.push(small) {
		t.Fatal("one message too many")
	}
	if dropped := q.shut(); dropped != q.maxCount || q.push(small) {
		t.Fatalf("shut dropped %d", dropped)
	}
	q.admit()
	if q.push(chunk(1, 2, 0, make([]byte, maxMessageBytes))) {
		t.Fatal("took a message that gRPC refuses")
	}
}

func TestBackoffDoublesWithinBounds(t *testing.T) {
	w := defaultTiming
	for failed, most := range map[int]time.Duration{
		1: 50 * time.Millisecond, 2: 100 * time.Millisecond, 4: 400 * time.Millisecond, 6: 1600 * time.Millisecond,
		7: 2 * time.Second, 16: 2 * time.Second, 64: 2 * time.Second, 1 << 40: 2 * time.Second,
	} {
		for range 100 {
			if d := w.delay(failed); d < most/2 || d > most {
				t.Fatalf("delay %s after %d failures, want %s to %s", d, failed, most/2, most)
			}
		}
	}
}

// A peer that calls is there: waiting out the pause after failed attempts would leave a restarted member without
// messages from its leader for seconds.
func TestReturningPeerIsCalledBackAtOnce(t *testing.T) {
	noGoroutines(t)
	patient := func(_ *Config, wait *timing) { wait.backoffMin, wait.backoffMax = time.Hour, time.Hour }
	a, b := startNode(t, 1, "127.0.0.1:0", patient), startNode(t, 2, "127.0.0.1:0")
	link(a, b)
	b.stop()
	a.logs.wait(t, "peer lost", "2") // now it would rest for an hour
	b = startNode(t, 2, b.addr)
	b.SetPeers([]Peer{a.peer()})
	a.connectedTo(2)
}
