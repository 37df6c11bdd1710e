package drill

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/internal/drill/report"
	"github.com/quorumkv/quorumkv/internal/fault"
)

const (
	// askLimit is how long a member may take for an answer before and after the drill.
	askLimit = 3 * time.Second
	// lagLimit is how many entries a member may be behind another and still count as healthy.
	lagLimit = 5000
)

// preflight refuses to drill a cluster that is not well: it would not be known what the drill did to it. It returns the
// store's revision.
func (r *run) preflight(ctx context.Context) (revision int64, err error) {
	r.show.phase("checking that the cluster is healthy")
	if r.scenario.NeedsProcesses && r.cluster.Processes() == nil {
		return 0, fmt.Errorf("%s kills or stops members, which only works on a cluster of its own: use --local 3", r.scenario.Name)
	}
	if len(r.members) < 3 {
		return 0, fmt.Errorf("the cluster has %d members: a drill needs 3 or more, so that one may fail", len(r.members))
	}
	if err := r.healthy(ctx); err != nil {
		return 0, err
	}
	for i, m := range r.members {
		if err := r.setFaults(ctx, i, fault.Rules{}, time.Second); err != nil {
			return 0, fmt.Errorf("set faults on %s (%s): %w", m.Name, m.Endpoint, err)
		}
	}
	if err := r.leftovers(ctx); err != nil {
		return 0, err
	}
	return r.ask(ctx, 0)
}

// leftovers notes the keys of drills that were killed before they could clean up. Somebody else's drill may be under way, so
// they are left alone.
func (r *run) leftovers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	g, err := r.client(0).Get(ctx, Prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return unhealthy(r.members[0], err)
	}
	if g.Count > 0 {
		r.note("Other drills have left %s: if none is under way, remove them with quorumctl del --prefix %s.",
			report.Several(int(g.Count), "key", "keys"), Prefix)
	}
	return nil
}

// healthy asks every member: all answer, follow one leader, complain about nothing, are caught up and serve reads.
func (r *run) healthy(ctx context.Context) error {
	r.versions = nil
	var leader, cluster uint64
	var follows string
	var lowest, highest uint64
	for i, m := range r.members {
		s, err := r.status(ctx, i)
		if err != nil {
			return unhealthy(m, err)
		}
		switch {
		case len(s.Errors) > 0:
			return unhealthy(m, errors.New(strings.Join(s.Errors, "; ")))
		case s.Leader == 0:
			return unhealthy(m, errors.New("it knows no leader"))
		case i > 0 && s.Leader != leader:
			return unhealthy(m, fmt.Errorf("it follows %x, and %s follows %x", s.Leader, follows, leader))
		case i > 0 && s.Header.ClusterId != cluster:
			return unhealthy(m, fmt.Errorf("it belongs to cluster %x, and %s to %x", s.Header.ClusterId, follows, cluster))
		case s.Header.MemberId != m.ID:
			return unhealthy(m, fmt.Errorf("member %x answers there, not %x", s.Header.MemberId, m.ID))
		}
		r.versions = append(r.versions, s.Version)
		leader, cluster, follows = s.Leader, s.Header.ClusterId, m.Name
		if i == 0 || s.RaftAppliedIndex < lowest {
			lowest = s.RaftAppliedIndex
		}
		highest = max(highest, s.RaftAppliedIndex)
	}
	if highest-lowest > lagLimit {
		return fmt.Errorf("the cluster is not healthy: a member is %d entries behind another; wait until it has caught up",
			highest-lowest)
	}
	for i := range r.members {
		if _, err := r.ask(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func unhealthy(m Member, err error) error {
	return fmt.Errorf("the cluster is not healthy: %s (%s): %w; a drill starts on a healthy cluster only", m.Name, m.Endpoint, err)
}

func (r *run) status(ctx context.Context, i int) (*pb.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	s, err := r.client(i).Status(ctx, r.client(i).Endpoints()[0])
	return (*pb.StatusResponse)(s), err
}

// ask makes a linearizable read and returns the store's revision.
func (r *run) ask(ctx context.Context, i int) (revision int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	g, err := r.client(i).Get(ctx, r.prefix)
	if err != nil {
		return 0, unhealthy(r.members[i], err)
	}
	return g.Header.Revision, nil
}
