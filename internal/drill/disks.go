package drill

import (
	"context"
	"fmt"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
	"github.com/quorumkv/quorumkv/internal/fault"
)

var diskStall = Scenario{
	Name: "disk-stall", Title: "Disk stall", Short: "let the disk of the leader's log hang, then a follower's",
	Does: "Writes to the log of the leader do not return for half a minute, as with a failing disk or a storage network that " +
		"hangs. In the next round the same happens to a follower.",
	Proves: "A leader whose disk hangs does not keep the cluster: another takes over. A follower whose disk hangs slows " +
		"nobody down.",
	NotProved: "What a disk does that returns wrong data: see the documentation on reliability.",
	Marks:     []string{"another leader within 2.5 s", "with a follower's disk: throughput of the others falls by 10 % at most"},
	Rounds:    2, Hold: 30 * time.Second,
	strike: func(ctx context.Context, r *round) error {
		leader, err := r.leader(ctx)
		if err != nil {
			return err
		}
		whom := leader
		r.kind = "leader"
		if r.number%2 == 0 {
			whom, r.kind = r.others(leader)[0], "follower"
		}
		r.begin("the disk of its log hangs", whom)
		if err := r.rule(ctx, whom, fault.Rules{Disk: fault.DiskStall}); err != nil {
			return err
		}
		r.full()
		return r.lastAndHeal(ctx)
	},
	marks: func(m *measured) (marks []report.Mark) {
		for _, s := range m.rounds {
			others := m.others(s.whom...)
			if s.kind == "leader" {
				marks = append(marks, atMost(fmt.Sprintf("another leader (round %d)", s.number), m.newLeader(s), 2500*time.Millisecond,
					"A leader that cannot write is of no use, though it still sends heartbeats."))
				continue
			}
			before, during := m.rate(others, s.begin-calm, s.begin), m.rate(others, s.struckAt, m.healing(s))
			marks = append(marks, share(fmt.Sprintf("throughput of the others (round %d)", s.number), min(1, during/max(before, 1)),
				int(before+0.5), 0.9, "A quorum is there without the slow member. In writes per second."))
		}
		return marks
	},
}

var diskFull = Scenario{
	Name: "disk-full", Title: "Disk full", Short: "let a member's disk run full, and free it again",
	Does: "The disk of the leader has no space left, for any file that would grow. After a while space is back.",
	Proves: "A full disk ends no process and loses nothing: writes are refused with a clear error, reads and deletes go on, " +
		"and writes come back by themselves when there is space.",
	NotProved: "That the other files on the same disk survive: give the member a volume of its own.",
	Marks: []string{"99 % of reads are answered", "deletes are taken", "writes are back 5 s after the space",
		"no member ends"},
	Rounds: 1, Hold: 8 * time.Second,
	strike: func(ctx context.Context, r *round) error {
		leader, err := r.leader(ctx)
		if err != nil {
			return err
		}
		r.begin("its disk is full", leader)
		if err := r.rule(ctx, leader, fault.Rules{Disk: fault.DiskFull}); err != nil {
			return err
		}
		refused := func() bool { return r.rec.Totals().Refused > 0 }
		if err := until(ctx, 10*time.Second, "a write that is refused for want of space", refused); err != nil {
			return err
		}
		r.full()
		r.show.say("writes are refused, %v after the disk was full", (r.struckAt - r.struck.begin).Round(time.Millisecond))
		if err := r.lastAndHeal(ctx); err != nil {
			return err
		}
		return r.awaitWrite(ctx, r.over)
	},
	marks: func(m *measured) []report.Mark {
		var reads, of, deletes int
		var back time.Duration
		for _, s := range m.rounds {
			part, n := m.served(s, m.others(), history.Get, history.Stale)
			reads, of = reads+int(part*float64(n)+0.5), of+n
			deletes += m.count(s, m.others(), func(o *history.Op) bool { return o.Kind == history.Delete && o.Outcome == history.OK })
			back = max(back, m.firstPut(s.over))
		}
		return []report.Mark{
			share("reads answered while the disk is full", float64(reads)/float64(max(1, of)), of, 0.99, "Whoever only reads must "+
				"not notice."),
			{
				Name: "deletes taken while the disk is full", Value: fmt.Sprint(deletes), Bound: ">= 1", Kept: deletes > 0,
				Why: "How an application makes room.",
			},
			atMost("until writes are back", back, 5*time.Second, "Nobody has to clear an alarm by hand."),
		}
	},
}

// firstPut is how long after a time the first put was acknowledged, -1 if none was.
func (m *measured) firstPut(after time.Duration) time.Duration {
	for i := range m.h.Ops {
		if op := &m.h.Ops[i]; op.End > after && op.Kind == history.Put && op.Outcome == history.OK {
			return op.End - after
		}
	}
	return -1
}
