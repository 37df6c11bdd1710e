package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/internal/drill"
	"github.com/quorumkv/quorumkv/internal/drill/admin"
	"github.com/quorumkv/quorumkv/internal/fault"
)

// reconnect is how soon a drill's client tries to reach a member again: that it is back should be noticed at once.
var reconnect = grpc.WithConnectParams(grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
	MinConnectTimeout: 2 * time.Second,
})

// remoteCluster is a running cluster, with a client for each member.
type remoteCluster struct {
	members []drill.Member
	clients []*session // each of the member at its place
	token   string
}

var _ drill.Cluster = (*remoteCluster)(nil)

// reachMembers finds all members of the cluster that the endpoints belong to. A member that one of them leads to is spoken
// to there, the others at the first address that they advertise.
func reachMembers(ctx context.Context, s settings, token string) (*drillCluster, error) {
	if len(s.spec.Endpoints) == 0 {
		err := clientv3.ErrNoAvailableEndpoints
		return nil, &failure{err: err, hints: hints(err, reach{})}
	}
	list, err := s.listMembers(ctx)
	if err != nil {
		return nil, err
	}
	given, err := s.identify(ctx, list)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b *pb.Member) int { return strings.Compare(a.Name, b.Name) })
	c := &remoteCluster{token: token}
	for _, m := range list {
		if err := c.add(s, m, given[m.ID]); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	return &drillCluster{Cluster: c, close: c.close}, nil
}

// add makes a client of a member, at an endpoint that is known to be its, or else "".
func (c *remoteCluster) add(s settings, m *pb.Member, endpoint string) error {
	if endpoint == "" {
		if len(m.ClientURLs) == 0 {
			return fmt.Errorf("member %x has not been started yet; a drill needs all members", m.ID)
		}
		endpoint = m.ClientURLs[0]
	}
	client, failed := s.open([]string{endpoint}, reconnect)
	if failed != nil {
		return failed
	}
	name := m.Name
	if name == "" {
		name = strconv.FormatUint(m.ID, 16)
	}
	c.clients = append(c.clients, client)
	c.members = append(c.members, drill.Member{Name: name, ID: m.ID, Endpoint: endpoint})
	return nil
}

func (s settings) listMembers(ctx context.Context) ([]*pb.Member, error) {
	c, failed := s.open(s.spec.Endpoints)
	if failed != nil {
		return nil, failed
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, s.commandTimeout)
	defer cancel()
	r, err := c.MemberList(ctx)
	if err != nil {
		return nil, c.explain(err)
	}
	return r.Members, nil
}

// identify asks every endpoint which of the members it leads to.
func (s settings) identify(ctx context.Context, members []*pb.Member) (map[uint64]string, error) {
	endpoints := s.spec.Endpoints
	ids, errs := make([]uint64, len(endpoints)), make([]error, len(endpoints))
	var questions sync.WaitGroup
	for i, endpoint := range endpoints {
		questions.Go(func() { ids[i], errs[i] = s.memberAt(ctx, endpoint) })
	}
	questions.Wait()
	given := map[uint64]string{}
	for i, id := range ids {
		switch {
		case errs[i] != nil:
			return nil, errs[i]
		case !slices.ContainsFunc(members, func(m *pb.Member) bool { return m.ID == id }):
			return nil, fmt.Errorf("%s leads to member %x, which is none of the cluster that the other endpoints belong to; "+
				"name endpoints of one cluster", endpoints[i], id)
		case given[id] == "":
			given[id] = endpoints[i]
		}
	}
	return given, nil
}

func (s settings) memberAt(ctx context.Context, endpoint string) (uint64, error) {
	c, failed := s.open([]string{endpoint})
	if failed != nil {
		return 0, failed
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, s.commandTimeout)
	defer cancel()
	r, err := c.Status(ctx, endpoint)
	if err != nil {
		return 0, c.explain(err)
	}
	return r.Header.MemberId, nil
}

// Members implements drill.Cluster.
func (c *remoteCluster) Members() []drill.Member { return c.members }

// Client implements drill.Cluster.
func (c *remoteCluster) Client(i int) *clientv3.Client { return c.clients[i].Client }

var errNoToken = errors.New("it wants its drill token: give it with --drills-token, or in QUORUMCTL_DRILLS_TOKEN; " +
	"it is the server's --drills-token, or else what the server logged when it started")

// SetFaults implements drill.Cluster.
func (c *remoteCluster) SetFaults(ctx context.Context, i int, rules fault.Rules, ttl time.Duration) error {
	err := admin.SetFaults(ctx, c.clients[i].ActiveConnection(), c.token, rules, ttl)
	if c.token == "" && errors.Is(err, admin.ErrToken) {
		return errNoToken
	}
	return err
}

// Processes implements drill.Cluster.
func (c *remoteCluster) Processes() drill.Processes { return nil }

func (c *remoteCluster) close() error {
	var errs []error
	for _, client := range c.clients {
		errs = append(errs, client.Close())
	}
	return errors.Join(errs...)
}
