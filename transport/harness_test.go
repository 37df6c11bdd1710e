package transport

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// patience bounds every wait of a test; one that gets there has failed.
const patience = 20 * time.Second

const testCluster = 0xc1

// quick is a timing for tests: reconnects at once, and does not take a busy machine for a dead peer.
var quick = timing{
	handshake: 5 * time.Second, pingEvery: 20 * time.Millisecond, pingTimeout: 10 * time.Second,
	backoffMin: time.Millisecond, backoffMax: 20 * time.Millisecond, reportEvery: time.Millisecond,
}

// node is a transport with a gRPC server on a loopback listener.
type node struct {
	testing.TB
	*Transport
	id       uint64
	addr     string // host:port
	server   *grpc.Server
	serving  sync.WaitGroup
	registry *prometheus.Registry
	logs     *logTap
	got      chan *peerpb.Message
}

type option func(*Config, *timing)

// runOf is the run that a test node is unless told otherwise.
func runOf(id uint64) peerpb.Hello {
	return peerpb.Hello{Boot: peerpb.Boot{Incarnation: [16]byte{15: byte(id)}, Epoch: 1, Nonce: id}, Runs: []uint64{id}, Term: 1, Last: 1}
}

// startNode starts a member on addr, which may be port 0.
func startNode(t testing.TB, id uint64, addr string, options ...option) *node {
	t.Helper()
	n := &node{
		TB: t, id: id, registry: prometheus.NewRegistry(), logs: newLogTap(), got: make(chan *peerpb.Message, 1<<16),
	}
	cfg := Config{
		ClusterID: testCluster, MemberID: id, Hello: runOf(id),
		Admit:      func(context.Context, uint64, peerpb.Hello) error { return nil },
		Disowned:   func(by uint64, reason string) { t.Errorf("member %x is disowned by %x: %s", id, by, reason) },
		Receive:    func(_ peerpb.Boot, m *peerpb.Message) { n.got <- m },
		Logger:     n.logs.logger(),
		Registerer: n.registry,
	}
	wait := quick
	for _, o := range options {
		o(&cfg, &wait)
	}
	var err error
	if n.Transport, err = newTransport(cfg, wait); err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	n.addr = lis.Addr().String()
	n.server = grpc.NewServer(ServerOptions()...)
	n.Register(n.server)
	n.serving.Go(func() { n.server.Serve(lis) })
	t.Cleanup(n.stop)
	return n
}

// stop ends the node; again is harmless.
func (n *node) stop() {
	n.Transport.Close()
	n.server.Stop()
	n.serving.Wait()
}

func (n *node) peer() Peer { return Peer{ID: n.id, URLs: []string{"http://" + n.addr}} }

// link makes nodes each other's peers and waits until every stream is up.
func link(nodes ...*node) {
	var peers []Peer
	for _, n := range nodes {
		peers = append(peers, n.peer())
	}
	for _, n := range nodes {
		n.SetPeers(peers)
	}
	for _, n := range nodes {
		for _, other := range nodes {
			if other != n {
				n.connectedTo(other.id)
			}
		}
	}
}

// connectedTo waits until the streams of all classes to a peer are up.
func (n *node) connectedTo(id uint64) {
	n.Helper()
	for range classes {
		n.logs.wait(n, "peer connected", label(id))
	}
}

func (n *node) receive() *peerpb.Message {
	n.Helper()
	select {
	case m := <-n.got:
		return m
	case <-time.After(patience):
		n.Fatalf("member %x received nothing", n.id)
		return nil
	}
}

// metric sums the samples of a counter, gauge or histogram (its count) that carry the label value.
func (n *node) metric(name, value string) float64 {
	n.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		n.Fatal(err)
	}
	sum, found := 0.0, false
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == value && l.GetName() != "Local" {
					found = true
					sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
				}
			}
		}
	}
	if !found {
		n.Fatalf("no series %s for %s", name, value)
	}
	return sum
}

