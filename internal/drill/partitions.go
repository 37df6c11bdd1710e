package drill

import (
	"context"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
	"github.com/quorumkv/quorumkv/internal/fault"
)

var splitBrain = Scenario{
	Name: "split-brain", Title: "Split brain", Short: "cut the cluster in two, the old leader in the minority, clients on " +
		"both sides",
	Does: "In turn: the leader is cut off with a minority; the leader cannot hear the others; two halves see each other only " +
		"through one member, the bridge; the leader cannot be heard. Clients go on on every side all the time. Then the cut is " +
		"healed.",
	Proves: "A minority acknowledges no write and answers no linearizable read, however sure its leader is of itself. So " +
		"there are never two truths, and nothing has to be merged or thrown away when the network is whole again.",
	NotProved: "That clients find the right side: that is up to their list of endpoints. Serializable reads on the minority " +
		"are answered, and may be old; that is what they are for.",
	Marks:  []string{"the minority acknowledges 0 writes and 0 linearizable reads", "all members serve 5 s after the heal"},
	Rounds: 4, Hold: 8 * time.Second,
	strike: func(ctx context.Context, r *round) error {
		leader, err := r.leader(ctx)
		if err != nil {
			return err
		}
		if err := r.split(ctx, leader); err != nil {
			return err
		}
		return r.lastAndHeal(ctx)
	},
	marks: func(m *measured) []report.Mark {
		var writes, reads int
		var heal, gap time.Duration
		for _, s := range m.rounds {
			heal = max(heal, m.healed(s))
			if s.kind != "minority" {
				continue
			}
			writes += m.count(s, s.whom, func(o *history.Op) bool { return o.Outcome == history.OK && o.Kind.Writes() })
			reads += m.count(s, s.whom, func(o *history.Op) bool { return o.Outcome == history.OK && o.Kind == history.Get })
			gap = max(gap, m.gap(m.others(s.whom...), s.begin, m.healing(s)))
		}
		return []report.Mark{
			none("writes that the minority acknowledged", writes, "Each would be lost, or overwrite another, after the heal."),
			none("linearizable reads that the minority answered", reads, "Each could be older than what the majority has acknowledged."),
			atMost("write gap on the majority's side", gap, 3500*time.Millisecond, "The majority goes on once it has a leader of "+
				"its own."),
			atMost("until all members serve after the heal", heal, 5*time.Second, "How long the other side stays behind."),
		}
	},
}

// healed is how long it took after a heal until all members served, -1 if they did not.
func (m *measured) healed(s struck) time.Duration {
	if s.well == 0 {
		return -1
	}
	return s.well - s.over
}

// split cuts the network in the way of the round.
func (r *round) split(ctx context.Context, leader int) error {
	rest := r.others(leader)
	switch r.number % 4 {
	case 1:
		minority := append([]int{leader}, rest[:(len(r.members)-1)/2-1]...)
		r.kind = "minority"
		r.begin("cut off from the majority", minority...)
		return r.cut(ctx, minority)
	case 2:
		r.begin("cannot hear the other members, they hear it", leader)
		return r.links(ctx, []int{leader}, rest, fault.Link{In: true, Drop: 1})
	case 3:
		bridge := rest[0]
		half := append([]int{leader}, rest[1:1+(len(rest)-1)/2]...)
		far := r.others(append([]int{bridge}, half...)...)
		r.begin("see each other only through "+r.members[bridge].Name, append(half, far...)...)
		r.whom = nil
		return r.links(ctx, half, far, fault.Link{In: true, Out: true, Drop: 1})
	default:
		r.begin("cannot be heard by the other members, it hears them", leader)
		return r.links(ctx, []int{leader}, rest, fault.Link{Out: true, Drop: 1})
	}
}

var slowNetwork = Scenario{
	Name: "slow-network", Title: "Slow network", Short: "delay and lose messages between all members",
	Does:      "All traffic between members is late by 20 to 60 ms and loses 2 % of its messages, as between far sites on a bad day.",
	Proves:    "The cluster keeps its leader and goes on, slower, and nothing comes out of order.",
	NotProved: "Any figure of throughput on such a network: the load is a light one.",
	Marks:     []string{"the leader stays", "write gap at most 2 s"}, Rounds: 1, Hold: 20 * time.Second,
	strike: func(ctx context.Context, r *round) error {
		if _, err := r.leader(ctx); err != nil {
			return err
		}
		r.begin("messages to the others are 20 to 60 ms late, 2 % get lost", r.others()...)
		r.whom = nil
		for i := range r.members {
			slow := fault.Link{Out: true, Drop: 0.02, Delay: 20 * time.Millisecond, Jitter: 40 * time.Millisecond}
			if err := r.rule(ctx, i, fault.Rules{Links: []fault.Link{slow}}); err != nil {
				return err
			}
		}
		r.full()
		return r.lastAndHeal(ctx)
	},
	marks: func(m *measured) []report.Mark {
		return []report.Mark{m.steady(), atMost("write gap", percentile(m.gaps(""), 100), 2*time.Second, "Lost messages are "+
			"sent again with the next heartbeat.")}
	},
}

// steady is the mark that the leader stays as long as a fault lasts.
func (m *measured) steady() report.Mark {
	changes := 0
	for _, s := range m.rounds {
		changes += m.leaderChanges(s.begin, m.end(s))
	}
	return none("changes of the leader", changes, "A network that is bad, not broken, is no reason for an election.")
}

var flappingLink = Scenario{
	Name: "flapping-link", Title: "Flapping link", Short: "let the link between the leader and a follower come and go",
	Does: "The link between the leader and one follower is cut for a part of a second to a second, and is back for as long, " +
		"again and again.",
	Proves: "A follower that loses the leader for a moment does not depose it when it comes back, and clients of the others " +
		"notice nothing.",
	NotProved: "What a link does that corrupts data: messages carry checksums, and unit tests cover them.",
	Marks:     []string{"the leader stays", "write gap of the others at most 1 s"}, Rounds: 1, Hold: 20 * time.Second,
	strike: func(ctx context.Context, r *round) error {
		leader, err := r.leader(ctx)
		if err != nil {
			return err
		}
		follower := r.others(leader)[0]
		r.begin("its link with the leader "+r.members[leader].Name+" comes and goes", follower)
		for end := r.rec.Now() + r.hold; r.rec.Now() < end; {
			if err := r.links(ctx, []int{follower}, []int{leader}, fault.Link{In: true, Out: true, Drop: 1}); err != nil {
				return err
			}
			if err := pass(ctx, r.moment()); err != nil {
				return err
			}
			for _, i := range []int{follower, leader} {
				if err := r.rule(ctx, i, fault.Rules{}); err != nil {
					return err
				}
			}
			if err := pass(ctx, r.moment()); err != nil {
				return err
			}
		}
		return r.heal(ctx)
	},
	marks: func(m *measured) []report.Mark {
		return []report.Mark{m.steady(), atMost("write gap of the others", percentile(m.gaps(""), 100), time.Second,
			"Whoever does not use the link must not notice.")}
	},
}

// moment is 300 ms to 1 s.
func (r *round) moment() time.Duration {
	return 300*time.Millisecond + time.Duration(r.rng.Int64N(int64(700*time.Millisecond)))
}
