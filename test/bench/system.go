package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/quorumkv/quorumkv/test/bench/h2"
	"github.com/quorumkv/quorumkv/test/cluster"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Names of the systems.
const (
	quorumKV = "quorumkv"
	etcd     = "etcd"
	echo     = "echo"
)

var allSystems = []string{quorumKV, etcd, echo}

// maxConns is how many connections the clients share at most.
const maxConns = 100

// quotaFlag keeps both systems from refusing writes for the space that a measurement takes.
const quotaFlag = "--quota-backend-bytes=8589934592"

// system is one running cluster, or the echo server, with connections to it.
type system struct {
	name    string
	size    size
	cluster *cluster.Cluster
	conns   []*h2.Conn // conns[i] talks to node i modulo the number of nodes
	value   []byte

	keys   int       // how many keys have been filled in, 0..keys-1
	beyond int       // puts to keys that were there, by overwrite
	leases []encoded // requests to renew them
}

// program finds or builds what a system runs.
func program(h *host, name string) cluster.Program {
	switch name {
	case etcd:
		return cluster.Etcd(h)
	case echo:
		return buildEcho(h)
	default:
		return cluster.QuorumKV(h)
	}
}

// buildEcho compiles the echo server, with the libraries that QuorumKV is built with.
func buildEcho(h *host) cluster.Program {
	path := filepath.Join(h.TempDir(), echo)
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "github.com/quorumkv/quorumkv/test/bench/echo")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		h.Fatalf("build the echo server: %v\n%s", err, out)
	}
	return cluster.Program{Name: echo, Path: path}
}

// start starts a system of so many nodes; the echo server is one process always. It ends with h.
func start(ctx context.Context, h *host, p cluster.Program, nodes int, sz size, flags ...string) *system {
	s := &system{name: p.Name, size: sz}
	s.resize(sz.value)
	cfg := cluster.Config{Program: p, Nodes: nodes, Flags: append([]string{quotaFlag}, flags...)}
	if p.Name == echo {
		cfg.Nodes = 1
	}
	s.cluster = cluster.Start(h, cfg)
	if p.Name != echo {
		s.cluster.AwaitHealthy()
	}
	for i := range max(maxConns, len(s.cluster.Nodes)) {
		s.conns = append(s.conns, dial(h, s.cluster.Nodes[i%len(s.cluster.Nodes)].ClientAddr))
	}
	// The first request opens a connection; that is no part of any measurement.
	var opening sync.WaitGroup
	for _, c := range s.conns {
		opening.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, requestTimeout)
			defer cancel()
			_ = c.Invoke(ctx, rangeMethod, encode(&pb.RangeRequest{Key: s.key(0)}), done{}) // whoever fails here fails again
		})
	}
	opening.Wait()
	return s
}

// resize changes the size of the values that are written from now on.
func (s *system) resize(bytes int) {
	s.value = make([]byte, bytes)
	for i := range s.value {
		s.value[i] = 'a' + byte(i%26)
	}
}

// key has 8 bytes.
func (s *system) key(i int) []byte { return fmt.Appendf(nil, "%08d", i) }

func (s *system) put(key []byte) encoded { return encode(&pb.PutRequest{Key: key, Value: s.value}) }

// leader is the position of the leading node.
func (s *system) leader() int {
	if len(s.cluster.Nodes) == 1 {
		return 0
	}
	return s.cluster.Leader()
}

// pool returns the connections that so many clients share. One client alone talks to the leader.
func (s *system) pool(clients int) []*h2.Conn {
	if clients == 1 {
		leader := s.leader()
		return s.conns[leader : leader+1]
	}
	return s.conns[:min(clients, len(s.conns))]
}

// fill makes sure that so many keys are there.
func (s *system) fill(ctx context.Context, h *host, keys int) {
	if s.name == echo || s.keys >= keys {
		return
	}
	s.write(ctx, h, s.keys, keys, min(filledAtOnce, max(1, filledBytes/len(s.value))))
	s.keys = keys
}

// overwrite puts so many times to keys that are there, one after the other.
func (s *system) overwrite(ctx context.Context, h *host, puts int) {
	for puts > 0 {
		from := s.beyond % s.keys
		n := min(puts, s.keys-from)
		s.write(ctx, h, from, from+n, 1)
		s.beyond, puts = s.beyond+n, puts-n
	}
}

// fillers is how many clients fill a store: enough for full batches.
const fillers = 400

// filledAtOnce is how many keys a transaction creates in a store that is to be large, and filledBytes what their values may take
// together, well below what a server accepts. What is measured comes after.
const (
	filledAtOnce = 50
	filledBytes  = 512 << 10
)

// write puts to keys from..to-1, so many with a request, through the nodes that run.
func (s *system) write(ctx context.Context, h *host, from, to, atOnce int) {
	var conns []*h2.Conn
	for i, c := range s.conns {
		if s.cluster.Nodes[i%len(s.cluster.Nodes)].Running() {
			conns = append(conns, c)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var clients sync.WaitGroup
	var failed once
	begin := time.Now()
	step := fillers * atOnce
	for i := range min(fillers, (to-from+atOnce-1)/atOnce) {
		clients.Go(func() {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			for k := from + i*atOnce; k < to && ctx.Err() == nil; k += step {
				method, request := s.putAll(k, min(k+atOnce, to))
				if err := insist(ctx, conns[i%len(conns)], method, request); err != nil {
					failed.set(err)
					cancel()
				}
			}
		})
	}
	clients.Wait()
	if ctx.Err() != nil {
		h.stop()
	}
	if err := failed.get(); err != nil {
		h.Fatalf("write keys %d to %d to %s: %v", from, to-1, s.name, err)
	}
	if to-from >= 100_000 {
		h.Logf("    %s: wrote %d keys in %v", s.name, to-from, time.Since(begin).Round(100*time.Millisecond))
	}
}

// putAll is the request that puts to keys from..to-1.
func (s *system) putAll(from, to int) (method string, request encoded) {
	if to-from == 1 {
		return putMethod, s.put(s.key(from))
	}
	txn := &pb.TxnRequest{}
	for k := from; k < to; k++ {
		put := &pb.PutRequest{Key: s.key(k), Value: s.value}
		txn.Success = append(txn.Success, &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}})
	}
	return txnMethod, encode(txn)
}

// insist sends a write until it is acknowledged, for a while: on a machine with other work, leaders change now and then.
func insist(ctx context.Context, conn *h2.Conn, method string, write encoded) error {
	deadline := time.Now().Add(2 * requestTimeout)
	for {
		err := conn.Invoke(ctx, method, write, done{})
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		pause(ctx, errorPause)
	}
}

// cpu is the processor time of all nodes.
func (s *system) cpu() (total time.Duration) {
	for _, n := range s.cluster.Nodes {
		if n.Running() {
			total += n.CPU()
		}
	}
	return total
}

// memory is what all nodes hold, in bytes: their own, and of mapped files.
func (s *system) memory() (anonymous, file int64, err error) {
	for _, n := range s.cluster.Nodes {
		a, f, nodeErr := n.Memory()
		anonymous, file, err = anonymous+a, file+f, errors.Join(err, nodeErr)
	}
	return anonymous, file, err
}

// once keeps the first error of many goroutines.
type once struct {
	mu  sync.Mutex
	err error
}

func (o *once) set(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil { // err itself may be nil
		o.err = err
	}
}

func (o *once) get() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