// eventually waits for something that has no event to wait for.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for: %s", patience, what)
		}
	}
}

// logTap turns a node's log into events that a test can wait for and count.
type logTap struct {
	mu      sync.Mutex
	changed sync.Cond
	lines   []logLine
}

type logLine struct {
	what, peer, class, reason, text string
	seen                            bool // by wait
}

func newLogTap() *logTap {
	l := &logTap{}
	l.changed.L = &l.mu
	return l
}

func (l *logTap) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, JSONFormat: true, Output: l})
}

func (l *logTap) Write(p []byte) (int, error) {
	var fields map[string]any
	if err := json.Unmarshal(p, &fields); err != nil {
		return 0, err
	}
	get := func(key string) string {
		if v, ok := fields[key]; ok {
			return fmt.Sprint(v)
		}
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, logLine{
		what: get("@message"), peer: get("peer-id"), class: get("class"), reason: get("reason"),
		text: string(bytes.TrimSpace(p)),
	})
	l.changed.Broadcast()
	return len(p), nil
}

// wait returns the first line about a peer that no wait has returned before.
func (l *logTap) wait(t testing.TB, what, peer string) logLine {
	t.Helper()
	late := time.AfterFunc(patience, l.changed.Broadcast)
	defer late.Stop()
	deadline := time.Now().Add(patience)
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for i, line := range l.lines {
			if line.what == what && line.peer == peer && !line.seen {
				l.lines[i].seen = true
				return line
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("never logged %q about %s; the log:\n%s", what, peer, l.dump())
		}
		l.changed.Wait()
	}
}

func (l *logTap) count(what string, c class) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if line.what == what && line.class == c.String() {
			n++
		}
	}
	return n
}

func (l *logTap) dump() string {
	var b strings.Builder
	for _, line := range l.lines {
		fmt.Fprintln(&b, line.text)
	}
	return b.String()
}

// noGoroutines fails the test if goroutines are still there when all nodes are stopped. Call it first, so that its cleanup
// runs last.
func noGoroutines(t *testing.T) {
	t.Cleanup(func() {
		// gRPC's own goroutines may still be on their way out; ours may not, and Close's test checks that.
		deadline := time.Now().Add(patience)
		for {
			err := goleak.Find()
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Error(err)
				return
			}
		}
	})
}

// heartbeat, entries, forward and chunk make one message of each kind; n tells them apart.
func heartbeat(from, to, n uint64) *peerpb.Message {
	return raftMessage(&raftpb.Message{
		Type: new(raftpb.MsgHeartbeat), From: new(from), To: new(to), Term: new(uint64(1)), Commit: new(n),
	})
}

func entries(from, to, n uint64, data []byte) *peerpb.Message {
	e := &raftpb.Entry{Index: new(n + 1), Term: new(uint64(1)), Data: data}
	return raftMessage(&raftpb.Message{
		Type: new(raftpb.MsgApp), From: new(from), To: new(to), Term: new(uint64(1)), LogTerm: new(uint64(1)),
		Index: new(n), Entries: []*raftpb.Entry{e},
	})
}

func raftMessage(m *raftpb.Message) *peerpb.Message {
	return &peerpb.Message{From: m.GetFrom(), To: m.GetTo(), Body: &peerpb.Message_Raft{Raft: m}}
}

func forward(from, to, n uint64) *peerpb.Message {
	f := &peerpb.Forward{Epoch: 1, Counters: []uint64{n}, Requests: [][]byte{[]byte("request")}}
	return &peerpb.Message{From: from, To: to, Body: &peerpb.Message_Forward{Forward: f}}
}

func chunk(from, to, n uint64, data []byte) *peerpb.Message {
	c := &peerpb.SnapshotChunk{Index: 9, Term: 1, Offset: n, Total: n + 1, Data: data}
	return &peerpb.Message{From: from, To: to, Body: &peerpb.Message_SnapshotChunk{SnapshotChunk: c}}
}
