// Package local runs a cluster of real server processes on this machine's loopback address, with their data, logs and
// configuration files in one folder: `quorumkv cluster` keeps the folder, a drill throws it away.
//
// A [Cluster] owns its processes. For each process one goroutine waits for its end, and one goroutine for the cluster
// starts them all. All methods may be called from several goroutines at once.
//
// Invariants: a node has at most one process; no process outlives its Cluster, nor the program, whatever ends it (Linux;
// elsewhere SIGKILL of the program leaves them); a terminal's Ctrl-C does not reach them, so they stop in the order that
// the program chooses.
package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
)

// Config describes a cluster.
type Config struct {
	// Dir is the folder of everything. Empty: a new temporary one, which Close removes.
	Dir string
	// Server is the executable of the nodes; see FindServer.
	Server string
	// Writer is the program that writes the configuration files, as their first line names it.
	Writer string
	// Nodes are the members, in their order. Names and ports must differ.
	Nodes []NodeConfig
	// Died, unless it is nil, hears of each process that nobody asked to end, from a goroutine of that process, after
	// the node's Done. It must not wait for the cluster.
	Died func(Exit)
}

// NodeConfig describes a node.
type NodeConfig struct {
	Name                 string
	ClientPort, PeerPort int
	// Settings are further keys of the node's configuration file. They go before what the cluster sets itself.
	Settings map[string]string
}

// Cluster is a number of nodes that know of each other.
type Cluster struct {
	dir       string
	nodes     []*Node
	temporary bool
	kept      atomic.Bool
	starts    chan func() // Start sends, launch receives, Close closes; unbuffered
	launched  chan struct{}
	waiters   sync.WaitGroup // of the goroutines that wait for processes
	closing   sync.Once
	closeErr  error
}

// ErrClosed means that the cluster has been closed.
var ErrClosed = errors.New("the local cluster is closed")

// New makes a cluster of which nothing runs yet. In a temporary folder it writes the configuration files too; otherwise
// WriteFiles does. Close must follow.
func New(cfg Config) (*Cluster, error) {
	c := &Cluster{dir: cfg.Dir, temporary: cfg.Dir == "", starts: make(chan func()), launched: make(chan struct{})}
	// Data that someone keeps deserve an orderly end. What is thrown away can go at once, whatever a drill has done to it:
	// a node whose disk hangs does not obey SIGTERM.
	deathSignal := syscall.SIGTERM
	if c.temporary {
		deathSignal = syscall.SIGKILL
		var err error
		if c.dir, err = os.MkdirTemp("", "quorumkv-local-"); err != nil {
			return nil, fmt.Errorf("make a folder for the local cluster: %w", err)
		}
	}
	for _, n := range cfg.Nodes {
		c.nodes = append(c.nodes, &Node{
			Name:       n.Name,
			ClientPort: n.ClientPort,
			PeerPort:   n.PeerPort,
			Data:       filepath.Join(c.dir, n.Name),
			Log:        filepath.Join(c.dir, n.Name+".log"),
			Config:     filepath.Join(c.dir, n.Name+".yaml"),

			settings: n.Settings, server: cfg.Server, writer: cfg.Writer, deathSignal: deathSignal, died: cfg.Died, cluster: c,
		})
	}
	go c.launch()
	if c.temporary {
		if err := c.WriteFiles(); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// Dir is the folder of the cluster.
func (c *Cluster) Dir() string { return c.dir }

// Nodes are the nodes in the order in which they were given.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Start starts all nodes, up to the first that cannot be started. It does not wait until they serve.
func (c *Cluster) Start() error {
	for _, n := range c.nodes {
		if err := n.Start(); err != nil {
			return err
		}
	}
	return nil
}

// Keep has Close leave a temporary folder where it is, for someone to look into.
func (c *Cluster) Keep() { c.kept.Store(true) }

// Close kills what still runs, waits for its end and removes a temporary folder. Nothing can be started afterwards.
func (c *Cluster) Close() error {
	c.closing.Do(func() {
		for _, n := range c.nodes {
			n.close()
		}
		c.waiters.Wait()
		close(c.starts)
		<-c.launched
		if c.temporary && !c.kept.Load() {
			c.closeErr = os.RemoveAll(c.dir)
		}
	})
	return c.closeErr
}
