package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// bench runs rows. All of its methods run on one goroutine.
type bench struct {
	ctx      context.Context
	h        *host
	size     size
	systems  []string
	shared   bool   // one set of systems serves all rows: small sizes only
	profiles string // directory for profiles of QuorumKV; none when empty

	programs map[string]cluster.Program
	running  map[string]*system // when they are shared
}

func newBench(ctx context.Context, h *host, z size) *bench {
	return &bench{ctx: ctx, h: h, size: z, systems: allSystems, programs: map[string]cluster.Program{},
		running: map[string]*system{}}
}

// program finds or builds what a system runs, once.
func (b *bench) program(name string) cluster.Program {
	if p, ok := b.programs[name]; ok {
		return p
	}
	p := program(b.h, name)
	b.programs[name] = p
	return p
}

// open returns a system of so many nodes, 3 when it is 0: a new one that ends with h, or the one that is shared.
func (b *bench) open(h *host, name string, nodes int) *system {
	if nodes == 0 {
		nodes = 3
	}
	program := b.program(name)
	var flags []string
	if b.profiles != "" && name == quorumKV {
		flags = append(flags, "--enable-pprof")
	}
	if !b.shared {
		return start(b.ctx, h, program, nodes, b.size, flags...)
	}
	if b.running[name] == nil {
		b.running[name] = start(b.ctx, b.h, program, 3, b.size, flags...)
	}
	return b.running[name]
}

// systemsOf are the systems that a row is measured on.
func systemsOf(r row) []string {
	if r.echo {
		return []string{quorumKV, etcd, echo}
	}
	return []string{quorumKV, etcd}
}

// alternate lets systems take turns, in an order that changes from round to round, so that whatever else happens on the machine
// meets all of them.
func alternate(names []string, rounds int, f func(name string, round int)) {
	for round := range rounds {
		for turn := range names {
			f(names[(turn+round)%len(names)], round)
		}
	}
}

// run measures rows that share systems, and returns their measurements. It reports whether all went well.
func (b *bench) run(group []row, progress string) (found map[string]results, ok bool) {
	first := group[0]
	var names []string
	for _, name := range systemsOf(first) {
		if slices.Contains(b.systems, name) {
			names = append(names, name)
		}
	}
	found = map[string]results{}
	for _, r := range group {
		found[r.name] = results{}
	}
	rounds := b.size.roundsOf(first)
	code := newHost(b.h.out).run(func(h *host) {
		use := b.together
		if first.fresh {
			use = b.alone
		}
		with := use(h, names, first.nodes)
		alternate(names, rounds, func(name string, round int) {
			with(name, func(h *host, s *system) {
				for _, r := range group {
					sample := b.measure(h, r, s, round)
					found[r.name][name] = append(found[r.name][name], sample)
					b.h.Logf("%s %-13s round %d/%d  %-8s  %s", progress, r.name, round+1, rounds, name, r.summary(sample))
				}
			})
		})
	})
	return found, code == 0
}

// together starts systems that run side by side until h ends. What it returns calls a function with one of them.
func (b *bench) together(h *host, names []string, nodes int) func(name string, f func(*host, *system)) {
	systems := map[string]*system{}
	for _, name := range names {
		systems[name] = b.open(h, name, nodes)
	}
	return func(name string, f func(*host, *system)) { f(h, systems[name]) }
}

// alone is together for systems that are started for each call, and end with it.
func (b *bench) alone(_ *host, _ []string, nodes int) func(name string, f func(*host, *system)) {
	return func(name string, f func(*host, *system)) {
		if newHost(b.h.out).run(func(h *host) { f(h, b.open(h, name, nodes)) }) != 0 {
			panic(quit{}) // it has said why
		}
	}
}

// measure gives a row its turn on one system.
func (b *bench) measure(h *host, r row, s *system, round int) sample {
	if b.ctx.Err() != nil {
		h.stop()
	}
	// What one system left to be written must not meet the other's syncs.
	unix.Sync()
	runtime.GC()
	t := &turn{ctx: b.ctx, h: h, s: s, size: b.size, row: r.name, round: round}
	if b.profiles == "" || s.name != quorumKV || r.fresh {
		return r.measure(t)
	}
	p := t.profile(b.profiles)
	defer p.end()
	return r.measure(t)
}

// summary is what the progress says of a sample: the figures that the table will have.
func (r row) summary(s sample) string {
	var texts []string
	for _, l := range r.lines {
		texts = append(texts, fmt.Sprintf("%s %s", l.figure, l.unit(s[l.figure])))
	}
	return strings.Join(texts, ", ")
}

// groups puts the selected rows together that share systems. It runs no row twice and keeps the order of the list.
func groups(names []string) (all [][]row, err error) {
	for _, n := range names {
		if !slices.Contains(rowNames(), n) {
			return nil, fmt.Errorf("row %q: want some of %s", n, strings.Join(rowNames(), ", "))
		}
	}
	index := map[string]int{}
	for _, r := range rows {
		if !slices.Contains(names, r.name) {
			continue
		}
		leader := r.name
		if r.with != "" {
			leader = r.with
		}
		if i, ok := index[leader]; ok {
			all[i] = append(all[i], r)
			continue
		}
		index[leader] = len(all)
		all = append(all, []row{r})
	}
	return all, nil
}

// elapsed prints a time for people who wait.
func elapsed(since time.Time) string { return time.Since(since).Round(time.Second).String() }
