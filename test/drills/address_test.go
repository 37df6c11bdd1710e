package drills

import (
	"context"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/internal/fault"
)

// A member that comes back under another address is found by its name, both ways, although somebody else has the old one.
func TestAddressChangeDocker(t *testing.T) {
	c := openCluster(t)
	ctx := t.Context()
	const moved = 1
	name := c.members[moved].Name
	old, err := c.address(ctx, moved)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetFaults(ctx, moved, isolation, time.Minute); err != nil {
		t.Fatal(err)
	}
	c.awaitSight(t, name+" has lost its peers", func(i int, s peerSight) bool { return i != moved || s.active == 0 })
	c.startStranger(t)
	if err := c.SetFaults(ctx, moved, fault.Rules{}, 0); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	if now, err := c.address(ctx, moved); err != nil || now == old || now == "" {
		t.Fatalf("%s had the address %s and came back with %q (%v): the test needs another one", name, old, now, err)
	}
	c.awaitSight(t, "all have all peers", func(_ int, s peerSight) bool { return s.active == len(c.members)-1 && s.hasLeader })
	t.Logf("all connections were back after %v", time.Since(back).Round(time.Millisecond))
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := c.clients[moved].Get(asking, "health"); err != nil {
		t.Errorf("%s does not serve: %v", name, err)
	}
}

// isolation is the fault of a member that reaches nobody.
var isolation = fault.Rules{Links: []fault.Link{{In: true, Out: true, Drop: 1}}}

// startStranger starts a container that is none of the members on their network, where it takes the first free address.
func (c *composeCluster) startStranger(t *testing.T) {
	t.Helper()
	image, err := dockerOne(t.Context(), "inspect", "-f", "{{.Image}}", c.containers[0].id)
	if err != nil {
		t.Fatal(err)
	}
	// docker.sh removes what has the label, should this process come to its end too soon.
	id, err := dockerOne(t.Context(), "run", "-d", "--network", c.network, "--tmpfs", "/var/lib/quorumkv",
		"--label", "quorumkv-drill="+c.project, image)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := docker(context.Background(), "rm", "-f", "-v", id); err != nil {
			t.Error(err)
		}
	})
}

// awaitSight waits until what every member says about its peers is as it should be.
func (c *composeCluster) awaitSight(t *testing.T, what string, good func(int, peerSight) bool) {
	t.Helper()
	const limit = 20 * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for {
		all := true
		sights := make([]peerSight, len(c.members))
		for i := range c.members {
			var err error
			sights[i], err = c.sight(ctx, i)
			all = all && err == nil && good(i, sights[i])
		}
		if all {
			return
		}
		if !pass(ctx, 50*time.Millisecond) {
			t.Fatalf("%s: not within %v; last seen %+v", what, limit, sights)
		}
	}
}

// pass lets time pass, and reports false when ctx ended first.
func pass(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
