package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// report is what a run has found, in the order of the rows.
type report struct {
	size    size
	rows    []saved
	missing []string // rows that failed
}

func rowOf(name string) row {
	return rows[slices.IndexFunc(rows, func(r row) bool { return r.name == name })]
}

// write prints the table and, below it, all figures.
func (r *report) write(w io.Writer) {
	if len(r.rows) == 0 {
		return
	}
	first, last := r.rows[0], r.rows[0]
	for _, s := range r.rows {
		if s.Finished.Before(first.Finished) {
			first = s
		}
		if s.Finished.After(last.Finished) {
			last = s
		}
	}
	fmt.Fprintf(w, "%s. %s.\n\n", dates(first.Finished, last.Finished), first.Machine)
	fmt.Fprintf(w, `Three nodes of each system and the clients on this machine, in turns; medians of %d rounds, of %v each where
the work does not end by itself (failover: %d leaders). Ratio: QuorumKV's figure divided by etcd's of the same
round (failover: of all rounds); in parentheses the least and the greatest. Echo: QuorumKV's figure as a share of the
echo server's.

`, r.size.rounds, r.size.duration, r.size.roundsOf(rowOf("failover")))
	if r.size.large != fullSize.large {
		fmt.Fprintf(w, "Large stores have only %d keys in this run.\n\n", r.size.large)
	}
	r.writeTable(w)
	r.writeDetail(w)
}

// writeTable prints the lines that have something to compare: a run may have left systems out.
func (r *report) writeTable(w io.Writer) {
	var lines []string
	for _, s := range r.rows {
		for _, l := range rowOf(s.Row).lines {
			if len(s.Results[quorumKV]) > 0 && len(s.Results[etcd]) > 0 {
				lines = append(lines, l.text(s.Results))
			}
		}
	}
	for _, name := range r.missing {
		lines = append(lines, fmt.Sprintf("| %s | failed | | | | no | |", rowOf(name).what))
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprintln(w, "| work | QuorumKV | etcd | ratio | target | met | echo |")
	fmt.Fprintln(w, "|---|---:|---:|---:|---:|---|---:|")
	fmt.Fprintf(w, "%s\n\n", strings.Join(lines, "\n"))
}

func dates(first, last time.Time) string {
	a, b := first.Format(time.DateOnly), last.Format(time.DateOnly)
	if a == b {
		return a
	}
	return a + " to " + b
}

func (l line) text(found results) string {
	own, base := spreadOf(figures(found[quorumKV], l.figure)), spreadOf(figures(found[etcd], l.figure))
	ratio := l.compare(found)
	share := ""
	if len(found[echo]) > 0 {
		share = fmt.Sprintf("%.0f %%", 100*l.share(found))
	}
	met := ""
	if l.asked() != "" {
		met = "no"
		if l.met(found) {
			met = "yes"
		}
	}
	return fmt.Sprintf("| %s | %s | %s | %.2f (%.2f–%.2f) | %s | %s | %s |", l.work, l.unit(own.median),
		l.unit(base.median), ratio.median, ratio.least, ratio.most, l.asked(), met, share)
}

// compare divides QuorumKV's figure by etcd's.
func (l line) compare(found results) spread {
	s := spreadOf(ratios(found[quorumKV], found[etcd], l.figure))
	if base := spreadOf(figures(found[etcd], l.figure)).median; l.unpaired && base != 0 {
		s.median = spreadOf(figures(found[quorumKV], l.figure)).median / base
	}
	return s
}

// asked is the target in words; "" when there is none.
func (l line) asked() string {
	sign := "≥"
	if l.small {
		sign = "≤"
	}
	var parts []string
	if l.ratio != 0 {
		parts = append(parts, fmt.Sprintf("%s %.2fx", sign, l.ratio))
	}
	if l.own != 0 {
		parts = append(parts, sign+" "+l.unit(l.own))
	}
	if l.echo != 0 {
		parts = append(parts, fmt.Sprintf("%s %.0f %% of echo", sign, 100*l.echo))
	}
	return strings.Join(parts, ", ")
}

// met compares the medians with the target.
func (l line) met(found results) bool {
	within := func(v, bound float64) bool {
		return bound == 0 || l.small && v <= bound || !l.small && v >= bound
	}
	return within(l.compare(found).median, l.ratio) &&
		within(spreadOf(figures(found[quorumKV], l.figure)).median, l.own) &&
		within(l.share(found), l.echo)
}

func (l line) share(found results) float64 {
	return spreadOf(ratios(found[quorumKV], found[echo], l.figure)).median
}

// columns are figures of many rows; the others are told in words.
var columns = []string{rate, mean, p50, p99, serverCPU, clientCPU, errorCount}

func (r *report) writeDetail(w io.Writer) {
	fmt.Fprint(w, `All figures, medians. CPU is in seconds per 100,000 operations: of the servers, all nodes, and of the clients.

`)
	fmt.Fprintln(w, "| row | system | per second | mean | p50 | p99 | server CPU | client CPU | errors | other |")
	fmt.Fprintln(w, "|---|---|---:|---:|---:|---:|---:|---:|---:|---|")
	for _, s := range r.rows {
		for _, system := range systemsOf(rowOf(s.Row)) {
			rounds := s.Results[system]
			if len(rounds) == 0 {
				continue
			}
			fmt.Fprintf(w, "| %s | %s |", s.Row, system)
			for _, name := range columns {
				values := figures(rounds, name)
				switch {
				case len(values) == 0:
					fmt.Fprint(w, " |")
				case name == errorCount: // a median would hide them
					total := 0.0
					for _, v := range values {
						total += v
					}
					fmt.Fprintf(w, " %.0f |", total)
				default:
					fmt.Fprintf(w, " %s |", unitOf[name](spreadOf(values).median))
				}
			}
			fmt.Fprintf(w, " %s |\n", others(rounds))
		}
	}
}

// others are the figures that have no column, with their spread.
func others(rounds []sample) string {
	if len(rounds) == 0 {
		return ""
	}
	var names []string
	for name := range rounds[0] {
		if !slices.Contains(columns, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var texts []string
	for _, name := range names {
		v, u := spreadOf(figures(rounds, name)), unitOf[name]
		texts = append(texts, fmt.Sprintf("%s %s (%s–%s)", name, u(v.median), u(v.least), u(v.most)))
	}
	return strings.Join(texts, "; ")
}
