package load

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		kind history.Kind
		err  error
		want history.Outcome
	}{
		{history.Put, nil, history.OK},
		{history.Put, rpctypes.ErrGRPCNoSpace, history.Refused},
		{history.Put, rpctypes.ErrGRPCTimeout, history.Unknown},
		{history.Put, rpctypes.ErrGRPCNoLeader, history.Unknown},
		{history.Swap, context.DeadlineExceeded, history.Unknown},
		{history.Delete, status.Error(codes.Unavailable, "error reading from server: EOF"), history.Unknown},
		{history.Get, rpctypes.ErrGRPCTimeout, history.Refused}, // a read leaves nothing behind
		{history.Stale, context.DeadlineExceeded, history.Refused},
	} {
		if got := outcome(c.kind, c.err); got != c.want {
			t.Errorf("%s ends with %v: %s, want %s", c.kind, c.err, got, c.want)
		}
	}
}

// TestNeverSent asks where nobody listens: such a write has certainly no effect.
func TestNeverSent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{l.Addr().String()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	op := &history.Op{Kind: history.Put, Key: "k", Value: "v"}
	if err := do(ctx, c, op); err == nil || outcome(op.Kind, err) != history.Refused {
		t.Errorf("a write that found nobody ends with %v, which counts as %s", err, outcome(op.Kind, err))
	}
}

// TestRecorder lets many record at once, and looks whether all is there.
func TestRecorder(t *testing.T) {
	w := &counting{}
	r := NewRecorder("p/", []string{"n1", "n2"}, 7, w)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			name := []string{"n1", "n2"}[i%2]
			place := r.Open(history.Watch{Watcher: i, Member: name})
			for n := range 100 {
				op := &history.Op{Client: i, Member: name, Kind: []history.Kind{history.Put, history.Get}[n%2], Outcome: history.OK}
				r.Begin(op)
				if n%10 == 0 { // puts
					op.Outcome = history.Refused
				}
				r.End(op)
				r.Batch(place, history.Batch{Revision: int64(n), Events: []history.Event{{Revision: int64(n)}}})
				r.Poll(history.Poll{Member: name, Term: uint64(n)})
			}
			r.Closed(place, "")
		})
	}
	group.Wait()
	h, ids := r.History(), map[int]bool{}
	for _, op := range h.Ops {
		ids[op.ID] = true
		if op.End < op.Begin {
			t.Errorf("operation %d ends before it begins", op.ID)
		}
	}
	if len(h.Ops) != 800 || len(ids) != 800 {
		t.Errorf("%d operations with %d ids, want 800", len(h.Ops), len(ids))
	}
	if len(h.Watches) != 8 || len(h.Watches[3].Batches) != 100 || h.Watches[3].Batches[0].Events[0].At == 0 {
		t.Errorf("%d watches", len(h.Watches))
	}
	totals := r.Totals()
	if totals.Writes != 320 || totals.Reads != 400 || totals.Errors != 80 || totals.Refused != 80 || totals.Members["n1"].OK != 360 {
		t.Errorf("totals %+v", totals)
	}
	if w.ops != 800 || w.batches != 800 || w.polls != 800 {
		t.Errorf("the witness saw %+v", w)
	}
	if look := r.Look(); len(look) != 2 || look["n2"].Term != 99 {
		t.Errorf("last polls %+v", look)
	}
	if r.First() != 7 {
		t.Errorf("first revision %d", r.First())
	}
}

// counting counts what it is told, one call at a time: the race detector would tell.
type counting struct{ ops, batches, polls int }

func (c *counting) Op(*history.Op)                      { c.ops++ }
func (c *counting) Batch(*history.Watch, history.Batch) { c.batches++ }
func (c *counting) Closed(*history.Watch)               {}
func (c *counting) Poll(history.Poll)                   { c.polls++ }
