// Package example makes up reports of drills that never were, for the tests of the page: each is the same at every run.
package example

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// All are the examples by name.
func All() map[string]*report.Report {
	return map[string]*report.Report{
		"passed":      Passed(),
		"violated":    Violated(),
		"missed":      Missed(),
		"interrupted": Interrupted(),
		"huge":        Huge(),
		"odd":         Odd(),
		"empty":       {Verdict: report.Interrupted, Scenario: "failover"},
		"one point":   OnePoint(),
		"all errors":  AllErrors(),
		"short":       short(),
	}
}

// Passed is a failover on three members in which everything went well.
func Passed() *report.Report {
	return drill{members: 3, rounds: 5, round: 12 * time.Second, step: 100 * time.Millisecond, gap: 1300 * time.Millisecond}.run()
}

// Missed is a failover whose gaps are longer than they may be.
func Missed() *report.Report {
	r := drill{members: 3, rounds: 4, round: 15 * time.Second, step: 250 * time.Millisecond, gap: 4200 * time.Millisecond}.run()
	r.Verdict = report.Missed
	r.Summary = "No promise was broken, but half of the write gaps lasted 4.21 s or longer, and 2 s is the mark."
	r.Marks[0].Kept, r.Marks[0].Value = false, "4.21 s"
	r.Marks[1].Kept, r.Marks[1].Value = false, "4.87 s"
	return r
}

// Violated is a split brain in which the old leader answered a read from the past and a write was lost.
func Violated() *report.Report {
	r := drill{members: 5, rounds: 2, round: 20 * time.Second, step: 200 * time.Millisecond, gap: 1800 * time.Millisecond}.run()
	r.Scenario, r.Title = "split-brain", "The old leader is cut off, with clients on both sides"
	r.Verdict = report.Violated
	r.Summary = "A linearizable read on n1 returned a value that had been overwritten 412 ms before it was asked for."
	key := "quorumkv-drill/7f3a/k017"
	r.Violations = []history.Violation{
		{
			Promise: "linearizable",
			Text: "Client 4 read v-7-210 of revision 18203 on n1, although client 7 had been told 412 ms earlier that " +
				"v-7-214 was written at revision 18230.",
			Ops: []history.Op{
				{ID: 9120, Client: 7, Member: "n2", Kind: history.Put, Key: key, Value: "v-7-210", Begin: 6104 * time.Millisecond,
					End: 6107 * time.Millisecond, Outcome: history.OK, Revision: 18203, Term: 4},
				{ID: 9533, Client: 7, Member: "n3", Kind: history.Put, Key: key, Value: "v-7-214", Begin: 9412 * time.Millisecond,
					End: 9418 * time.Millisecond, Outcome: history.OK, Revision: 18230, Term: 5},
				{ID: 9534, Client: 2, Member: "n1", Kind: history.Swap, Key: key, Value: "v-2-90", Expected: 18203,
					Begin: 9414 * time.Millisecond, End: 9440 * time.Millisecond, Outcome: history.Unknown,
					Error: "context deadline exceeded"},
				{ID: 9541, Client: 4, Member: "n1", Kind: history.Get, Key: key, Begin: 9830 * time.Millisecond,
					End: 9832 * time.Millisecond, Outcome: history.OK, Revision: 18211, Term: 4, Found: "v-7-210", ModRevision: 18203},
			},
			Events: []history.Event{
				{Revision: 18203, Key: key, Value: "v-7-210", Created: 17001, Version: 40},
				{Revision: 18230, Key: key, Value: "v-7-214", Created: 17001, Version: 41},
			},
		},
		{
			Promise: "no lost write",
			Text:    "n1 acknowledged 50 writes at revisions that now hold others.",
			Ops:     operations(50),
			Events:  []history.Event{{Revision: 18231, Key: "quorumkv-drill/7f3a/k003", Deleted: true}},
		},
	}
	r.Checks[0].Violations, r.Checks[1].Violations = 1, 50
	return r
}

