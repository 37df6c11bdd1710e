package drill

import (
	"fmt"
	"slices"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/check"
	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// report judges the history and says it all.
func (r *run) report(h *history.History, interrupted bool) *report.Report {
	r.show.phase("checking the history")
	slices.SortStableFunc(h.Ops, func(a, b history.Op) int { return int(a.End - b.End) })
	result := check.All(h)
	m := &measured{run: r, h: h}
	out := &report.Report{
		Scenario: r.scenario.Name, Title: r.scenario.Title, Explains: r.scenario.Does + " " + r.scenario.Proves,
		Started: r.started, Duration: time.Since(r.started), Command: r.options.Command, Seed: r.options.Seed,
		Version: r.options.Version,
		Cluster: r.described(), Checks: result.Checks, Violations: result.Violations, Timeline: timeline(h, r.rec.Now()),
		Counts: counts(h), Notes: r.notes,
	}
	for _, s := range r.rounds {
		out.Rounds = append(out.Rounds, report.Round{
			Number: s.number, Begin: s.begin, Healed: s.over, What: s.what, Leader: r.name(s.leader), Next: r.name(s.next),
			Gap: m.gap(r.others(s.whom...), s.begin, m.end(s)),
		})
	}
	if first := r.live.violation(); first != nil && len(out.Violations) == 0 {
		out.Violations = append(out.Violations, *first)
	}
	if len(r.rounds) > 0 {
		out.Marks = r.scenario.marks(m)
	}
	if r.stuck != nil {
		out.Marks = append(out.Marks, report.Mark{
			Name: "rounds that came to their end", Value: fmt.Sprint(max(0, len(r.rounds)-1)), Bound: fmt.Sprint(r.options.Rounds),
			Why: fmt.Sprintf("The next one did not: %v.", r.stuck),
		})
	}
	out.Verdict, out.Summary = verdict(out, interrupted)
	return out
}

// verdict is the worst of what there is to say.
func verdict(r *report.Report, interrupted bool) (report.Verdict, string) {
	operations := report.Several(r.Counts.Operations, "operation", "operations")
	missed := slices.DeleteFunc(slices.Clone(r.Marks), func(m report.Mark) bool { return m.Kept })
	switch {
	case len(r.Violations) > 0:
		return report.Violated, fmt.Sprintf("A promise is broken: %s", r.Violations[0].Text)
	case interrupted:
		return report.Interrupted, fmt.Sprintf("The drill did not come to its end; nothing is broken in the %s until then.", operations)
	case len(missed) > 0:
		return report.Missed, fmt.Sprintf("Nothing was lost, but a mark was missed. %s: %s (mark: %s).",
			missed[0].Name, missed[0].Value, missed[0].Bound)
	}
	return report.Passed, fmt.Sprintf("%s in %s: nothing was lost, no answer was wrong, and every mark was kept.", operations,
		report.Several(len(r.Rounds), "round", "rounds"))
}

func (r *run) name(i int) string {
	if i < 0 {
		return ""
	}
	return r.members[i].Name
}

func (r *run) described() report.Cluster {
	c := report.Cluster{Local: r.cluster.Processes() != nil}
	for i, m := range r.members {
		c.Members = append(c.Members, report.Member{
			Name: m.Name, ID: fmt.Sprintf("%x", m.ID), Endpoint: m.Endpoint, Version: r.versions[i],
		})
	}
	return c
}

// counts sums up the requests, the watches and the leases.
func counts(h *history.History) report.Counts {
	c := report.Counts{Operations: len(h.Ops)}
	done := map[string]bool{}
	for _, e := range h.Truth {
		if !e.Deleted {
			done[e.Value] = true
		}
	}
	latencies := map[history.Kind][]time.Duration{}
	kinds := map[history.Kind]*report.KindCount{}
	for i := range h.Ops {
		op := &h.Ops[i]
		k := kinds[op.Kind]
		if k == nil {
			k = &report.KindCount{Kind: op.Kind}
			kinds[op.Kind] = k
		}
		switch op.Outcome {
		case history.OK:
			c.OK++
			k.OK++
			latencies[op.Kind] = append(latencies[op.Kind], op.End-op.Begin)
		case history.Refused:
			c.Refused++
			k.Refused++
		default:
			c.Unknown++
			k.Unknown++
			if done[op.Value] && op.Value != "" {
				c.UnknownDone++
			}
		}
	}
	for _, kind := range []history.Kind{history.Put, history.Swap, history.Delete, history.Get, history.Stale} {
		if k := kinds[kind]; k != nil {
			k.P50, k.P99, k.Max = percentile(latencies[kind], 50), percentile(latencies[kind], 99), percentile(latencies[kind], 100)
			c.ByKind = append(c.ByKind, *k)
		}
	}
	for _, w := range h.Watches {
		for _, b := range w.Batches {
			c.WatchEvents += len(b.Events)
		}
	}
	for _, l := range h.Leases {
		c.Renewals += len(l.Renewals)
	}
	return c
}
