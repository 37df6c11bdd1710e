package main

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/quorumkv/quorumkv/internal/drill/admin"
	"github.com/quorumkv/quorumkv/internal/drill/localcluster"
	"github.com/quorumkv/quorumkv/internal/local"
)

// startLocalMembers starts a cluster of server processes that take part in drills.
func startLocalMembers(ctx context.Context, m localMembers) (*drillCluster, error) {
	server, err := local.FindServer(m.server, "--server")
	if err != nil {
		return nil, err
	}
	token := rand.Text()
	c, err := localcluster.Start(ctx, localcluster.Config{
		Server: server, Members: m.count,
		Settings: map[string]string{"enable-drills": "true", "drills-token": token},
		Token:    token, SetFaults: admin.SetFaults,
		Died: func(e local.Exit) {
			m.say(fmt.Sprintf("%s has ended by itself (%s): %s", e.Node.Name, e.Reason, e.LastLine()))
		},
	})
	if err != nil {
		return nil, fmt.Errorf("start a cluster of %s: %w", server, err)
	}
	out := &drillCluster{Cluster: c, close: c.Close}
	if m.keep {
		c.Keep()
		out.data = c.Dir()
	}
	return out, nil
}
