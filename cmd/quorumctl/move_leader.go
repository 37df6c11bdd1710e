package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

func (a *app) newMoveLeader() *cobra.Command {
	return &cobra.Command{
		Use:   "move-leader <transferee-member-id>",
		Short: "Make another member the leader",
		Long: "Have the leader, which must be among the endpoints, hand over to another voting member, as before its machine is " +
			"taken down.\nThe id is that of `quorumctl member list`.",
		Example:               `  quorumctl move-leader 8e9e05c52164694d`,
		GroupID:               groupCluster,
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return failf(exitBadArgs, "move-leader command needs 1 argument").
					hint("for example: quorumctl move-leader 8e9e05c52164694d")
			}
			target, err := strconv.ParseUint(args[0], 16, 64)
			if err != nil {
				return failf(exitBadArgs, "%w", err).
					hint("the member id is %q; allowed: a hexadecimal number, as in `quorumctl member list`", args[0])
			}
			printer, set, err := prepare(a, cmd, output.NewLeaders)
			if err != nil {
				return err
			}
			leader, err := set.findLeader()
			if err != nil {
				return err
			}
			s, f := set.open([]string{leader.endpoint})
			if f != nil {
				return f
			}
			defer s.Close()
			ctx, cancel := s.context()
			defer cancel()
			r, err := s.MoveLeader(ctx, target)
			if err != nil {
				return s.explainWrite(err)
			}
			return printer.MoveLeader(leader.id, target, r)
		},
	}
}

// leader is the member that says of itself that it leads.
type leader struct {
	id       uint64
	endpoint string
}

// findLeader asks the endpoints one after the other. One that does not answer counts only when none of the others leads.
func (s settings) findLeader() (leader, error) {
	var failed *failure
	for _, ep := range s.spec.Endpoints {
		var found leader
		f := s.ask(ep, func(ctx context.Context, c *session) error {
			r, err := c.Status(ctx, ep)
			if err == nil && r.Leader != 0 && r.Leader == r.Header.GetMemberId() {
				found = leader{r.Leader, ep}
			}
			return err
		})
		switch {
		case found.id != 0:
			return found, nil
		case f != nil && failed == nil:
			failed = f
		}
	}
	if failed != nil {
		return leader{}, failed
	}
	return leader{}, failf(exitBadArgs, "no leader endpoint given at %v", s.spec.Endpoints).
		hint("name the leader with --endpoints; `quorumctl endpoint status --cluster -w table` shows who leads")
}
