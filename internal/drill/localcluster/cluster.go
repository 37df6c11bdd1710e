// Package localcluster is a drill's own cluster: server processes on this machine, thrown away afterwards.
//
// It owns the processes and one client for each, which talks to its member alone. Invariant: nothing is left when Close has
// returned, neither a process nor a file, unless the files are to be kept.
package localcluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/quorumkv/quorumkv/internal/drill"
	"github.com/quorumkv/quorumkv/internal/fault"
	"github.com/quorumkv/quorumkv/internal/local"
)

// SetFaults is the call that replaces a member's faults.
type SetFaults func(ctx context.Context, conn grpc.ClientConnInterface, token string, rules fault.Rules, ttl time.Duration) error

// Config describes a cluster.
type Config struct {
	Server  string // executable; see local.FindServer
	Members int
	// Settings are keys of every member's configuration file: above all those that admit drills, with Token.
	Settings map[string]string
	// Token admits SetFaults.
	Token     string
	SetFaults SetFaults
	// Died, unless it is nil, hears of each process that nobody asked to end. It must not wait for the cluster.
	Died func(local.Exit)
	// Progress hears how the cluster becomes healthy.
	Progress local.Progress
}

// healthLimit bounds the start of a new, empty cluster.
const healthLimit = time.Minute

// Cluster is a local cluster of which every member has been healthy.
type Cluster struct {
	local     *local.Cluster
	members   []drill.Member
	clients   []*clientv3.Client
	setFaults SetFaults
	token     string
}

var _ drill.Cluster = (*Cluster)(nil)

// Start starts a new cluster and waits until it is healthy. When it does not become healthy its files are kept, and the
// error says where; when ctx ends, nothing is left.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	nodes, err := local.FreeNodes(cfg.Members, maps.Clone(cfg.Settings))
	if err != nil {
		return nil, err
	}
	processes, err := local.New(local.Config{Server: cfg.Server, Writer: "quorumctl drill", Nodes: nodes, Died: cfg.Died})
	if err != nil {
		return nil, err
	}
	c := &Cluster{local: processes, setFaults: cfg.SetFaults, token: cfg.Token}
	if err := c.start(ctx, cfg.Progress); err != nil {
		if ctx.Err() == nil {
			c.Keep()
		}
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, progress local.Progress) error {
	if err := c.local.Start(); err != nil {
		return err
	}
	if err := c.local.AwaitHealthy(ctx, healthLimit, progress); err != nil {
		return err
	}
	for _, n := range c.local.Nodes() {
		client, err := newClient(n.ClientAddress())
		if err != nil {
			return fmt.Errorf("make a client of %s: %w", n.Name, err)
		}
		c.clients = append(c.clients, client)
	}
	return c.findMembers(ctx)
}

// findMembers learns the members' ids, by their peer addresses: a member's name is known only once it has told it.
func (c *Cluster) findMembers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	list, err := c.clients[0].MemberList(ctx)
	if err != nil {
		return fmt.Errorf("list the members of the local cluster: %w", err)
	}
	ids := map[string]uint64{}
	for _, m := range list.Members {
		for _, url := range m.PeerURLs {
			ids[url] = m.ID
		}
	}
	for _, n := range c.local.Nodes() {
		id, ok := ids[n.PeerURL()]
		if !ok {
			return fmt.Errorf("the local cluster does not list its member %s", n.Name)
		}
		c.members = append(c.members, drill.Member{Name: n.Name, ID: id, Endpoint: n.ClientAddress()})
	}
	return nil
}

// Members implements drill.Cluster.
func (c *Cluster) Members() []drill.Member { return c.members }

// Client implements drill.Cluster.
func (c *Cluster) Client(i int) *clientv3.Client { return c.clients[i] }

// SetFaults implements drill.Cluster.
func (c *Cluster) SetFaults(ctx context.Context, i int, rules fault.Rules, ttl time.Duration) error {
	return c.setFaults(ctx, c.clients[i].ActiveConnection(), c.token, rules, ttl)
}

// Processes implements drill.Cluster.
func (c *Cluster) Processes() drill.Processes { return processes{c.local.Nodes()} }

// Dir is the folder of the members' data, logs and configuration files.
func (c *Cluster) Dir() string { return c.local.Dir() }

// Keep has Close leave that folder where it is, for someone to look into.
func (c *Cluster) Keep() { c.local.Keep() }

// Close closes the clients, kills the processes and removes their folder.
func (c *Cluster) Close() error {
	var errs []error
	for _, client := range c.clients {
		errs = append(errs, client.Close())
	}
	return errors.Join(append(errs, c.local.Close())...)
}
