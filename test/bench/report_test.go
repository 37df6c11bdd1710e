package main

import (
	"strings"
	"testing"
	"time"
)

func testReport() *report {
	of := func(row string, found results) saved {
		return saved{Row: row, Finished: time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC), Results: found,
			Machine: machine{CPU: "a processor", CPUs: 2, MemoryGB: 24, Kernel: "Linux 6", Go: "go1.26", QuorumKV: "v1", Etcd: "3.7.3"}}
	}
	series := func(name string, values ...float64) (rounds []sample) {
		for _, v := range values {
			rounds = append(rounds, sample{name: v, errorCount: 1, p99: 0.25})
		}
		return rounds
	}
	r := &report{size: fullSize, missing: []string{"restart"}}
	r.rows = append(r.rows,
		of("range-1000", results{
			quorumKV: series(rate, 1000, 3000, 2000), etcd: series(rate, 1000, 1000, 1000), echo: series(rate, 2000, 4000, 2000)}),
		of("compaction", results{quorumKV: series(slowdown, 1.4, 1.6, 1.5), etcd: series(slowdown, 3, 2, 4)}),
		of("failover", results{
			quorumKV: []sample{{killGap: 1.5, stopGap: 0.06}, {killGap: 1, stopGap: 0.06}, {killGap: 2, stopGap: 0.06}},
			etcd:     []sample{{killGap: 1.2, stopGap: 0.3}, {killGap: 2, stopGap: 0.3}, {killGap: 1, stopGap: 0.3}}}))
	return r
}

func TestReport(t *testing.T) {
	var out strings.Builder
	testReport().write(&out)
	for _, want := range []string{
		"2026-11-26. 2 CPUs (a processor), 24 GB of memory, Linux 6; QuorumKV v1 with go1.26, etcd 3.7.3.\n",
		"| range, one key, linearizable, 1,000 clients: per second | 2000/s | 1000/s | 2.00 (1.00–3.00) | ≥ 1.50x, ≥ 90 % of echo | no | 75 % |\n",
		"p99 by p99 idle | 1.50x | 3.00x | 0.47 (0.38–0.80) | ≤ 1.50x | yes |  |\n",
		"gap in acknowledged writes | 1.50 s | 1.20 s | 1.25 (0.50–2.00) | ≤ 1.00x | no |  |\n",
		"| the same, graceful stop | 60.0 ms | 300 ms | 0.20 (0.20–0.20) | ≤ 50.0 ms | no |  |\n",
		"| 1,000,000 keys: a node starts | failed | | | | no | |\n",
		"| range-1000 | quorumkv | 2000 | | | 250 ms | | | 3 |  |\n",
		"| compaction | etcd | | | | 250 ms | | | 3 | p99 meanwhile / idle 3.00x (2.00x–4.00x) |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
}

// TestTargets meets a target exactly, and misses it by a little.
func TestTargets(t *testing.T) {
	found := func(own, base, ceiling float64) results {
		return results{quorumKV: []sample{{rate: own}}, etcd: []sample{{rate: base}}, echo: []sample{{rate: ceiling}}}
	}
	tests := []struct {
		line line
		in   results
		want bool
	}{
		{line{figure: rate, ratio: 2}, found(200, 100, 300), true},
		{line{figure: rate, ratio: 2}, found(199, 100, 300), false},
		{line{figure: rate, ratio: 0.5, small: true}, found(50, 100, 300), true},
		{line{figure: rate, ratio: 0.5, small: true}, found(51, 100, 300), false},
		{line{figure: rate, own: 50, small: true}, found(51, 100, 300), false},
		{line{figure: rate, ratio: 2, echo: 0.9}, found(270, 100, 300), true},
		{line{figure: rate, ratio: 2, echo: 0.9}, found(269, 100, 300), false},
	}
	for _, tt := range tests {
		if got := tt.line.met(tt.in); got != tt.want {
			t.Errorf("%+v with %v: met is %v", tt.line, tt.in, got)
		}
	}
}

// TestLinesAreComplete finds every figure of every line among those that have a unit, and no row twice.
func TestLinesAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rows {
		if seen[r.name] || r.what == "" || r.measure == nil || len(r.lines) == 0 {
			t.Errorf("row %q is there twice, or not complete", r.name)
		}
		seen[r.name] = true
		for _, l := range r.lines {
			if unitOf[l.figure] == nil || l.unit == nil || l.work == "" {
				t.Errorf("row %q: line %q of %q lacks something", r.name, l.work, l.figure)
			}
			if l.echo != 0 && !r.echo {
				t.Errorf("row %q asks for a share of the echo server's figure, and is not measured there", r.name)
			}
		}
		if r.with != "" && !seen[r.with] {
			t.Errorf("row %q goes on with %q, which is not before it", r.name, r.with)
		}
	}
}

func TestHostCleansUp(t *testing.T) {
	var out strings.Builder
	var order []string
	code := newHost(&out).run(func(h *host) {
		h.Cleanup(func() { order = append(order, "first") })
		h.Cleanup(func() { order = append(order, "second") })
		h.Fatalf("no %s", "luck")
	})
	if code != 1 || strings.Join(order, " ") != "second first" || out.String() != "bench: no luck\n" {
		t.Errorf("exit code %d, cleanups %v, output %q", code, order, out.String())
	}
}
