package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// keeper has a lease with a key, and keeps it alive wherever a member answers; or lets it end, and takes another.
type keeper struct {
	load   *Load
	client int // its number among the clients, for the put of the key
	rng    *rand.Rand
	ends   bool // it lets its leases end
	leases int
}

func (k *keeper) run(ctx context.Context, n int) {
	for ctx.Err() == nil {
		k.leases++
		if l, ok := k.grant(ctx, fmt.Sprintf("%slease/%02d-%d", k.load.cfg.Prefix, n, k.leases)); ok {
			k.keep(ctx, l)
		}
		if !wait(ctx, standBack) {
			return
		}
	}
}

// kept is a lease as it is kept.
type kept struct {
	id    int64
	ttl   time.Duration
	place int // in the history
}

// grant takes a lease and attaches a key. Whoever has no certain answer asks for another one.
func (k *keeper) grant(ctx context.Context, key string) (kept, bool) {
	t := k.load.cfg.Targets[k.rng.IntN(len(k.load.cfg.Targets))]
	request, cancel := context.WithTimeout(context.Background(), k.load.cfg.Timeout)
	defer cancel()
	asked := k.load.rec.Now()
	// On the bare connection: etcd's client would ask again and again.
	leases := pb.NewLeaseClient(t.Client.ActiveConnection())
	r, err := leases.LeaseGrant(request, &pb.LeaseGrantRequest{TTL: int64(k.load.cfg.LeaseTTL / time.Second)})
	if err != nil || ctx.Err() != nil {
		return kept{}, false
	}
	ttl := time.Duration(r.TTL) * time.Second
	op := &history.Op{
		Client: k.client, Member: t.Name, Kind: history.Put, Key: key, Value: fmt.Sprintf("%d-%d", k.client, k.leases), Lease: r.ID,
	}
	l := kept{id: r.ID, ttl: ttl}
	l.place = k.load.rec.Lease(history.Lease{ID: l.id, TTL: ttl, Key: key, Asked: asked, Granted: k.load.rec.Now()})
	put, cancelPut := context.WithTimeout(context.Background(), k.load.cfg.Timeout)
	defer cancelPut()
	k.load.rec.Begin(op)
	err = do(put, t.Client, op)
	op.Outcome = outcome(op.Kind, err)
	if errors.Is(rpctypes.Error(err), rpctypes.ErrLeaseNotFound) {
		op.Outcome = history.Refused
	}
	if err != nil {
		op.Error = err.Error()
	}
	k.load.rec.End(op)
	return l, true
}

// keep renews a lease three times in its TTL, on one member after the other, until it is gone or was renewed enough.
func (k *keeper) keep(ctx context.Context, l kept) {
	limit := -1
	if k.ends {
		limit = k.rng.IntN(3)
	}
	m := k.rng.IntN(len(k.load.cfg.Targets))
	for n := 0; n != limit && ctx.Err() == nil; n++ {
		if !wait(ctx, l.ttl/3) {
			return
		}
		deadline := time.Now().Add(l.ttl / 2)
		for {
			confirmed, gone := k.renew(l, m)
			if gone {
				return
			}
			if confirmed || time.Now().After(deadline) || !wait(ctx, standBack) {
				break
			}
			m = (m + 1) % len(k.load.cfg.Targets)
		}
	}
	if k.ends {
		wait(ctx, l.ttl+2*time.Second)
	}
}

func (k *keeper) renew(l kept, member int) (confirmed, gone bool) {
	t := k.load.cfg.Targets[member]
	ctx, cancel := context.WithTimeout(context.Background(), l.ttl/6)
	defer cancel()
	n := history.Renewal{Member: t.Name, Begin: k.load.rec.Now()}
	r, err := t.Client.KeepAliveOnce(ctx, clientv3.LeaseID(l.id))
	switch {
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		n.Gone = true
	case err != nil:
		n.Error = err.Error()
	default:
		n.Confirmed, n.Gone = r.TTL > 0, r.TTL <= 0
	}
	k.load.rec.Renewal(l.place, n)
	return n.Confirmed, n.Gone
}
