package transport

import (
	"fmt"
	"testing"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// benchLink returns two linked nodes; the second counts what it gets into a channel.
func benchLink(b *testing.B, receive func(*peerpb.Message)) *node {
	b.Helper()
	a := startNode(b, 1, "127.0.0.1:0", func(_ *Config, w *timing) { w.pingEvery = defaultTiming.pingEvery })
	other := startNode(b, 2, "127.0.0.1:0", func(c *Config, w *timing) {
		c.Receive = func(_ peerpb.Boot, m *peerpb.Message) { receive(m) }
		w.pingEvery = defaultTiming.pingEvery
	})
	link(a, other)
	return a
}

// BenchmarkThroughput sends as fast as messages arrive, with at most half a queue under way.
func BenchmarkThroughput(b *testing.B) {
	batch := func(count, size int) *peerpb.Message {
		m := &raftpb.Message{
			Type: new(raftpb.MsgApp), From: new(uint64(1)), To: new(uint64(2)), Term: new(uint64(1)),
			LogTerm: new(uint64(1)), Index: new(uint64(0)),
		}
		for i := range uint64(count) {
			m.Entries = append(m.Entries, &raftpb.Entry{Index: new(i + 1), Term: new(uint64(1)), Data: make([]byte, size)})
		}
		return raftMessage(m)
	}
	for _, c := range []struct {
		name string
		m    *peerpb.Message
	}{
		{"heartbeat", heartbeat(1, 2, 3)},
		{"entry-300B", batch(1, 300)},
		{"entries-16x300B", batch(16, 300)},
		{"entry-64KiB", batch(1, 64<<10)},
	} {
		b.Run(c.name, func(b *testing.B) {
			_, maxBytes := classOf(c.m).limits()
			window := min(1024, maxBytes/2/weightOf(c.m))
			arrived := make(chan struct{}, window)
			a := benchLink(b, func(*peerpb.Message) { arrived <- struct{}{} })
			b.ReportAllocs()
			b.SetBytes(int64(weightOf(c.m)))
			b.ResetTimer()
			for i := range b.N {
				if i >= window {
					<-arrived
				}
				a.Send(2, c.m)
			}
			for range min(b.N, window) {
				<-arrived
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			if n := a.metric("etcd_network_peer_sent_failures_total", "2"); n != 0 {
				b.Errorf("%v messages dropped", n)
			}
		})
	}
}

// BenchmarkOneWay is the time from Send to Receive when nothing else is under way.
func BenchmarkOneWay(b *testing.B) {
	for _, size := range []int{0, 16 << 10} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			arrived := make(chan struct{}, 1)
			a := benchLink(b, func(*peerpb.Message) { arrived <- struct{}{} })
			m := entries(1, 2, 3, make([]byte, size))
			b.ReportAllocs()
			for b.Loop() {
				a.Send(2, m)
				<-arrived
			}
		})
	}
}

func BenchmarkSendToNobody(b *testing.B) {
	a := startNode(b, 1, "127.0.0.1:0")
	a.SetPeers([]Peer{{ID: 2}})
	m := heartbeat(1, 2, 3)
	b.ReportAllocs()
	for b.Loop() {
		a.Send(2, m)
	}
}
