package e2e

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestKillUnderLoad kills nodes with SIGKILL while clients write and read: the leader, a follower, a majority. Nothing
// acknowledged may be lost, nothing may go back in time, and a majority must always make progress.
func TestKillUnderLoad(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	rng, seed := newRand(t)
	c := cluster.Start(t, cluster.Config{})
	load := startLoad(t, c, 24, 6, seed)
	awaitAcks(t, load, 200)

	gaps := map[string][]time.Duration{}
	for round := range rounds {
		kind, victims := victims(c, rng, round)
		for _, v := range victims {
			c.Nodes[v].Kill()
		}
		// Without a majority nothing can be acknowledged; with one, the gap includes the election.
		if len(victims)*2 < len(c.Nodes) {
			gaps[kind] = append(gaps[kind], awaitAcks(t, load, 50))
		}
		for _, v := range victims {
			c.Nodes[v].Start()
		}
		for _, v := range victims {
			c.Nodes[v].AwaitReady()
		}
		if len(victims)*2 > len(c.Nodes) {
			gaps[kind] = append(gaps[kind], awaitAcks(t, load, 50))
		}
		awaitAcks(t, load, 200)
	}
	for kind, g := range gaps {
		slices.Sort(g)
		t.Logf("killed %s, %d times: 50 more acknowledgements after %v (median), %v (worst)", kind, len(g),
			g[len(g)/2].Round(time.Millisecond), g[len(g)-1].Round(time.Millisecond))
	}
	settle(t, c, load)
}

// victims chooses whom to kill: in half of the rounds the leader, sometimes a majority with or without it.
func victims(c *cluster.Cluster, rng *rand.Rand, round int) (kind string, nodes []int) {
	leader := c.Leader()
	followers := c.Followers()
	first := followers[rng.IntN(len(followers))]
	switch {
	case round%2 == 0:
		return "the leader", []int{leader}
	case round%10 == 5:
		return "leader and a follower", []int{leader, first}
	case round%10 == 9:
		return "both followers", followers
	default:
		return "a follower", []int{first}
	}
}

// TestAllKilledAtOnce kills every node at the same moment under load, several times: what was acknowledged was on disk.
func TestAllKilledAtOnce(t *testing.T) {
	rounds := 4
	if testing.Short() {
		rounds = 1
	}
	_, seed := newRand(t)
	c := cluster.Start(t, cluster.Config{})
	load := startLoad(t, c, 24, 6, seed)
	for range rounds {
		awaitAcks(t, load, 1000)
		c.KillAll()
		begin := time.Now()
		c.StartAll()
		ready := time.Since(begin)
		t.Logf("all ready after %v, first acknowledgements after %v", ready.Round(time.Millisecond),
			(ready + awaitAcks(t, load, 1)).Round(time.Millisecond))
	}
	awaitAcks(t, load, 200)
	settle(t, c, load)
}

// TestLeaderGone: those whose leader's process has ended know it, and do not wait for an election timeout. How soon another
// leads is chance, and so is whether both hear of it before.
func TestLeaderGone(t *testing.T) {
	onlyQuorumKV(t)
	c := cluster.Start(t, cluster.Config{})
	c.AwaitHealthy()
	survivors := c.Followers()
	leader, term := c.LeaderAfter(0)
	c.Nodes[leader].Kill()
	if !slices.ContainsFunc(survivors, func(i int) bool {
		_, told := c.Nodes[i].AwaitLog("the leader's process is gone", 10*time.Second)
		return told
	}) {
		t.Fatal("no follower noticed")
	}
	c.LeaderAfter(term)
}
