package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/quorumkv/quorumkv/test/cluster"
)

var errDead = errors.New("a lease is dead")

// memory is what idle watchers cost.
type memory struct {
	watchers      int
	before, after int64 // of the process, in bytes
}

func (m memory) each() float64 { return float64(m.after-m.before) / float64(m.watchers) }

// idleStreams is how many streams, a connection each, the idle watchers share.
const idleStreams = 100

// settleTime lets a server finish what it does after its start, and after the watchers came.
const settleTime = 2 * time.Second

// measureMemory opens watchers on a new node alone: one that has served before has memory to spare.
func measureMemory(ctx context.Context, h *host, program cluster.Program, o options) memory {
	s := &system{name: program.Name, opts: o, cluster: cluster.Start(h, cluster.Config{Nodes: 1, Program: program})}
	s.cluster.AwaitHealthy()
	node := s.cluster.Nodes[0]
	defer node.Kill()
	// The first streams and watchers bring up what is there once.
	s.watch(ctx, h, idleStreams, idleStreams, []int{0}, "warm/").close()
	time.Sleep(settleTime)
	m := memory{watchers: o.idle, before: node.RSS()}
	w := s.watch(ctx, h, o.idle, idleStreams, []int{0}, "idle/")
	defer w.close()
	time.Sleep(settleTime)
	m.after = node.RSS()
	return m
}

// compareMemory measures every system, some times, and reports.
func compareMemory(ctx context.Context, h *host, o options, programs map[string]func(cluster.T) cluster.Program, r *report) {
	for round := range o.rounds {
		for turn := range o.systems {
			name := o.systems[(turn+round)%len(o.systems)]
			m := measureMemory(ctx, h, programs[name](h), o)
			if ctx.Err() != nil {
				h.Fatalf("interrupted")
			}
			fmt.Fprintf(os.Stderr, "%-14s %5d watchers round %d  %-8s  %.0f bytes each\n", watchMemory, o.idle, round+1, name, m.each())
			r.memory[name] = append(r.memory[name], m)
		}
	}
}

func (r *report) writeMemory(w io.Writer) {
	if len(r.memory) == 0 {
		return
	}
	fmt.Fprintf(w, "\nMemory of idle watchers: %d of one prefix, on %d streams of one node alone; growth of its resident memory.\n\n",
		r.opts.idle, idleStreams)
	fmt.Fprintln(w, "| operation | watchers | system | bytes each | before | after | ratio |")
	fmt.Fprintln(w, "|---|---:|---|---:|---:|---:|---:|")
	base := 0.0
	if rounds := r.memory["etcd"]; len(rounds) > 0 {
		base = median(each(rounds))
	}
	for _, system := range r.opts.systems {
		rounds := r.memory[system]
		var before, after []float64
		for _, m := range rounds {
			before, after = append(before, float64(m.before)), append(after, float64(m.after))
		}
		ratio := ""
		if system != "etcd" && base > 0 {
			ratio = fmt.Sprintf("%.2f", median(each(rounds))/base)
		}
		fmt.Fprintf(w, "| %s | %d | %s | %.0f | %.0f MiB | %.0f MiB | %s |\n", watchMemory, r.opts.idle, system, median(each(rounds)),
			median(before)/(1<<20), median(after)/(1<<20), ratio)
	}
}

func each(rounds []memory) (values []float64) {
	for _, m := range rounds {
		values = append(values, m.each())
	}
	return values
}
