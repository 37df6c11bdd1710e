// Command bench compares QuorumKV with etcd: the same load on three nodes of each, on this machine, in one run. Absolute
// numbers say as much about the machine as about the servers; what counts is the ratio, measured side by side.
//
//	go run ./bench                                   # the table, about 40 minutes
//	go run ./bench -list                             # its rows
//	go run ./bench -rows put-1000,range-1000 -rounds 3
//	go run ./bench -quick                            # the first rows, two minutes
//	go run ./bench -rows put-1000 -rounds 1 -duration 10s -systems quorumkv -profiles ../profiles
//	go run ./bench -growth                           # cost by keys, nodes, size of values and clients, as pictures
//
// The systems take turns in short rounds, in an order that changes, so that whatever else happens on the machine meets all
// of them. One client talks to the leader; many are spread over up to 100 connections and all nodes. Keys have 8 bytes.
// Clients are the same for all systems, and do little: see h2. The echo server has etcd's KV service without anything behind
// it: see echo. The report goes to stdout as markdown, progress to stderr.
//
// rows.go is the list of what is measured and of what is asked of it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	size     size
	rows     []string
	systems  []string
	quick    bool
	growth   bool
	list     bool
	resume   bool
	results  string // directory
	document string // file
	profiles string // directory
}

func main() {
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(2)
	}
	debug.SetGCPercent(400) // there is memory to spare here, and no processor
	ctx, restore := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer restore()
	os.Exit(newHost(os.Stderr).run(func(h *host) {
		switch {
		case o.list:
			for _, r := range rows {
				fmt.Printf("%-24s %s\n", r.name, r.what)
			}
		case o.growth:
			measureGrowth(ctx, h, o)
		default:
			compare(ctx, h, o)
		}
	}))
}

func parse(args []string) (options, error) {
	o := options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.BoolVar(&o.list, "list", false, "print the names of the rows and what they are")
	names := flags.String("rows", "", "rows to measure, with commas between; default all, for example put-1000,restart")
	flags.BoolVar(&o.quick, "quick", false, "some rows with small settings, in about two minutes")
	flags.BoolVar(&o.growth, "growth", false, "measure how cost grows, and draw it, in place of the table")
	systems := flags.String("systems", strings.Join(allSystems, ","), "systems to measure; ratios need all, profiles only one")
	rounds := flags.Int("rounds", 0, "measurements of each system (5; -quick and -growth: 3)")
	duration := flags.Duration("duration", 0, "length of one measurement (3s; -quick: 1.5s, -growth: 2s)")
	large := flags.Int("large", 0, "keys of large stores (1000000); a follower misses half as many writes")
	flags.StringVar(&o.results, "results", "", "directory that keeps the measurements of each row, for -resume")
	flags.BoolVar(&o.resume, "resume", false, "take rows from -results that have the same programs and settings")
	flags.StringVar(&o.document, "document", "", "document to put a report of all rows into, such as ../docs/benchmarks.md")
	flags.StringVar(&o.profiles, "profiles", "", "directory for profiles of QuorumKV, such as ../profiles; costs some speed")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("argument %q: want flags only", flags.Arg(0))
	}
	o.size, o.rows = fullSize, rowNames()
	switch {
	case o.growth:
		o.size, o.rows = growthSize(), growthNames()
	case o.quick:
		o.size, o.rows = quickSize(), quickRows
	}
	all := len(o.rows)
	if *names != "" {
		o.rows = strings.Split(*names, ",")
	}
	if _, err := groups(o.rows); err != nil && !o.growth {
		return o, err
	}
	o.systems = strings.Split(*systems, ",")
	for _, name := range o.systems {
		if !slices.Contains(allSystems, name) {
			return o, fmt.Errorf("-systems %q: want some of %s", *systems, strings.Join(allSystems, ","))
		}
	}
	if len(o.systems) < len(allSystems) && (o.document != "" || o.growth || o.results != "") {
		return o, fmt.Errorf("-systems %q: -document, -results and -growth need all of them", *systems)
	}
	if o.growth {
		for _, name := range o.rows {
			if !slices.Contains(growthNames(), name) {
				return o, fmt.Errorf("row %q: -growth has %s", name, strings.Join(growthNames(), ", "))
			}
		}
	}
	if o.document != "" && (len(o.rows) < all || o.quick) {
		o.document = "" // a part of a table in place of all of it would be taken for all of it
	}
	if *rounds < 0 || *duration < 0 || *large < 0 {
		return o, fmt.Errorf("-rounds %d, -duration %v, -large %d: must be positive", *rounds, *duration, *large)
	}
	if *rounds > 0 {
		o.size.rounds = *rounds
	}
	if *duration > 0 {
		o.size.duration = *duration
	}
	if *large > 0 {
		o.size.large, o.size.missed = *large, *large/2
	}
	if o.resume && o.results == "" {
		return o, fmt.Errorf("-resume: say with -results where the measurements are")
	}
	return o, nil
}

// compare measures the rows, reports them, and fails in the end if a row did.
func compare(ctx context.Context, h *host, o options) {
	b := newBench(ctx, h, o.size)
	b.profiles, b.systems = o.profiles, o.systems
	all, err := groups(o.rows)
	if err != nil {
		h.Fatalf("%v", err)
	}
	report := &report{size: o.size}
	keep := keeper{store: store{o.results}, resume: o.resume, like: b.likeness()}
	begin := time.Now()
	for i, group := range all {
		rest := keep.take(h, group, report)
		if len(rest) == 0 {
			continue
		}
		progress := fmt.Sprintf("[%d/%d %s]", i+1, len(all), elapsed(begin))
		found, ok := b.run(rest, progress)
		if ctx.Err() != nil {
			h.Logf("interrupted")
			h.stop()
		}
		for _, r := range rest {
			if !ok {
				h.Errorf("bench: row %s failed", r.name)
				report.missing = append(report.missing, r.name)
				continue
			}
			keep.put(h, r, found[r.name], report)
		}
	}
	text := &strings.Builder{}
	report.write(text)
	fmt.Print(text.String())
	if o.document == "" {
		return
	}
	if err := replaceSection(o.document, "table", text.String()); err != nil {
		h.Fatalf("%v", err)
	}
}
