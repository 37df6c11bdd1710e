package apply

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// The scripts in testdata show what commands do and answer. Requests are written as text protobuf, one per line:
//
//	apply      InternalRaftRequests, one entry for all of them; prints their results
//	range      RangeRequests, answered from the newest view
//	read-txn   TxnRequests, answered from the newest view
//	read-only  TxnRequests; prints whether they need the log, and whether they need the leader
//	flush      makes the state durable
//	reopen     loses what was not flushed
//	compact    physical compaction to its end
//	dump       the whole logical state
//
// After every block the machine that asked for nothing must have the same history: results and no results come from the
// same steps. Rewrite the expectations with: go test ./storage/apply -run TestScripts -rewrite
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		r := newRig(t, RequestID{Member: 1, Epoch: 1})
		silent := newRig(t, RequestID{})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return runScript(t, d, r, silent)
		})
	})
}

func runScript(t *testing.T, d *datadriven.TestData, r, silent *rig) string {
	var b strings.Builder
	lines := strings.Split(strings.TrimSpace(d.Input), "\n")
	switch d.Cmd {
	case "apply":
		requests := make([]*pb.InternalRaftRequest, len(lines))
		for i, line := range lines {
			requests[i] = &pb.InternalRaftRequest{}
			parse(t, d, line, requests[i])
		}
		counter := r.next
		for _, result := range r.commit(requests...) {
			b.WriteString(printResult(result))
		}
		cmds := make([]Command, len(requests))
		for i, req := range requests {
			id := RequestID{Member: r.self.Member, Epoch: r.self.Epoch, Counter: counter + uint64(i)}
			cmds[i] = Command{ID: id, Request: mustMarshal(req)}
		}
		if got := silent.commitBatch(cmds); len(got) != 0 {
			d.Fatalf(t, "%d results for nobody", len(got))
		}
		if got, want := silent.m.HistoryHash(), r.m.HistoryHash(); got != want {
			d.Fatalf(t, "history %x without results, %x with them", got, want)
		}
	case "range":
		for _, line := range lines {
			req := &pb.RangeRequest{}
			parse(t, d, line, req)
			if resp, err := Range(r.m.View().KV, req); err != nil {
				fmt.Fprintf(&b, "error: %v\n", err)
			} else {
				b.WriteString(printRange(resp))
			}
		}
	case "read-txn", "read-only":
		for _, line := range lines {
			req := &pb.TxnRequest{}
			parse(t, d, line, req)
			if d.Cmd == "read-only" {
				fmt.Fprintf(&b, "read-only=%t serializable=%t\n", TxnIsReadOnly(req), TxnIsSerializable(req))
			} else if resp, err := Txn(r.m.View().KV, req); err != nil {
				fmt.Fprintf(&b, "error: %v\n", err)
			} else {
				b.WriteString(printTxn(resp, ""))
			}
		}
	case "flush":
		r.flush()
	case "reopen":
		r.reopen()
	case "compact":
		for !r.m.CompactStep() {
		}
		r.flush()
	case "dump":
		return r.dump()
	default:
		d.Fatalf(t, "unknown command %q", d.Cmd)
	}
	return b.String()
}

func parse(t *testing.T, d *datadriven.TestData, line string, m proto.Message) {
	if err := prototext.Unmarshal([]byte(line), m); err != nil {
		d.Fatalf(t, "parse %s: %v", line, err)
	}
}
