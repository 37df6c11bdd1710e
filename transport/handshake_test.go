package transport

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// impostor is a bare gRPC client that may say anything.
type impostor struct {
	testing.TB
	conn *grpc.ClientConn
	ctx  context.Context
}

func newImpostor(t *testing.T, n *node, options ...grpc.CallOption) *impostor {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+n.addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(append([]grpc.CallOption{grpc.CallContentSubtype(codecName)}, options...)...))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(func() { cancel(); conn.Close() })
	return &impostor{TB: t, conn: conn, ctx: ctx}
}

func (i *impostor) open(md metadata.MD) stream {
	i.Helper()
	s, err := peerpb.NewPeerClient(i.conn).Messages(metadata.NewOutgoingContext(i.ctx, md))
	if err != nil {
		i.Fatal(err)
	}
	return s
}

// end is the error that a stream ended with.
func (i *impostor) end(s stream) *status.Status {
	i.Helper()
	var closed peerpb.MessagesClosed
	err := s.RecvMsg(&closed)
	if err == nil || err == io.EOF {
		i.Fatal("the stream ended without an error")
	}
	return status.Convert(err)
}

// goodHello is what member 1 says to member 2.
func goodHello(c class) hello {
	return hello{cluster: testCluster, from: 1, to: 2, run: runOf(1), class: c}
}

func TestHandshakeRefusesWhatDoesNotFit(t *testing.T) {
	noGoroutines(t)
	n := startNode(t, 2, "127.0.0.1:0")
	n.SetPeers([]Peer{{ID: 1, URLs: []string{"http://127.0.0.1:1"}}})
	i := newImpostor(t, n)
	with := func(key, value string) metadata.MD {
		md := goodHello(control).metadata()
		if value == "" {
			md.Delete(key)
		} else {
			md.Set(key, value)
		}
		return md
	}
	for _, c := range []struct {
		md   metadata.MD
		text string
	}{
		{with(keyCluster, "c2"), "cluster id differs: the sender belongs to c2, this member to c1"},
		{with(keyTo, "3"), "wrong member: the sender wants 3, this is 2"},
		{with(keyFrom, "2"), "the sender has this member's own id 2"},
		{with(keyProtocol, "1"), `protocol version differs: the sender speaks "1", this member "3"`},
		{with(keyProtocol, ""), `protocol version differs: the sender speaks "", this member "3"`},
		{with(keyCluster, ""), `quorumkv-cluster is "", want an id`},
		{with(keyFrom, "0"), `quorumkv-from is "0", want an id`},
		{with(keyTo, "xyz"), `quorumkv-to is "xyz", want an id`},
		{with(keyIncarnation, "abab"), `quorumkv-incarnation is "abab", want 32 hex digits`},
		{with(keyBoot, "0 1"), `quorumkv-boot is "0 1", want two or more`},
		{with(keyBoot, "7"), `quorumkv-boot is "7", want two or more`},
		{with(keyLog, "repairing"), `quorumkv-log is "repairing", want a term`},
		{with(keyLog, ""), `quorumkv-log is "", want a term`},
		{with(keyClass, "express"), `quorumkv-class is "express"`},
		{metadata.MD{}, "protocol version differs"},
	} {
		s := i.open(c.md)
		end := i.end(s)
		if end.Code() != codes.FailedPrecondition || !strings.Contains(end.Message(), c.text) {
			t.Errorf("%v: %s %q, want FailedPrecondition %q", c.md, end.Code(), end.Message(), c.text)
		}
	}
	if line := n.logs.wait(t, "peer stream refused", "1"); !strings.Contains(line.reason, "cluster id differs") {
		t.Errorf("logged %q", line.reason)
	}
	good := i.open(goodHello(control).metadata())
	header, err := good.Header()
	if err != nil || header == nil {
		t.Fatalf("a fitting handshake: %v, %v", header, err)
	}
	if run, err := parseRun(header); err != nil || !reflect.DeepEqual(run, runOf(2)) {
		t.Errorf("answered as %+v, %v", run, err)
	}
	if n := n.metric("etcd_network_peer_received_failures_total", "1"); n < 1 {
		t.Errorf("%v failures counted", n)
	}
}

// guard admits runs as a node does that holds members to the first data directory it met.
type guard struct {
	mu  sync.Mutex
	met map[uint64][16]byte
}

func (g *guard) admit(_ context.Context, member uint64, run peerpb.Hello) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if known, ok := g.met[member]; ok && known != run.Incarnation {
		return peerpb.Refusal("it was wiped")
	}
	g.met[member] = run.Incarnation
	return nil
}

