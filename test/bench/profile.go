package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// profiling gathers the profiles of one turn.
type profiling struct {
	t    *turn
	dir  string
	stop context.CancelFunc
	cpu  sync.WaitGroup
}

// profile starts to take CPU profiles of the leader and of one follower; end adds what they have gathered since they
// began: allocations, blocking, locks.
func (t *turn) profile(dir string) *profiling {
	p := &profiling{t: t, dir: dir}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.h.Fatalf("make a directory for profiles: %v", err)
	}
	ctx, stop := context.WithCancel(t.ctx)
	p.stop = stop
	seconds := max(1, int(t.size.duration.Seconds()))
	for role, n := range p.nodes() {
		p.cpu.Go(func() {
			// The warm-up belongs to it; filling the store, which a first round begins with, does as well.
			if err := p.fetch(ctx, n, role, "cpu", fmt.Sprintf("profile?seconds=%d", seconds)); err != nil && ctx.Err() == nil {
				t.h.Logf("    no CPU profile of the %s: %v", role, err)
			}
		})
	}
	return p
}

// nodes are those that are profiled, by role.
func (p *profiling) nodes() map[string]*cluster.Node {
	leader := p.t.s.leader()
	nodes := map[string]*cluster.Node{"leader": p.t.s.cluster.Nodes[leader]}
	if len(p.t.s.cluster.Nodes) > 1 {
		nodes["follower"] = p.t.s.cluster.Nodes[(leader+1)%len(p.t.s.cluster.Nodes)]
	}
	return nodes
}

// end is called when the turn is over.
func (p *profiling) end() {
	p.cpu.Wait()
	p.stop()
	for role, n := range p.nodes() {
		for _, kind := range []string{"allocs", "heap", "block", "mutex", "goroutine"} {
			if err := p.fetch(p.t.ctx, n, role, kind, kind); err != nil {
				p.t.h.Logf("    no %s profile of the %s: %v", kind, role, err)
			}
		}
	}
}

// fetch writes a profile to ROW-ROUND-ROLE-KIND.pb.gz.
func (p *profiling) fetch(ctx context.Context, n *cluster.Node, role, kind, path string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.ClientURL()+"/debug/pprof/"+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s-%d-%s-%s.pb.gz", p.t.row, p.t.round+1, role, kind)
	return os.WriteFile(filepath.Join(p.dir, name), body, 0o666)
}