// Interrupted is a drill that somebody stopped in its first round.
func Interrupted() *report.Report {
	r := drill{members: 3, rounds: 1, round: 8 * time.Second, step: 100 * time.Millisecond, gap: 1100 * time.Millisecond}.run()
	r.Verdict, r.Summary = report.Interrupted, "Stopped with Ctrl-C in round 1 of 20."
	r.Timeline.Faults[0].Until, r.Rounds[0].Healed, r.Rounds[0].Next = 0, 0, ""
	return r
}

// Huge is twenty rounds of a minute on five members, in steps of 100 ms.
func Huge() *report.Report {
	return drill{members: 5, rounds: 20, round: time.Minute, step: 100 * time.Millisecond, gap: 1400 * time.Millisecond}.run()
}

// OnePoint is a drill of one step.
func OnePoint() *report.Report {
	return drill{members: 1, rounds: 1, round: 100 * time.Millisecond, step: 100 * time.Millisecond}.run()
}

// AllErrors is a drill in which nothing was ever answered.
func AllErrors() *report.Report {
	r := drill{members: 3, rounds: 1, round: 30 * time.Second, step: 100 * time.Millisecond}.run()
	for i := range r.Timeline.Points {
		r.Timeline.Points[i] = report.Point{Errors: 12}
	}
	for i := range r.Timeline.Sides {
		s := &r.Timeline.Sides[i]
		for j := range s.OK {
			s.OK[j], s.Errors[j] = 0, 4
		}
		s.Gaps = []report.Span{{Begin: 0, End: 30 * time.Second}}
	}
	r.Timeline.Leaders = []report.Reign{{Leader: "", Span: report.Span{End: 30 * time.Second}}}
	return r
}

// Hostile is what no text of a report may do to a page or a terminal.
const Hostile = `</title></svg><script>alert("x")</script><img src=http://example.invalid/x.png>&amp;'` + "\x1b[2J\x00\u202e\xff"

// Odd is Violated with names, keys and values that nobody would choose.
func Odd() *report.Report {
	r := Violated()
	long := strings.Repeat("very-long-name-", 20) + Hostile
	for _, s := range []*string{
		&r.Scenario, &r.Title, &r.Explains, &r.Summary, &r.Command, &r.Version, &r.Marks[0].Name, &r.Marks[0].Value,
		&r.Marks[0].Bound, &r.Marks[0].Why, &r.Checks[0].Promise, &r.Checks[0].Means, &r.Checks[0].Looked,
		&r.Rounds[0].What, &r.Rounds[0].Leader, &r.Rounds[0].Next, &r.Violations[0].Promise, &r.Violations[0].Text,
	} {
		*s = Hostile
	}
	r.Cluster.Members[0] = report.Member{Name: long, ID: Hostile, Endpoint: long, Version: Hostile}
	r.Timeline.Sides[0].Member, r.Timeline.Leaders[0].Leader = long, long
	r.Timeline.Faults[0].Members, r.Timeline.Faults[0].What = []string{long, Hostile}, long
	for i := range r.Violations[0].Ops {
		op := &r.Violations[0].Ops[i]
		op.Member, op.Key, op.Value, op.Found, op.Error = long, Hostile, long, Hostile, Hostile
		op.Kind = history.Kind(Hostile)
	}
	r.Violations[0].Ops[0].Outcome = history.Outcome(Hostile)
	r.Violations[0].Events[0].Key, r.Violations[0].Events[0].Value = Hostile, long
	r.Notes = []string{Hostile, long}
	return r
}

// short is an operation's time of a drill that was over at once.
func short() *report.Report {
	r := drill{members: 3, rounds: 1, round: 400 * time.Millisecond, step: 20 * time.Millisecond}.run()
	r.Timeline.Sides = nil
	r.Cluster.Members = nil
	return r
}

