package drills

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill"
	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

const seedEnv = "QUORUMKV_TEST_SEED"

// The split-brain drill passes when it is the engine that takes the leader off the network.
func TestSplitBrainDocker(t *testing.T) {
	c := openCluster(t)
	scenario, ok := drill.Find("split-brain")
	if !ok {
		t.Fatal("there is no scenario split-brain")
	}
	seed := testSeed(t)
	watching, stop := context.WithCancel(t.Context())
	defer stop()
	isolated := make(chan map[string]bool, 1) // from the watch below, once
	go func() { isolated <- c.watchIsolated(watching) }()

	rep, h, err := drill.Run(t.Context(), c, scenario, drill.Options{
		// Round 1 is the one that cuts a minority off; the others need messages to be lost in one direction, or by pair.
		Rounds: 1, Seed: seed, Command: seedEnv + "=" + strconv.FormatUint(seed, 10) + " make drills-docker",
	}, newsOf{t})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	seen := <-isolated
	t.Logf("reports: %s", writeReports(t, rep, h))
	if rep.Verdict != report.Passed {
		t.Errorf("%s: %s\nmarks %+v\nnotes %q", rep.Verdict, rep.Summary, rep.Marks, rep.Notes)
	}

	// What the verdict means depends on a cut that was one.
	if len(rep.Rounds) != 1 || len(h.Faults) != 1 || len(h.Faults[0].Members) != 1 {
		t.Fatalf("want one round with one member struck, got %+v, %+v", rep.Rounds, h.Faults)
	}
	round, fault := rep.Rounds[0], h.Faults[0]
	old := fault.Members[0]
	if len(seen) != 1 || !seen[old] {
		t.Errorf("members that said they had lost all peers and the leader while off the network: %v, want %s", seen, old)
	}
	if round.Leader != old || round.Next == old || round.Next == "" {
		t.Errorf("the leader was %s, %s was struck, and %q led in the end", round.Leader, old, round.Next)
	}
	during := func(from, to time.Duration) bool { return from >= fault.At && to <= fault.Until }
	var failed, polled, writes int
	for _, op := range h.Ops {
		switch {
		case !during(op.Begin, op.End):
		case op.Member == old && op.Outcome != history.OK:
			failed++
		case op.Member != old && op.Kind.Writes() && op.Outcome == history.OK:
			writes++
		}
	}
	for _, p := range h.Polls {
		if during(p.At, p.At) && p.Member == old && p.Error == "" {
			polled++
		}
	}
	t.Logf("%v without %s: %d requests to it failed, %d polls it answered; the others acknowledged %d writes",
		(fault.Until - fault.At).Round(time.Millisecond), old, failed, polled, writes)
	if failed == 0 || polled == 0 {
		t.Errorf("clients asked %s for nothing, or did not reach it: that proves nothing", old)
	}
	if writes == 0 {
		t.Error("the majority acknowledged no write during the cut")
	}
}

// watchIsolated looks at all members until ctx ends, and returns those that said themselves, while they were off the
// network, that they had lost all peers and the leader.
func (c *composeCluster) watchIsolated(ctx context.Context) map[string]bool {
	isolated := map[string]bool{}
	for ctx.Err() == nil {
		before, err := c.off(ctx)
		for i, m := range c.members {
			if err != nil || !before[i] || isolated[m.Name] {
				continue
			}
			s, err := c.sight(ctx, i)
			after, offErr := c.off(ctx)
			isolated[m.Name] = err == nil && offErr == nil && after[i] && s.active == 0 && !s.hasLeader
		}
		pass(ctx, 200*time.Millisecond)
	}
	return isolated
}

// newsOf logs a drill's news.
type newsOf struct{ *testing.T }

func (n newsOf) Observe(p drill.Progress) {
	if p.Line != "" {
		n.Logf("%5.1f s  %s", p.Elapsed.Seconds(), p.Line)
	}
}

func testSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv(seedEnv)
	if text == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", seedEnv, err)
	}
	return seed
}
