package main

import (
	"context"

	"github.com/quorumkv/quorumkv/internal/drill"
	drillcheck "github.com/quorumkv/quorumkv/internal/drill/check"
	"github.com/quorumkv/quorumkv/internal/drill/history"
	drillreport "github.com/quorumkv/quorumkv/internal/drill/report"
)

// drillEngine is what the commands of drills are made of. Tests rehearse with another one.
type drillEngine struct {
	scenarios func() []drill.Scenario
	run       func(context.Context, drill.Cluster, drill.Scenario, drill.Options, drill.Observer) (*drillreport.Report,
		*history.History, error)
	judge func(*history.History) drillcheck.Result
	// startLocal starts a cluster of our own and waits until it is healthy; reach finds the members of a running one.
	startLocal func(context.Context, localMembers) (*drillCluster, error)
	reach      func(ctx context.Context, s settings, token string) (*drillCluster, error)
}

// localMembers are the processes of a cluster of our own.
type localMembers struct {
	count  int
	server string       // executable, "": find it
	keep   bool         // their data
	say    func(string) // tells the user that one has ended
}

// drillCluster is a cluster with what becomes of it after the drill.
type drillCluster struct {
	drill.Cluster
	close func() error // ends what was started, and closes all clients
	data  string       // folder that close leaves, "" when it leaves none
}

func newDrillEngine() drillEngine {
	return drillEngine{
		scenarios: drill.Scenarios, run: drill.Run, judge: drillcheck.All,
		startLocal: startLocalMembers, reach: reachMembers,
	}
}
