package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cheggaaa/pb/v3"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/mirror"
)

// countInterval is the time between two lines on standard output that say how many changes were mirrored.
const countInterval = 30 * time.Second

// mirrorer copies from one cluster to another: first the keys as they are at one revision, then all changes since, in
// the order of their revisions and one revision in one transaction where that fits.
type mirrorer struct {
	app                 *app
	source, destination *session
	prefix, destPrefix  string // of a key there and here
	start               int64  // mirror the changes after this revision; 0: copy everything first
	maxTxnOps           int    // 0: no limit

	total int64            // keys written or deleted
	done  int64            // revision up to which the destination is known to be complete, 0 when it is not known
	bar   *pb.ProgressBar  // total for a person
	tick  <-chan time.Time // when to print total
}

func newMirrorer(a *app, f mirrorFlags, source, destination *session) *mirrorer {
	destPrefix := f.destPrefix
	if destPrefix == "" && !f.noDestPrefix {
		destPrefix = f.prefix
	}
	start := max(f.rev-1, 0)
	return &mirrorer{
		app: a, source: source, destination: destination, prefix: f.prefix, destPrefix: destPrefix,
		start: start, done: start, maxTxnOps: int(f.maxTxnOps),
	}
}

// run does not return nil: a mirror is never finished. A signal ends it between two requests to the destination.
func (m *mirrorer) run(stop *stopSignal) error {
	ctx, cancel := context.WithCancel(stop.ctx)
	defer cancel()
	f := m.mirror(ctx)
	if stop.ctx.Err() != nil {
		f = failf(stop.exitCode(), "interrupted") // whatever it broke off
		m.app.endedBy = stop.got                  // as etcdctl's, which knows no signals
	}
	if m.done > 0 && !errors.Is(f, rpctypes.ErrCompacted) {
		f.hint("to go on from there: --rev %d", m.done+1)
	}
	return f
}

func (m *mirrorer) mirror(ctx context.Context) *failure {
	ticker := time.NewTicker(countInterval)
	defer ticker.Stop()
	m.tick = ticker.C
	syncer := mirror.NewSyncer(m.source.Client, m.prefix, m.start)
	if m.start == 0 {
		if f := m.copyAll(ctx, syncer); f != nil {
			return f
		}
	}
	return m.follow(ctx, syncer.SyncUpdates(ctx))
}

// copyAll writes all keys as they are at a revision that the syncer chooses, and then begins its updates with.
func (m *mirrorer) copyAll(ctx context.Context, syncer mirror.Syncer) *failure {
	pages, failed := syncer.SyncBase(ctx)
	for page := range pages {
		if m.bar == nil { // the count of the first page is that of all keys
			m.bar = m.app.progress("copied keys:", page.Count)
			defer m.bar.Finish()
		}
		for _, kv := range page.Kvs {
			if f := m.write(ctx, 1, clientv3.OpPut(m.translate(kv.Key), string(kv.Value))); f != nil {
				return f
			}
		}
	}
	if err := <-failed; err != nil {
		return m.source.explain(err)
	}
	return nil
}

// follow repeats changes until the source or the destination fails.
func (m *mirrorer) follow(ctx context.Context, updates clientv3.WatchChan) *failure {
	m.bar = m.app.progress("mirrored changes:", 0)
	defer m.bar.Finish()
	for {
		select {
		case <-m.tick:
			m.printTotal()
		case r, ok := <-updates:
			if !ok {
				return failf(exitError, "the source ended the watch")
			}
			if err := r.Err(); err != nil {
				return m.lost(err)
			}
			if f := m.repeat(ctx, r.Events); f != nil {
				return f
			}
		}
	}
}

func (m *mirrorer) lost(err error) *failure {
	f := m.source.explain(err)
	if errors.Is(err, rpctypes.ErrCompacted) {
		f.hints = []string{"the source has removed changes that were not mirrored yet; start without --rev, which copies " +
			"everything anew"}
	}
	return f
}

// repeat makes the changes of whole revisions in the destination.
func (m *mirrorer) repeat(ctx context.Context, events []*clientv3.Event) *failure {
	var ops []clientv3.Op
	for i, ev := range events {
		if ev.Type == mvccpb.Event_DELETE {
			ops = append(ops, clientv3.OpDelete(m.translate(ev.Kv.Key)))
		} else {
			ops = append(ops, clientv3.OpPut(m.translate(ev.Kv.Key), string(ev.Kv.Value)))
		}
		last := i+1 == len(events) || events[i+1].Kv.ModRevision != ev.Kv.ModRevision
		if !last && len(ops) != m.maxTxnOps {
			continue
		}
		if f := m.write(ctx, len(ops), clientv3.OpTxn(nil, ops, nil)); f != nil {
			return f
		}
		ops = nil
		if last {
			m.done = ev.Kv.ModRevision
		}
	}
	return nil
}

// write executes a request in the destination that writes or deletes so many keys, unless ctx has ended: what has begun
// is better known to be done.
func (m *mirrorer) write(ctx context.Context, keys int, op clientv3.Op) *failure {
	if ctx.Err() != nil {
		return m.source.explain(ctx.Err())
	}
	request, cancel := m.destination.context()
	defer cancel()
	if _, err := m.destination.Do(request, op); err != nil {
		return m.destination.explain(err)
	}
	m.total += int64(keys)
	m.bar.Add(keys)
	select {
	case <-m.tick:
		m.printTotal()
	default:
	}
	return nil
}

func (m *mirrorer) printTotal() {
	fmt.Fprintln(m.app.stdout, m.total)
	m.app.stdout.Flush()
}

// translate puts the destination's prefix in place of the source's.
func (m *mirrorer) translate(key []byte) string {
	return m.destPrefix + strings.TrimPrefix(string(key), m.prefix)
}