func operations(n int) []history.Op {
	random := rand.New(rand.NewPCG(3, 3))
	var ops []history.Op
	at := 9 * time.Second
	for i := range n {
		at += time.Duration(random.IntN(40)) * time.Millisecond
		op := history.Op{
			ID: 9600 + i, Client: 1 + random.IntN(6), Member: fmt.Sprintf("n%d", 1+random.IntN(5)), Kind: history.Put,
			Key: fmt.Sprintf("quorumkv-drill/7f3a/k%03d", random.IntN(8)), Value: fmt.Sprintf("v-%d", 300+i), Begin: at,
			End: at + time.Duration(1+random.IntN(30))*time.Millisecond, Outcome: history.OK, Revision: int64(18210 + i), Term: 4,
		}
		switch random.IntN(6) {
		case 0:
			op.Outcome, op.Error, op.Revision = history.Refused, "etcdserver: no leader", 0
		case 1:
			op.Kind, op.Value = history.Delete, ""
		case 2:
			op.Kind, op.Value = history.Stale, ""
		}
		ops = append(ops, op)
	}
	return ops
}

// drill is one that is made up: in each round the leader is killed after a third, and is back after two thirds.
type drill struct {
	members, rounds  int
	round, step, gap time.Duration
}

func (d drill) run() *report.Report {
	random := rand.New(rand.NewPCG(1, uint64(d.members*1000+d.rounds)))
	total := time.Duration(d.rounds) * d.round
	r := &report.Report{
		Scenario: "failover",
		Title:    "The leader dies",
		Explains: "In each round the leader was killed with SIGKILL under load and started again later. Passing proves that no " +
			"write that a client was told about was lost, that reads never went back in time, and that writes went on within " +
			"the time of an election.",
		Verdict:  report.Passed,
		Summary:  "After each of the kills another member led within 1.4 s, and every acknowledged write is there.",
		Started:  time.Date(2026, 11, 26, 9, 30, 0, 0, time.UTC),
		Duration: total,
		Command:  fmt.Sprintf("quorumctl drill run failover --local %d --rounds %d --seed 4711", d.members, d.rounds),
		Seed:     4711,
		Version:  "v0.9.0",
		Cluster:  report.Cluster{Local: true},
		Checks: []report.Check{
			{Promise: "linearizable", Means: "Every answer fits one order of all operations that keeps real time.",
				Looked: "48,210 operations"},
			{Promise: "no lost write", Means: "What was acknowledged is in the store's history, once.", Looked: "21,004 writes"},
			{Promise: "watch", Means: "Watchers saw every change once and in order.", Looked: "6 watchers, 126,024 events"},
			{Promise: "one leader", Means: "No two members led in one term.", Looked: "1,800 polls"},
			{Promise: "same state", Means: "All members hold the same data.", Looked: "HashKV of all members"},
		},
		Marks: []report.Mark{
			{Name: "write gap, p50", Value: "1.31 s", Bound: "<= 2 s", Kept: true,
				Why: "Half of the times that a leader is lost, clients wait no longer than this."},
			{Name: "write gap, p99", Value: "1.62 s", Bound: "<= 3.5 s", Kept: true, Why: "The longest wait to plan for."},
			{Name: "acknowledged writes lost", Value: "0", Bound: "0", Kept: true, Why: "An acknowledgement is a promise."},
		},
		Counts: report.Counts{
			Operations: 48210, OK: 47512, Refused: 601, Unknown: 97, UnknownDone: 31, WatchEvents: 126024, Renewals: 412,
			ByKind: []report.KindCount{
				{Kind: history.Put, OK: 18120, Refused: 300, Unknown: 60,
					P50: 2100 * time.Microsecond, P99: 14 * time.Millisecond, Max: 1480 * time.Millisecond},
				{Kind: history.Get, OK: 20300, Refused: 280, Unknown: 20,
					P50: 900 * time.Microsecond, P99: 7 * time.Millisecond, Max: 1390 * time.Millisecond},
				{Kind: history.Stale, OK: 6208, P50: 240 * time.Microsecond, P99: 1100 * time.Microsecond, Max: 19 * time.Millisecond},
				{Kind: history.Swap, OK: 2884, Refused: 21, Unknown: 17,
					P50: 2300 * time.Microsecond, P99: 15 * time.Millisecond, Max: 1420 * time.Millisecond},
			},
		},
		Violations: []history.Violation{},
		Notes:      []string{"The members and the clients shared one machine: latencies say little about a network."},
	}
	name := func(i int) string { return fmt.Sprintf("n%d", i+1) }
	for i := range d.members {
		r.Cluster.Members = append(r.Cluster.Members, report.Member{
			Name: name(i), ID: fmt.Sprintf("%x", 0x8e9e05c52164694d+uint64(i)),
			Endpoint: fmt.Sprintf("127.0.0.1:%d", 2379+10*i), Version: "v0.9.0",
		})
		r.Timeline.Sides = append(r.Timeline.Sides, report.Side{Member: name(i)})
	}
	t := &r.Timeline
	t.Step = d.step
	leader, term := 0, uint64(2)
	since := time.Duration(0)
	for n := range d.rounds {
		begin := time.Duration(n)*d.round + d.round/3
		healed := time.Duration(n)*d.round + 2*d.round/3
		gap := d.gap + time.Duration(random.IntN(300))*time.Millisecond
		next := (leader + 1 + random.IntN(max(1, d.members-1))) % d.members
		what := "killed with SIGKILL"
		t.Faults = append(t.Faults, history.Fault{At: begin, Until: healed, Round: n + 1, Members: []string{name(leader)}, What: what})
		elected := min(begin+gap, healed)
		t.Leaders = append(t.Leaders, report.Reign{Leader: name(leader), Term: term, Span: report.Span{Begin: since, End: begin}},
			report.Reign{Term: term, Span: report.Span{Begin: begin, End: elected}})
		r.Rounds = append(r.Rounds, report.Round{Number: n + 1, Begin: begin, Healed: healed, What: name(leader) + " " + what,
			Leader: name(leader), Next: name(next), Gap: gap})
		for i := range t.Sides {
			until := elected
			if i == leader {
				until = healed
			}
			t.Sides[i].Gaps = append(t.Sides[i].Gaps, report.Span{Begin: begin, End: until})
		}
		leader, term, since = next, term+1, elected
	}
	t.Leaders = append(t.Leaders, report.Reign{Leader: name(leader), Term: term, Span: report.Span{Begin: since, End: total}})
	for at := time.Duration(0); at < total; at += d.step {
		d.point(t, at, random)
	}
	return r
}

// point adds the step that begins at a time.
func (d drill) point(t *report.Timeline, at time.Duration, random *rand.Rand) {
	var p report.Point
	for i := range t.Sides {
		s := &t.Sides[i]
		rate := 400 / float64(d.members) * d.step.Seconds()
		ok, errors := int(rate*(1.7+0.3*random.Float64())), 0
		for _, g := range s.Gaps {
			if g.Begin <= at && at < g.End {
				ok, errors = 0, 1+random.IntN(1+int(rate/6))
			}
		}
		s.OK, s.Errors = append(s.OK, ok), append(s.Errors, errors)
		p.Writes += ok * 2 / 5
		p.Reads += ok - ok*2/5
		p.Errors += errors
	}
	if p.Writes+p.Reads > 0 {
		p.P50 = time.Duration(900+random.IntN(700)) * time.Microsecond
		p.P99 = time.Duration(4+random.IntN(10)) * time.Millisecond
		if random.IntN(20) == 0 {
			p.P99 *= 12
		}
	}
	t.Points = append(t.Points, p)
}
