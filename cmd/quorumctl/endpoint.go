package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

func (a *app) newEndpoint() *cobra.Command {
	var cluster bool
	cmd := &cobra.Command{
		Use:   "endpoint <subcommand>",
		Short: "Ask every endpoint for its health, status or hash",
		Long:  "Ask every endpoint of --endpoints, or every member of the cluster with --cluster, one by one.",
		Example: `  quorumctl endpoint health --cluster
  quorumctl endpoint status -w table
  quorumctl endpoint hashkv --cluster`,
		GroupID: groupCluster,
	}
	cmd.PersistentFlags().BoolVar(&cluster, "cluster", false, "ask all members that the cluster lists")
	return parent(cmd, a.newEndpointHealth(&cluster), a.newEndpointStatus(&cluster), a.newEndpointHashKV(&cluster))
}

// survey is one command to many endpoints.
type survey struct {
	output.Endpoints
	settings
	targets []string
}

func (a *app) newSurvey(cmd *cobra.Command, cluster *bool) (survey, error) {
	printer, set, err := prepare(a, cmd, output.NewEndpoints)
	if err != nil {
		return survey{}, err
	}
	targets := set.spec.Endpoints
	if len(targets) == 0 {
		err := clientv3.ErrNoAvailableEndpoints
		return survey{}, &failure{code: exitBadConnection, err: err, hints: hints(err, reach{})}
	}
	if *cluster {
		if targets, err = set.memberEndpoints(); err != nil {
			return survey{}, err
		}
	}
	return survey{printer, set, targets}, nil
}

// memberEndpoints returns the client URLs of all members. One that has not started yet has none.
func (s settings) memberEndpoints() ([]string, error) {
	c, failed := s.open(s.spec.Endpoints)
	if failed != nil {
		return nil, failed
	}
	defer c.Close()
	ctx, cancel := c.context()
	defer cancel()
	r, err := c.MemberList(ctx)
	if err != nil {
		f := c.explain(err)
		f.err = fmt.Errorf("failed to fetch endpoints from etcd cluster member list: %w", err)
		return nil, f
	}
	var urls []string
	for _, m := range r.Members {
		urls = append(urls, m.GetClientURLs()...)
	}
	return urls, nil
}

// ask calls one endpoint with a client of its own.
func (s settings) ask(endpoint string, call func(context.Context, *session) error) *failure {
	c, failed := s.open([]string{endpoint})
	if failed != nil {
		return failed
	}
	defer c.Close()
	ctx, cancel := c.context()
	defer cancel()
	if err := call(ctx, c); err != nil {
		return c.explain(err)
	}
	return nil
}
