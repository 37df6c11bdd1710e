package e2e

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestMembers checks that every node tells the same about the members, and each member's own truth.
func TestMembers(t *testing.T) {
	c := cluster.Start(t, cluster.Config{})
	ids := c.MemberIDs()
	leader := c.Leader()
	for i := range c.Nodes {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		list, err := c.Client(i).MemberList(ctx)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if len(list.Members) != len(c.Nodes) {
			t.Errorf("%s lists %d members", c.Nodes[i].Name, len(list.Members))
		}
		for _, m := range list.Members {
			at := slices.Index(ids, m.ID)
			if at < 0 {
				t.Errorf("%s lists member %x, which is none of %x", c.Nodes[i].Name, m.ID, ids)
				continue
			}
			n := c.Nodes[at]
			if m.Name != n.Name || m.IsLearner || !slices.Equal(m.PeerURLs, []string{"http://" + n.PeerAddr}) ||
				!slices.Equal(m.ClientURLs, []string{n.ClientURL()}) {
				t.Errorf("%s says of %s: %v", c.Nodes[i].Name, n.Name, m)
			}
		}
		status, err := c.Status(i)
		if err != nil {
			t.Fatal(err)
		}
		if status.Leader != ids[leader] || len(status.Errors) != 0 {
			t.Errorf("%s names leader %x and errors %v; %x leads", c.Nodes[i].Name, status.Leader, status.Errors, ids[leader])
		}
		if status.RaftIndex == 0 || status.RaftAppliedIndex > status.RaftIndex {
			t.Errorf("%s has applied index %d of %d", c.Nodes[i].Name, status.RaftAppliedIndex, status.RaftIndex)
		}
		if status.DbSize == 0 || status.DbSizeInUse == 0 || status.DbSizeInUse > status.DbSize {
			t.Errorf("%s uses %d of %d bytes of its state file", c.Nodes[i].Name, status.DbSizeInUse, status.DbSize)
		}
	}
}