// A member that comes back with an empty directory is not admitted, whoever calls, and hears why. The log says so once,
// however often it is tried.
func TestMemberWithoutItsMemoryStaysOut(t *testing.T) {
	noGoroutines(t)
	g := &guard{met: map[uint64][16]byte{}}
	a := startNode(t, 1, "127.0.0.1:0", func(c *Config, _ *timing) { c.Admit = g.admit })
	b := startNode(t, 2, "127.0.0.1:0")
	link(a, b)
	b.stop()
	heard := make(chan string, 1<<16)
	wiped := startNode(t, 2, b.addr, func(c *Config, _ *timing) {
		c.Hello.Incarnation = [16]byte{0xee}
		c.Disowned = func(by uint64, reason string) { heard <- label(by) + " " + reason }
		c.Receive = func(_ peerpb.Boot, m *peerpb.Message) { t.Errorf("a sends %v to whom it does not know", m) }
	})
	wiped.SetPeers([]Peer{a.peer()})
	select {
	case got := <-heard:
		if got != "1 it was wiped" {
			t.Errorf("heard %q", got)
		}
	case <-time.After(patience):
		t.Fatal("nobody told the wiped member")
	}
	for {
		if line := a.logs.wait(t, "peer unreachable", "2"); strings.Contains(line.reason, "it was wiped") {
			break
		}
	}
	a.logs.wait(t, "peer stream refused", "2")
	a.Send(2, heartbeat(1, 2, 3))
	failures := a.metric("etcd_network_peer_received_failures_total", "2")
	eventually(t, "ten more refusals", func() bool {
		return a.metric("etcd_network_peer_received_failures_total", "2") > failures+10
	})
	a.logs.mu.Lock()
	defer a.logs.mu.Unlock()
	refused := 0
	for _, line := range a.logs.lines {
		if line.what == "peer stream refused" {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d lines about one refusal:\n%s", refused, a.logs.dump())
	}
}

// A newer run of a member ends all streams of the one before.
func TestNewerRunTakesOver(t *testing.T) {
	noGoroutines(t)
	n := startNode(t, 2, "127.0.0.1:0")
	i := newImpostor(t, n)
	var old []stream
	for _, c := range []class{control, bulk, snapshot} {
		s := i.open(goodHello(c).metadata())
		if header, err := s.Header(); err != nil || header == nil {
			t.Fatal(header, err)
		}
		old = append(old, s)
	}
	h := goodHello(control)
	h.run.Epoch++
	if header, err := i.open(h.metadata()).Header(); err != nil || header == nil {
		t.Fatal(header, err)
	}
	for _, s := range old {
		if end := i.end(s); end.Code() != codes.Aborted {
			t.Errorf("a stream of the older run ended with %v", end)
		}
	}
}

func TestNewerStreamTakesOver(t *testing.T) {
	noGoroutines(t)
	n := startNode(t, 2, "127.0.0.1:0")
	i := newImpostor(t, n)
	old := i.open(goodHello(bulk).metadata())
	if header, err := old.Header(); err != nil || header == nil {
		t.Fatal(header, err)
	}
	newer := i.open(goodHello(bulk).metadata())
	if end := i.end(old); end.Code() != codes.Aborted {
		t.Errorf("the older stream ended with %v", end)
	}
	if err := newer.Send(entries(1, 2, 5, nil)); err != nil {
		t.Fatal(err)
	}
	n.receive()
	if _, err := newer.CloseAndRecv(); err != nil {
		t.Errorf("a stream closed by its sender ends with %v", err)
	}
}

func TestOnlyHonestMessagesPass(t *testing.T) {
	noGoroutines(t)
	n := startNode(t, 2, "127.0.0.1:0")
	n.SetPeers([]Peer{{ID: 1, URLs: []string{"http://127.0.0.1:1"}}})
	s := newImpostor(t, n).open(goodHello(bulk).metadata())
	honest, forged := 0, 0
	for _, c := range checkCases() {
		if err := s.Send(c.m); err != nil {
			t.Fatal(err)
		}
		if c.want == "" {
			honest++
		} else {
			forged++
		}
	}
	if err := s.Send(heartbeat(1, 2, 4711)); err != nil {
		t.Fatal(err)
	}
	for range honest {
		m := n.receive()
		if err := Check(m, 1, 2); err != nil {
			t.Errorf("let through %v: %v", m, err)
		}
	}
	if m := n.receive(); m.GetRaft().GetCommit() != 4711 {
		t.Errorf("let through %v", m)
	}
	if got := int(n.metric("etcd_network_peer_received_failures_total", "1")); got != forged {
		t.Errorf("%d failures counted for %d forged messages", got, forged)
	}
	if got := n.logs.count("peer message dropped, more may follow", bulk); got != 1 {
		t.Errorf("%d log lines about dropped messages on one stream", got)
	}
}

// damager is the peer codec with a flipped bit at the end of the message's content.
type damager struct{ codec }

func (d damager) Marshal(v any) (mem.BufferSlice, error) {
	data, err := d.codec.Marshal(v)
	if err != nil {
		return nil, err
	}
	b := data.Materialize()
	b[len(b)-crcBytes-1] ^= 0x10
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

func TestDamagedMessageEndsTheStream(t *testing.T) {
	noGoroutines(t)
	n := startNode(t, 2, "127.0.0.1:0")
	var _ encoding.CodecV2 = damager{}
	i := newImpostor(t, n, grpc.ForceCodecV2(damager{}))
	s := i.open(goodHello(bulk).metadata())
	if err := s.Send(entries(1, 2, 5, []byte("some data"))); err != nil {
		t.Fatal(err)
	}
	if end := i.end(s); end.Code() != codes.Internal || !strings.Contains(end.Message(), errDamaged.Error()) {
		t.Errorf("ended with %v", end)
	}
	n.logs.wait(t, "peer stream ended", "1")
	if len(n.got) != 0 {
		t.Errorf("received %v", <-n.got)
	}
}

// FuzzCodec receives arbitrary bytes twice: as they are, and behind a checksum that fits, so that the decoder is
// reached. What decodes must survive another trip, and no flipped bit may.
func FuzzCodec(f *testing.F) {
	seeds := []*peerpb.Message{heartbeat(1, 2, 3), entries(1, 2, 3, []byte("data")), forward(1, 2, 3), {}}
	for _, c := range checkCases() {
		seeds = append(seeds, c.m)
	}
	for _, m := range seeds {
		data, err := codec{}.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		b := data.Materialize()
		f.Add(b, uint(1))
		f.Add(b[:len(b)-crcBytes], uint(len(b)))
	}
	f.Fuzz(func(t *testing.T, data []byte, flip uint) {
		receiveFrame(t, data, flip)
		sum := crc32.Checksum(data, castagnoli)
		receiveFrame(t, binary.LittleEndian.AppendUint32(bytes.Clone(data), sum), flip)
	})
}

func receiveFrame(t *testing.T, data []byte, flip uint) {
	m := &peerpb.Message{}
	if err := (codec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, m); err != nil {
		return
	}
	if m.GetRaft().GetType() >= 0 { // of a type below zero raft.IsLocalMsg makes an index
		Check(m, 1, 2)
	}
	classOf(m)
	weightOf(m)
	again, err := codec{}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	b := again.Materialize()
	back := &peerpb.Message{}
	if err := (codec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, back); err != nil || !proto.Equal(m, back) {
		t.Fatalf("%v became %v, %v", m, back, err)
	}
	b[flip/8%uint(len(b))] ^= 1 << (flip % 8)
	if err := (codec{}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, back); err != errDamaged {
		t.Fatalf("bit %d flipped: %v", flip, err)
	}
}

// FuzzHello reads the opening of a stream from anybody. What is accepted must be what would have been sent.
func FuzzHello(f *testing.F) {
	for _, c := range []class{control, bulk, snapshot} {
		h := goodHello(c)
		if h.run.Repairing = c == bulk; h.run.Repairing {
			h.run.Last = 0
		}
		md := h.metadata()
		f.Add(first(md, keyProtocol), first(md, keyCluster), first(md, keyFrom), first(md, keyTo),
			first(md, keyIncarnation), first(md, keyBoot), first(md, keyLog), first(md, keyClass))
	}
	f.Add("2", "+1", "0x1", "", "00", "1", "1 -", "gossip")
	f.Fuzz(func(t *testing.T, protocol, cluster, from, to, incarnation, boot, log, class string) {
		h, err := parseHello(metadata.Pairs(keyProtocol, protocol, keyCluster, cluster, keyFrom, from, keyTo, to,
			keyIncarnation, incarnation, keyBoot, boot, keyLog, log, keyClass, class))
		if err != nil {
			return
		}
		if h.cluster == 0 || h.from == 0 || h.to == 0 {
			t.Fatalf("accepted %+v", h)
		}
		if again, err := parseHello(h.metadata()); err != nil || !reflect.DeepEqual(again, h) {
			t.Fatalf("%+v became %+v, %v", h, again, err)
		}
	})
}
