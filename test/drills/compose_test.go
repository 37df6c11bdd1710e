package drills

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/internal/drill"
	"github.com/quorumkv/quorumkv/internal/fault"
	"github.com/quorumkv/quorumkv/test/cluster"
)

// startLimit is how long the members may take until they serve, counted from when the engine has started them.
const startLimit = time.Minute

// composeCluster is a cluster that docker-compose started from deploy/docker-compose.yml. Its one fault is a member that is
// off the peers' network; the members' own fault rules are not used.
type composeCluster struct {
	t          *testing.T
	project    string
	network    string // id of the peers' network
	members    []drill.Member
	containers []container
	clients    []*clientv3.Client

	mu   sync.Mutex
	ends []*time.Timer // of a member's faults; nil while it has none
}

type container struct {
	id      string
	aliases []string // on the peers' network
}

var _ drill.Cluster = (*composeCluster)(nil)

// openCluster finds the cluster of the compose project that the environment names, and waits until it serves. In the end
// all its members are on their network again.
func openCluster(t *testing.T) *composeCluster {
	t.Helper()
	project := os.Getenv("QUORUMKV_DRILL_PROJECT")
	if project == "" {
		t.Skip("needs a cluster in containers: make drills-docker")
	}
	c := &composeCluster{t: t, project: project}
	t.Cleanup(c.close)
	if err := c.find(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range c.members {
		if err := c.awaitMember(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// find asks the engine, not compose, of which there are two with different names for everything.
func (c *composeCluster) find(ctx context.Context) (err error) {
	const peers, service = "label=com.docker.compose.network=peers", "com.docker.compose.service"
	project := "label=com.docker.compose.project=" + c.project
	if c.network, err = dockerOne(ctx, "network", "ls", "--no-trunc", "-q", "--filter", project, "--filter", peers); err != nil {
		return err
	}
	services, err := docker(ctx, "ps", "--filter", project, "--format", `{{.Label "`+service+`"}}`)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(slices.Values(services)) {
		id, err := dockerOne(ctx, "ps", "--no-trunc", "-q", "--filter", project, "--filter", "label="+service+"="+name)
		if err != nil {
			return err
		}
		aliases, err := docker(ctx, "inspect", "-f",
			`{{range .NetworkSettings.Networks}}{{if eq .NetworkID "`+c.network+`"}}{{join .Aliases " "}}{{end}}{{end}}`, id)
		if err != nil {
			return err
		}
		endpoint, err := dockerOne(ctx, "port", id, "2379/tcp")
		if err != nil {
			return err
		}
		client, err := cluster.NewClient(endpoint)
		if err != nil {
			return fmt.Errorf("connect to %s: %w", endpoint, err)
		}
		c.containers = append(c.containers, container{id: id, aliases: aliases})
		c.members = append(c.members, drill.Member{Name: name, Endpoint: endpoint})
		c.clients = append(c.clients, client)
		c.ends = append(c.ends, nil)
	}
	return nil
}

// awaitMember waits until a member answers a linearizable read, and learns its id.
func (c *composeCluster) awaitMember(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		asking, stop := context.WithTimeout(ctx, 2*time.Second)
		got, err := c.clients[i].Get(asking, "health")
		stop()
		if err == nil {
			c.members[i].ID = got.Header.MemberId
			return nil
		}
		if !pass(ctx, 100*time.Millisecond) {
			return fmt.Errorf("%s does not serve within %v: %w", c.members[i].Name, startLimit, err)
		}
	}
}

func (c *composeCluster) Members() []drill.Member       { return c.members }
func (c *composeCluster) Client(i int) *clientv3.Client { return c.clients[i] }
func (c *composeCluster) Processes() drill.Processes    { return nil }

// SetFaults takes a member off the network, or puts it back.
func (c *composeCluster) SetFaults(ctx context.Context, i int, rules fault.Rules, ttl time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	off, err := c.off(ctx)
	if err != nil {
		return err
	}
	isolate, err := isolated(c.members, off, i, rules)
	if err != nil {
		return err
	}
	if c.ends[i] != nil {
		c.ends[i].Stop()
		c.ends[i] = nil
	}
	if !isolate {
		return c.connect(ctx, off, i)
	}
	c.ends[i] = time.AfterFunc(ttl, func() { c.expire(i) })
	if off[i] {
		return nil
	}
	_, err = docker(ctx, "network", "disconnect", c.network, c.containers[i].id)
	return err
}

// expire is for a drill that forgot to heal.
func (c *composeCluster) expire(i int) {
	if err := c.SetFaults(context.Background(), i, fault.Rules{}, 0); err != nil {
		c.t.Errorf("the time of a fault of %s is over: %v", c.members[i].Name, err)
	}
}

// off says of each member whether it is off the peers' network.
func (c *composeCluster) off(ctx context.Context) ([]bool, error) {
	on, err := docker(ctx, "network", "inspect", "-f", "{{range $id, $_ := .Containers}}{{$id}} {{end}}", c.network)
	if err != nil {
		return nil, err
	}
	off := make([]bool, len(c.containers))
	for i, container := range c.containers {
		off[i] = !slices.Contains(on, container.id)
	}
	return off, nil
}

// connect puts a member back, under the names that the others know; its address may be another.
func (c *composeCluster) connect(ctx context.Context, off []bool, i int) error {
	if !off[i] {
		return nil
	}
	args := []string{"network", "connect"}
	for _, alias := range c.containers[i].aliases {
		args = append(args, "--alias", alias)
	}
	_, err := docker(ctx, append(args, c.network, c.containers[i].id)...)
	return err
}

// address is a member's address on the peers' network, "" while it is off.
func (c *composeCluster) address(ctx context.Context, i int) (string, error) {
	words, err := docker(ctx, "network", "inspect", "-f",
		`{{with index .Containers "`+c.containers[i].id+`"}}{{.IPv4Address}}{{end}}`, c.network)
	return strings.Join(words, ""), err
}

// peerSight is what a member's metrics say about its peers.
type peerSight struct {
	known, active int
	hasLeader     bool
}

func (c *composeCluster) sight(ctx context.Context, i int) (s peerSight, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.members[i].Endpoint+"/metrics", nil)
	if err != nil {
		return s, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return s, err
	}
	defer answer.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		return s, fmt.Errorf("metrics of %s: %w", c.members[i].Name, err)
	}
	sum := func(name string) (n int) {
		for _, m := range families[name].GetMetric() {
			n += int(m.GetGauge().GetValue())
		}
		return n
	}
	s.known, s.active = sum("etcd_network_known_peers"), sum("etcd_network_active_peers")
	s.hasLeader = sum("etcd_server_has_leader") == 1
	return s, nil
}

func (c *composeCluster) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var errs []error
	for i, client := range c.clients {
		errs = append(errs, c.SetFaults(ctx, i, fault.Rules{}, 0), client.Close())
	}
	if err := errors.Join(errs...); err != nil {
		c.t.Error(err)
	}
}
