package load

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// watcher follows all keys of the drill. It works on bare streams: etcd's client would resume by itself, and then nobody
// could tell what a member sent from what the client made of it.
type watcher struct {
	load   *Load
	id     int
	member int
	hops   bool // it changes members now and then, and after errors
	rng    *rand.Rand
	next   int64         // the first revision that it has not seen whole
	whole  atomic.Int64  // next - 1, for await
	moved  chan struct{} // has something in it after whole grew; room for one
}

func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		if w.hops {
			w.member = w.rng.IntN(len(w.load.cfg.Targets))
		}
		visit, cancel := ctx, context.CancelFunc(func() {})
		if w.hops {
			visit, cancel = context.WithTimeout(ctx, hopEvery/2+time.Duration(w.rng.Int64N(int64(hopEvery))))
		}
		err := w.follow(visit)
		ended := visit.Err() != nil
		cancel()
		if err != nil && !ended {
			wait(ctx, standBack)
		}
	}
}

// follow is one connection.
func (w *watcher) follow(ctx context.Context) error {
	t := w.load.cfg.Targets[w.member]
	rec := w.load.rec
	place := rec.Open(history.Watch{Watcher: w.id, Member: t.Name, Prefix: w.load.cfg.Prefix, From: w.next})
	err := Follow(ctx, t.Client, w.load.cfg.Prefix, w.next, func(b history.Batch) bool {
		rec.Batch(place, b)
		if b.Revision >= w.next && len(b.Events) == 0 {
			w.next = b.Revision + 1
		}
		for _, e := range b.Events {
			w.next = max(w.next, e.Revision+1)
		}
		w.whole.Store(w.next - 1)
		select {
		case w.moved <- struct{}{}:
		default:
		}
		return true
	})
	reason := ""
	if err != nil && ctx.Err() == nil {
		reason = err.Error()
	}
	rec.Closed(place, reason)
	return err
}

func (w *watcher) await(ctx context.Context, revision int64) bool {
	for w.whole.Load() < revision {
		select {
		case <-w.moved:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// ErrCanceled is the end of a watch that the server cancels.
var ErrCanceled = errors.New("the server canceled the watch")

// Follow watches a prefix from a revision on, and calls see with each response until that returns false (then the error
// is nil), ctx ends, or the connection does.
func Follow(ctx context.Context, c *clientv3.Client, prefix string, from int64, see func(history.Batch) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := pb.NewWatchClient(c.ActiveConnection()).Watch(ctx)
	if err != nil {
		return err
	}
	err = stream.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: &pb.WatchCreateRequest{
		Key: []byte(prefix), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(prefix)), StartRevision: from, ProgressNotify: true,
	}}})
	if err != nil {
		return err
	}
	for {
		r, err := stream.Recv()
		switch {
		case err != nil:
			return err
		case r.Canceled:
			return errors.Join(ErrCanceled, errors.New(r.CancelReason))
		case r.Created:
			continue
		}
		b := history.Batch{Revision: r.Header.Revision}
		for _, e := range r.Events {
			b.Events = append(b.Events, EventOf(e))
		}
		if !see(b) {
			return nil
		}
	}
}

// EventOf is the history's form of an event.
func EventOf(e *mvccpb.Event) history.Event {
	return history.Event{
		Revision: e.Kv.ModRevision, Key: string(e.Kv.Key), Value: string(e.Kv.Value), Deleted: e.Type == mvccpb.DELETE,
		Lease: e.Kv.Lease, Created: e.Kv.CreateRevision, Version: e.Kv.Version,
	}
}
