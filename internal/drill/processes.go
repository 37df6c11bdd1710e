package drill

import (
	"context"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
	"github.com/quorumkv/quorumkv/internal/fault"
)

var rollingRestart = Scenario{
	Name: "rolling-restart", Title: "Rolling restart", Short: "restart one member after the other, as an upgrade does",
	Does: "One member after the other is stopped with SIGTERM and started again with its data; the next one follows when all " +
		"serve.",
	Proves: "An upgrade, or a new kernel, costs clients that know all endpoints nothing but a moment: a leader hands over " +
		"before it stops.",
	NotProved:      "That two versions understand each other: both starts run the same program.",
	Marks:          []string{"no request fails that is sent to one member after the other", "write gap per member: p50 at most 300 ms"},
	NeedsProcesses: true, Hold: time.Second, // Rounds: one for each member
	strike: func(ctx context.Context, r *round) error {
		i := (r.number - 1) % len(r.members)
		r.begin("restarted", i)
		r.whom = nil
		r.done.set(i, func(c *condition) { c.down = true })
		if err := r.cluster.Processes().Stop(i); err != nil {
			return err
		}
		r.full()
		return r.heal(ctx)
	},
	marks: func(m *measured) []report.Mark {
		return []report.Mark{
			none("requests that failed on every member in turn", m.rec.GaveUp(), "What an application with all endpoints would "+
				"have seen fail."),
			atMost("write gap per member, p50", percentile(m.gaps(""), 50), 300*time.Millisecond, "How long no client at all got a "+
				"write acknowledged."),
		}
	},
}

var pause = Scenario{
	Name: "pause", Title: "Pause", Short: "freeze the leader, then a follower; then set clocks wrong",
	Does: "In turn: the leader's process is stopped for a while, as a virtual machine that moves, and goes on as if nothing " +
		"had happened; a follower likewise; the wall clocks of all members jump by an hour, forth and back.",
	Proves: "A leader that slept does not answer from the past, ends no lease that was kept alive elsewhere meanwhile, and " +
		"no decision depends on the time of day.",
	NotProved:      "Clocks that run too fast or too slow: the simulator covers those.",
	Marks:          []string{"0 stale reads", "0 leases lost that were kept alive", "write gap at most 3.5 s"},
	NeedsProcesses: true, Rounds: 3, Hold: 10 * time.Second,
	strike: func(ctx context.Context, r *round) error {
		leader, err := r.leader(ctx)
		if err != nil {
			return err
		}
		switch r.number % 3 {
		case 1:
			r.begin("its process is stopped", leader)
			err = r.pause(leader)
		case 2:
			follower := r.others(leader)[0]
			r.begin("its process is stopped", follower)
			err = r.pause(follower)
		default:
			err = r.stepClocks(ctx)
		}
		if err != nil {
			return err
		}
		return r.lastAndHeal(ctx)
	},
	marks: func(m *measured) []report.Mark {
		return []report.Mark{atMost("write gap of the others", percentile(m.gaps(""), 100), 3500*time.Millisecond,
			"A leader that sleeps is replaced like a dead one.")}
	},
}

// stepClocks lets the wall clocks of all members jump, in different directions.
func (r *round) stepClocks(ctx context.Context) error {
	r.begin("wall clocks jump by an hour", r.others()...)
	r.whom = nil
	for i := range r.members {
		step := time.Hour
		if i%2 == 1 {
			step = -time.Hour
		}
		if err := r.rule(ctx, i, fault.Rules{Wall: step}); err != nil {
			return err
		}
	}
	r.full()
	return nil
}

var minorityDown = Scenario{
	Name: "minority-down", Title: "Minority down", Short: "lose as many members as the cluster must be able to lose",
	Does: "The largest minority, with the leader in it, is killed (on a running cluster: cut off), stays away for a while " +
		"and comes back.",
	Proves:    "The others go on alone, with all that was acknowledged, and those that come back catch up.",
	NotProved: "That the disks of the lost members are not needed: they come back with their data.",
	Marks:     []string{"write gap at most 3.5 s", "all members serve 10 s after they are back"}, Rounds: 2, Hold: 8 * time.Second,
	strike: func(ctx context.Context, r *round) error {
		return r.lose(ctx, (len(r.members)-1)/2)
	},
	marks: func(m *measured) []report.Mark {
		return []report.Mark{
			atMost("write gap of the others", percentile(m.gaps(""), 100), 3500*time.Millisecond, "The majority needs a new "+
				"leader, nothing else."),
			atMost("until all members serve again", m.slowestHeal(), 10*time.Second, "They start, and catch up with what they missed."),
		}
	},
}

var majorityDown = Scenario{
	Name: "majority-down", Title: "Majority down", Short: "lose more members than the cluster can lose, and get them back",
	Does: "A majority, with the leader in it, is killed (on a running cluster: cut off). The others have no quorum. Then the " +
		"lost members come back with their data.",
	Proves: "Without a quorum no write is acknowledged and no linearizable read answered, serializable reads go on, and when " +
		"the members are back so is everything, with nothing lost.",
	NotProved: "Recovery without the lost disks: that needs a snapshot, or an operator's decision about what to lose.",
	Marks: []string{"0 writes and 0 linearizable reads without a quorum", "99 % of serializable reads are answered",
		"all members serve 10 s after they are back"},
	Rounds: 1, Hold: 8 * time.Second,
	strike: func(ctx context.Context, r *round) error {
		return r.lose(ctx, len(r.members)/2+1)
	},
	marks: func(m *measured) []report.Mark {
		var writes, reads, stale, answered int
		for _, s := range m.rounds {
			left := m.others(s.whom...)
			writes += m.count(s, left, func(o *history.Op) bool { return o.Outcome == history.OK && o.Kind.Writes() })
			reads += m.count(s, left, func(o *history.Op) bool { return o.Outcome == history.OK && o.Kind == history.Get })
			part, of := m.served(s, left, history.Stale)
			stale, answered = stale+of, answered+int(part*float64(of)+0.5)
		}
		return []report.Mark{
			none("writes acknowledged without a quorum", writes, "Each would be a promise that the members left cannot keep."),
			none("linearizable reads answered without a quorum", reads, "Each might be old: nobody could know."),
			share("serializable reads answered", float64(answered)/float64(max(1, stale)), stale, 0.99, "What goes on while an "+
				"operator looks for the others."),
			atMost("until all members serve again", m.slowestHeal(), 10*time.Second, "From the start of the lost members on."),
		}
	},
}

// lose fells so many members, the leader among them, and gets them back.
func (r *round) lose(ctx context.Context, n int) error {
	leader, err := r.leader(ctx)
	if err != nil {
		return err
	}
	if err := r.fell(ctx, true, append([]int{leader}, r.others(leader)[:n-1]...)...); err != nil {
		return err
	}
	return r.lastAndHeal(ctx)
}

// slowestHeal is the longest time from a heal until all members served, -1 when that never came.
func (m *measured) slowestHeal() time.Duration {
	slowest := time.Duration(0)
	for _, s := range m.rounds {
		d := m.healed(s)
		if d < 0 {
			return d
		}
		slowest = max(slowest, d)
	}
	return slowest
}
