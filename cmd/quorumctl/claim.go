package main

import (
	"context"

	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

// defaultTTL is the time to live, in seconds, of a claim for which the user does not say any.
const defaultTTL = 60

// claim grants a lease and renews it from now on: a lock or a candidacy lasts as long as it does. The grant must
// succeed within the command's timeout; later on there is none.
func (s *session) claim(ctx context.Context, ttl int) (*concurrency.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, s.settings.commandTimeout)
	defer cancel()
	lease, err := s.Grant(ctx, int64(ttl))
	if err != nil {
		return nil, s.explain(err)
	}
	claim, err := concurrency.NewSession(s.Client, concurrency.WithLease(lease.ID))
	if err != nil {
		return nil, s.explain(err)
	}
	return claim, nil
}

// release gives the lease of a claim back, so that nothing of it is left. A server that cannot be reached lets the lease
// expire.
func (s *session) release(claim *concurrency.Session) {
	select {
	case <-claim.Done():
		return
	default:
	}
	claim.Orphan()
	ctx, cancel := s.context()
	defer cancel()
	s.Revoke(ctx, claim.Lease())
}

// printKey prints a key that was just put. Not to find it is an error.
func (a *app) printKey(s *session, ctx context.Context, key string, printer output.KV, missing string) error {
	r, err := s.Get(ctx, key)
	if err != nil {
		return s.explain(err)
	}
	if len(r.Kvs) == 0 {
		return failf(exitError, "%s", missing)
	}
	if err := printer.Get(r); err != nil {
		return err
	}
	return a.stdout.Flush()
}
