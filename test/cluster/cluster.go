package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Config describes a cluster. The zero value is three nodes of the selected server.
type Config struct {
	Nodes   int      // default 3
	Program Program  // default Server(t)
	Flags   []string // added to every node's command line, after the harness's own
	Token   string   // initial-cluster-token; default "quorumkv-test"
}

// Cluster is a set of nodes that know each other.
type Cluster struct {
	Nodes   []*Node
	Program Program

	t       T
	mu      sync.Mutex
	clients map[string]*clientv3.Client // by joined endpoints
}

// logLinesEnv sets how many lines of each node's log a failed test prints.
const logLinesEnv = "QUORUMKV_TEST_LOG_LINES"

// New lays out a cluster: ports, directories, command lines. No process is started.
func New(t T, cfg Config) *Cluster {
	t.Helper()
	if cfg.Nodes == 0 {
		cfg.Nodes = 3
	}
	if cfg.Program.Path == "" {
		cfg.Program = Server(t)
	}
	if cfg.Token == "" {
		cfg.Token = "quorumkv-test"
	}
	c := &Cluster{t: t, Program: cfg.Program, clients: map[string]*clientv3.Client{}}
	root := t.TempDir()
	var members []string
	for i := range cfg.Nodes {
		n := &Node{
			Name:       "n" + strconv.Itoa(i+1),
			ClientAddr: fmt.Sprintf("127.0.0.1:%d", ReservePort(t)),
			PeerAddr:   fmt.Sprintf("127.0.0.1:%d", ReservePort(t)),
			t:          t,
			program:    cfg.Program,
		}
		n.Dir = filepath.Join(root, n.Name)
		if err := os.Mkdir(n.Dir, 0o700); err != nil {
			t.Fatalf("make data directory: %v", err)
		}
		c.Nodes = append(c.Nodes, n)
		members = append(members, n.Name+"=http://"+n.PeerAddr)
	}
	for _, n := range c.Nodes {
		n.args = append([]string{
			"--name=" + n.Name,
			"--data-dir=" + n.Dir,
			"--listen-client-urls=http://" + n.ClientAddr,
			"--advertise-client-urls=http://" + n.ClientAddr,
			"--listen-peer-urls=http://" + n.PeerAddr,
			"--initial-advertise-peer-urls=http://" + n.PeerAddr,
			"--initial-cluster=" + strings.Join(members, ","),
			"--initial-cluster-state=new",
			"--initial-cluster-token=" + cfg.Token,
		}, cfg.Flags...)
		if !cfg.Program.IsEtcd() {
			n.args = append([]string{"--disk-ballast-bytes=67108864"}, n.args...) // tests share a disk
		}
	}
	t.Cleanup(c.close)
	return c
}

// Start lays out a cluster, starts it and waits until every node serves clients.
func Start(t T, cfg Config) *Cluster {
	t.Helper()
	c := New(t, cfg)
	c.StartAll()
	return c
}

// StartAll starts every node that does not run and waits until all are ready.
func (c *Cluster) StartAll() {
	c.t.Helper()
	var fresh []*Node
	for _, n := range c.Nodes {
		if !n.Running() {
			n.Start()
			fresh = append(fresh, n)
		}
	}
	for _, n := range fresh {
		n.AwaitReady()
	}
}

// KillAll sends SIGKILL to every running node before it waits for the first of them.
func (c *Cluster) KillAll() {
	c.t.Helper()
	var dying []*Node
	begin := time.Now()
	for _, n := range c.Nodes {
		if n.Running() {
			n.signal(9)
			dying = append(dying, n)
		}
	}
	for _, n := range dying {
		n.AwaitExit(begin, stopTimeout)
	}
}

// StopAll sends SIGTERM to every running node and waits for all.
func (c *Cluster) StopAll() {
	c.t.Helper()
	var leaving []*Node
	begin := time.Now()
	for _, n := range c.Nodes {
		if n.Running() {
			n.Terminate()
			leaving = append(leaving, n)
		}
	}
	for _, n := range leaving {
		n.AwaitExit(begin, stopTimeout)
	}
}

// close ends everything. Logs come last in a failed test's output, after its own messages.
func (c *Cluster) close() {
	c.mu.Lock()
	for _, client := range c.clients {
		client.Close()
	}
	c.mu.Unlock()
	for _, n := range c.Nodes {
		n.end()
	}
	if c.t.Failed() {
		lines, err := strconv.Atoi(os.Getenv(logLinesEnv))
		if err != nil {
			lines = 60
		}
		for _, n := range c.Nodes {
			c.t.Logf("%s", n.story(lines))
		}
		c.t.Logf("more of the logs: %s=10000", logLinesEnv)
	}
}
