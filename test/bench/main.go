// Command bench compares QuorumKV with etcd: the same load on three nodes of each, on this machine, in one run. Absolute
// numbers say as much about the machine as about the servers; what counts is the ratio, measured side by side.
//
//	go run ./bench -duration 3s -clients 1,1000 -rounds 3
//
// Both clusters run all the time. The systems take turns in short rounds, in alternating order, so that whatever else
// happens on the machine meets both. One client talks to the leader; many are spread over up to 100 connections and all
// nodes. Keys have 8 bytes, values 256. Watches and keep-alives are measured through bare gRPC, see raw.go. The report goes
// to stdout as markdown.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/quorumkv/quorumkv/test/cluster"
)

type options struct {
	duration time.Duration
	clients  []int
	rounds   int
	conns    int
	keys     int
	value    int
	watchers int
	idle     int
	systems  []string
	ops      []string
	seed     uint64
}

func main() {
	opts, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(2)
	}
	ctx, restore := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer restore()
	os.Exit(newHost(os.Stderr).run(func(h *host) { compare(ctx, h, opts, os.Stdout) }))
}

func parse(args []string) (options, error) {
	o := options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.DurationVar(&o.duration, "duration", 3*time.Second, "length of one measurement")
	clients := flags.String("clients", "1,1000", "numbers of clients, each measured for itself")
	flags.IntVar(&o.rounds, "rounds", 3, "measurements of each system, alternating")
	flags.IntVar(&o.conns, "conns", 100, "most connections that the clients share")
	flags.IntVar(&o.keys, "keys", 10_000, "keys in the store, of 8 bytes")
	flags.IntVar(&o.value, "value-bytes", 256, "size of a value")
	flags.IntVar(&o.watchers, "watchers", 1000, "watchers of a fan-out")
	flags.IntVar(&o.idle, "idle", 10_000, "idle watchers whose memory is measured")
	systems := flags.String("systems", "quorumkv,etcd", "which systems to measure")
	ops := flags.String("ops", strings.Join(opNames, ","), "which operations to measure")
	flags.Uint64Var(&o.seed, "seed", 1, "of the choice of keys")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	for text := range strings.SplitSeq(*clients, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return o, fmt.Errorf("-clients %q: want numbers above 0 and commas", *clients)
		}
		o.clients = append(o.clients, n)
	}
	o.systems, o.ops = strings.Split(*systems, ","), strings.Split(*ops, ",")
	for _, name := range o.systems {
		if name != "quorumkv" && name != "etcd" {
			return o, fmt.Errorf("-systems %q: want quorumkv, etcd or both", *systems)
		}
	}
	for _, name := range o.ops {
		if !slices.Contains(opNames, name) {
			return o, fmt.Errorf("-ops %q: want some of %s", *ops, strings.Join(opNames, ", "))
		}
	}
	if o.watchers < 1 || o.idle < 1 {
		return o, fmt.Errorf("-watchers and -idle must be positive")
	}
	if o.rounds < 1 || o.duration <= 0 || o.conns < 1 || o.keys < 1 || o.value < 0 {
		return o, fmt.Errorf("-rounds, -duration, -conns and -keys must be positive")
	}
	return o, nil
}

// clientsOf are the numbers of clients, or watchers, that an operation is measured with.
func (o options) clientsOf(op string) []int {
	switch op {
	case watchLatency:
		return []int{1}
	case watchFanout:
		return []int{o.watchers}
	case watchMemory: // has a table of its own
		return nil
	default:
		return o.clients
	}
}

// compare starts the systems, measures, and writes the report.
func compare(ctx context.Context, h *host, o options, out *os.File) {
	programs := map[string]func(cluster.T) cluster.Program{"quorumkv": cluster.QuorumKV, "etcd": cluster.Etcd}
	report := newReport(o)
	if slices.Contains(o.ops, watchMemory) { // first, while nothing else runs
		compareMemory(ctx, h, o, programs, report)
	}
	var systems []*system
	for _, name := range o.systems {
		fmt.Fprintf(os.Stderr, "starting %s and writing %d keys\n", name, o.keys)
		s := newSystem(h, programs[name](h), o)
		defer s.close()
		s.fill(ctx, h)
		systems = append(systems, s)
	}
	for _, op := range o.ops {
		for _, clients := range o.clientsOf(op) {
			for round := range o.rounds {
				for turn := range systems {
					// Who begins changes from round to round.
					s := systems[(turn+round)%len(systems)]
					result := s.measure(ctx, h, op, clients, uint64(round))
					if ctx.Err() != nil {
						h.Fatalf("interrupted")
					}
					fmt.Fprintf(os.Stderr, "%-12s %5d clients  round %d  %-8s  %s\n", op, clients, round+1, s.name, result)
					report.add(op, clients, s.name, result)
				}
			}
		}
	}
	report.write(out)
}
