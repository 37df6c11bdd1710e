package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/internal/drill/check"
	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/load"
)

const (
	// finishLimit is how long it may take to read what the store says in the end.
	finishLimit = 30 * time.Second
	// cleanLimit is how long the keys and leases of the drill may take to go.
	cleanLimit = 10 * time.Second
)

// finish ends the load and reads what the store says happened: from here on nothing is written.
func (r *run) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishLimit)
	defer cancel()
	r.show.phase("waiting for the last answers")
	r.show.loadEnds()
	r.load.StopRequests()
	r.show.phase("reading the history")
	if err := r.awaitWell(ctx, r.rec.Now()); err != nil {
		r.note("Not all members served in the end: %v.", err)
	}
	last, err := r.mark(ctx)
	if err != nil {
		r.note("The last write was not acknowledged, so the end of the history is not known: %v.", err)
		r.load.Stop()
		return
	}
	r.rec.Edit(func(h *history.History) { h.Last = last })
	caughtUp, stop := context.WithTimeout(ctx, askLimit+7*time.Second)
	if behind := r.load.AwaitWatchers(caughtUp, last); behind > 0 {
		r.note("%d watchers had not seen everything when the drill ended.", behind)
	}
	stop()
	r.load.Stop()
	r.truth(ctx, last)
	for i := range r.members {
		r.dump(ctx, i, last)
	}
}

// claims reads what the logs of our own processes say about leaders.
func (r *run) claims() {
	if r.cluster.Processes() == nil {
		return
	}
	for i, m := range r.members {
		claims, err := readClaims(r.cluster.Processes().Log(i))
		if err != nil {
			r.note("The log of %s could not be read: %v.", m.Name, err)
		}
		for k := range claims {
			claims[k].Member = m.Name
		}
		r.rec.Edit(func(h *history.History) { h.Claims = append(h.Claims, claims...) })
	}
}

func readClaims(path string) ([]history.Claim, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return check.Leaders(f)
}

// mark writes the last change of the drill, as often as it takes, and returns its revision.
func (r *run) mark(ctx context.Context) (revision int64, err error) {
	key := r.prefix + "end"
	for n := 1; ctx.Err() == nil; n++ {
		i := n % len(r.members)
		op := &history.Op{Member: r.members[i].Name, Kind: history.Put, Key: key, Value: fmt.Sprintf("end-%d", n)}
		asking, cancel := context.WithTimeout(ctx, askLimit)
		r.rec.Begin(op)
		var put *clientv3.PutResponse
		put, err = r.client(i).Put(asking, op.Key, op.Value)
		cancel()
		op.Outcome = history.Unknown
		if err == nil {
			op.Outcome, op.Revision, op.Term = history.OK, put.Header.Revision, put.Header.RaftTerm
		} else {
			op.Error = err.Error()
		}
		r.rec.End(op)
		if err == nil {
			return op.Revision, nil
		}
	}
	return 0, errors.Join(err, ctx.Err())
}

// truth reads every change from one member, or from the next when that fails.
func (r *run) truth(ctx context.Context, last int64) {
	from := r.rec.First() + 1
	var err error
	for n := 0; n < 2*len(r.members) && ctx.Err() == nil; n++ {
		i := n % len(r.members)
		var events []history.Event
		err = load.Follow(ctx, r.client(i), r.prefix, from, func(b history.Batch) bool {
			events = append(events, b.Events...)
			return len(b.Events) == 0 || b.Events[len(b.Events)-1].Revision < last
		})
		if err == nil {
			r.rec.Edit(func(h *history.History) { h.Truth = events })
			return
		}
		if compacted, ok := r.compacted(ctx, i); ok && compacted >= from {
			from = compacted + 1
			r.rec.Edit(func(h *history.History) { h.Compacted = compacted })
			r.note("Somebody compacted the store at revision %d during the drill: what was before that cannot be checked.", compacted)
		}
	}
	r.note("The history could not be read: %v.", err)
}

// compacted is the revision up to which the store is compacted.
func (r *run) compacted(ctx context.Context, i int) (revision int64, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	_, err := r.client(i).Get(ctx, r.prefix, clientv3.WithRev(1))
	if !errors.Is(err, rpctypes.ErrCompacted) {
		return 0, false
	}
	h, err := r.client(i).HashKV(ctx, r.client(i).Endpoints()[0], 0)
	if err != nil {
		return 0, false
	}
	return h.CompactRevision, true
}

// dump reads what a member has at a revision, and hashes it.
func (r *run) dump(ctx context.Context, i int, at int64) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	name := r.members[i].Name
	g, err := r.client(i).Get(ctx, r.prefix, clientv3.WithPrefix(), clientv3.WithRev(at), clientv3.WithSerializable())
	if err != nil {
		r.note("The keys of %s could not be read in the end: %v.", name, err)
		return
	}
	hash, err := r.client(i).HashKV(ctx, r.client(i).Endpoints()[0], at)
	if err != nil {
		r.note("The hash of %s could not be read: %v.", name, err)
	}
	r.rec.Edit(func(h *history.History) {
		if h.Dumps == nil {
			h.Dumps = map[string][]history.Event{}
		}
		h.Dumps[name] = []history.Event{}
		for _, kv := range g.Kvs {
			h.Dumps[name] = append(h.Dumps[name], history.Event{
				Revision: kv.ModRevision, Key: string(kv.Key), Value: string(kv.Value), Lease: kv.Lease,
				Created: kv.CreateRevision, Version: kv.Version,
			})
		}
		if err == nil {
			h.Hashes = append(h.Hashes, history.Hash{Member: name, Revision: at, Compact: hash.CompactRevision, Hash: hash.Hash})
		}
	})
}

// cleanUp removes what the drill wrote. Leases end by themselves where this fails.
func (r *run) cleanUp(leases []history.Lease) {
	r.show.phase("cleaning up")
	ctx, cancel := context.WithTimeout(context.Background(), cleanLimit)
	defer cancel()
	var err error
	for n := 0; n < 2*len(r.members) && ctx.Err() == nil; n++ {
		asking, stop := context.WithTimeout(ctx, askLimit)
		_, err = r.client(n%len(r.members)).Delete(asking, r.prefix, clientv3.WithPrefix())
		stop()
		if err == nil {
			break
		}
	}
	if err != nil {
		r.note("The drill's keys could not be removed: %v. They begin with %s.", err, r.prefix)
	}
	for _, l := range leases {
		if err != nil || ctx.Err() != nil {
			return
		}
		asking, stop := context.WithTimeout(ctx, askLimit)
		_, revokeErr := r.client(0).Revoke(asking, clientv3.LeaseID(l.ID))
		stop()
		if revokeErr != nil && !errors.Is(revokeErr, rpctypes.ErrLeaseNotFound) {
			return // the others end by themselves as well
		}
	}
}
