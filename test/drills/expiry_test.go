package drills

import (
	"testing"
	"time"
)

// A member that nobody puts back comes back by itself.
func TestFaultEndsDocker(t *testing.T) {
	c := openCluster(t)
	const gone = 2
	if err := c.SetFaults(t.Context(), gone, isolation, 3*time.Second); err != nil {
		t.Fatal(err)
	}
	if off, err := c.off(t.Context()); err != nil || !off[gone] {
		t.Fatalf("%s is not off the network: %v, %v", c.members[gone].Name, off, err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; pass(t.Context(), 100*time.Millisecond) {
		off, err := c.off(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !off[gone] {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still off the network long after its fault's time", c.members[gone].Name)
		}
	}
	c.awaitSight(t, "all have all peers", func(_ int, s peerSight) bool { return s.active == len(c.members)-1 && s.hasLeader })
}
