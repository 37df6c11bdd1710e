package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"
)

// report gathers the measurements and prints the median of each series.
type report struct {
	opts   options
	series map[seriesKey][]result
	memory map[string][]memory // by system
}

type seriesKey struct {
	op      string
	clients int
	system  string
}

func newReport(o options) *report {
	return &report{opts: o, series: map[seriesKey][]result{}, memory: map[string][]memory{}}
}

func (r *report) add(op string, clients int, system string, res result) {
	key := seriesKey{op, clients, system}
	r.series[key] = append(r.series[key], res)
}

func (r *report) write(w io.Writer) {
	o := r.opts
	fmt.Fprintf(w, "3 nodes of each system and the clients on one machine (%d CPUs, %s/%s); %d rounds of %v, alternating;\n",
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, o.rounds, o.duration)
	fmt.Fprintf(w, "8-byte keys, %d-byte values, %d keys. One client talks to the leader, more share up to %d connections\n",
		o.value, o.keys, o.conns)
	fmt.Fprintf(w, "to all nodes. Medians of the rounds; in parentheses the slowest and the fastest round.\n")
	fmt.Fprintf(w, "%s: a put until its event is there, one watcher. %s: one writer, at most %d puts ahead; clients are\n", watchLatency,
		watchFanout, fanoutAhead)
	fmt.Fprintf(w, "watchers, on %d streams to all nodes; per second: events delivered; p50: a put until all have it. %s: each\n",
		fanoutStreams, keepAlive)
	fmt.Fprintf(w, "client has a stream and waits for each answer; %d leases.\n\n", leaseCount)
	fmt.Fprintln(w, "| operation | clients | system | per second | p50 | p99 | server CPU per request | errors | ratio |")
	fmt.Fprintln(w, "|---|---:|---|---:|---:|---:|---:|---:|---:|")
	for _, op := range o.ops {
		for _, clients := range o.clientsOf(op) {
			for _, system := range o.systems {
				rounds := r.series[seriesKey{op, clients, system}]
				rates := column(rounds, result.rate)
				errors := 0
				for _, round := range rounds {
					errors += round.errors
				}
				fmt.Fprintf(w, "| %s | %d | %s | %.0f (%.0f–%.0f) | %s | %s | %s | %d | %s |\n", op, clients, system,
					median(rates), slices.Min(rates), slices.Max(rates),
					short(median(column(rounds, func(r result) time.Duration { return r.p50 }))),
					short(median(column(rounds, func(r result) time.Duration { return r.p99 }))),
					short(median(column(rounds, result.cpuPerOp))), errors, r.ratio(op, clients, system))
			}
		}
	}
	r.writeMemory(w)
}

// ratio says how many times etcd's throughput a system has.
func (r *report) ratio(op string, clients int, system string) string {
	base := r.series[seriesKey{op, clients, "etcd"}]
	if system == "etcd" || len(base) == 0 {
		return ""
	}
	own := r.series[seriesKey{op, clients, system}]
	return fmt.Sprintf("%.2f", median(column(own, result.rate))/median(column(base, result.rate)))
}

func column[V any](rounds []result, f func(result) V) (values []V) {
	for _, r := range rounds {
		values = append(values, f(r))
	}
	return values
}

func median[V float64 | time.Duration](values []V) V {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// short prints a duration with three digits.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	default:
		return d.Round(time.Millisecond).String()
	}
}
