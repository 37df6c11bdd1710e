package raftnode_test

import (
	"fmt"
	"testing"

	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/apply"
)

// BenchmarkProposeToApply measures what a put costs three nodes in one goroutine, from its proposal at the leader until
// its answer: encoding, raft, the log's frames, messages between nodes and apply, without disk, network and gRPC. A
// batch is proposed in one turn of the loop. Divide by its size for the cost of one put.
func BenchmarkProposeToApply(b *testing.B) {
	for _, batch := range []int{1, 1_000} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			c := newCluster(b, 3, raftnode.Config{})
			c.tick(10, c.nodes...)
			leader := c.node(1)
			request := putRequest("key-0001", string(make([]byte, 256)))
			answers := 0
			done := func(_ apply.Response, err error) {
				if err != nil {
					b.Fatal(err)
				}
				answers++
			}
			turns := 0
			b.ReportAllocs()
			for b.Loop() {
				for range batch {
					leader.raft.Propose(&raftnode.Proposal{Request: request, Done: done})
				}
				c.settle()
				if turns++; turns*batch >= 2_000 { // commits to the state file and compactions are part of the cost
					turns = 0
					c.tick(1, c.nodes...)
				}
			}
			if answers != b.N*batch {
				b.Fatalf("%d answers to %d puts", answers, b.N*batch)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(answers), "ns/put")
		})
	}
}
