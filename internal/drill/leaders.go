package drill

import (
	"context"
	"fmt"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/report"
)

var failover = Scenario{
	Name: "failover", Title: "Failover", Short: "kill the leader, or cut it off, again and again",
	Does: "In each round the leader is killed with SIGKILL or, in every second round and on a running cluster always, cut " +
		"off from all other members. It comes back once another member leads and has taken writes for a while.",
	Proves: "The cluster elects another leader by itself within seconds, everything that was acknowledged before and after " +
		"is still there, no client was told anything wrong, and the old leader comes back as a follower.",
	NotProved: "That a whole site may fail at once (see majority-down), or that disks survive a loss of power: a killed " +
		"process leaves its files to the kernel.",
	Marks: []string{"write gap: p50 at most 2 s, p99 at most 3.5 s"}, Rounds: 20, Hold: 1500 * time.Millisecond,
	strike: func(ctx context.Context, r *round) error {
		leader, err := r.leader(ctx)
		if err != nil {
			return err
		}
		if err := r.fell(ctx, r.number%2 == 1, leader); err != nil {
			return err
		}
		next, err := r.awaitLeader(ctx, leader)
		if err != nil {
			return err
		}
		r.show.say("%s leads, %v after %s was struck", r.members[next].Name, (r.rec.Now() - r.struckAt).Round(time.Millisecond),
			r.members[leader].Name)
		if err := r.awaitWrite(ctx, r.struckAt); err != nil {
			return err
		}
		return r.lastAndHeal(ctx)
	},
	marks: func(m *measured) []report.Mark {
		gaps := m.gaps("")
		const why = "How long clients of the other members wait when a leader dies: mostly the election timeout."
		return []report.Mark{
			atMost("write gap, p50", percentile(gaps, 50), 2*time.Second, why),
			atMost("write gap, p99", percentile(gaps, 99), 3500*time.Millisecond, "The worst of them: elections may need a second try."),
		}
	},
}

// fell kills members where that is possible and wanted, else cuts them off.
func (r *round) fell(ctx context.Context, kill bool, members ...int) error {
	if kill && r.cluster.Processes() != nil {
		r.begin("killed with SIGKILL", members...)
		for _, i := range members {
			if err := r.kill(i); err != nil {
				return err
			}
		}
		return nil
	}
	r.begin("cut off from all other members", members...)
	return r.isolate(ctx, members)
}

var handover = Scenario{
	Name: "handover", Title: "Handover", Short: "let the leader hand leadership over, as before maintenance",
	Does:      "In each round the leader is asked to hand leadership over to the next member, under load.",
	Proves:    "Leadership moves without an election's wait: an operator may do it at any time of day.",
	NotProved: "That a leader which cannot be asked any more is replaced as fast: see failover.",
	Marks:     []string{"write gap: p50 at most 100 ms, p99 at most 1.5 s"}, Rounds: 20, Hold: time.Second,
	strike: func(ctx context.Context, r *round) error {
		leader, err := r.leader(ctx)
		if err != nil {
			return err
		}
		next := (leader + 1) % len(r.members)
		r.begin("hands leadership over to "+r.members[next].Name, leader)
		r.whom = nil // everybody has to go on
		asking, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if _, err := r.client(leader).MoveLeader(asking, r.members[next].ID); err != nil {
			return fmt.Errorf("move leadership from %s to %s: %w", r.members[leader].Name, r.members[next].Name, err)
		}
		if _, err := r.awaitLeader(ctx, leader); err != nil {
			return err
		}
		return r.lastAndHeal(ctx)
	},
	marks: func(m *measured) []report.Mark {
		gaps := m.gaps("")
		return []report.Mark{
			atMost("write gap, p50", percentile(gaps, 50), 100*time.Millisecond, "What clients notice of a planned handover."),
			atMost("write gap, p99", percentile(gaps, 99), 1500*time.Millisecond, "The worst: one lost message costs an election "+
				"timeout."),
		}
	},
}
