package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

func (a *app) newEndpointHealth(cluster *bool) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Check whether each endpoint can serve reads that a majority agrees on",
		Long: "Check whether each endpoint can serve reads that a majority agrees on, and whether alarms are raised.\n\n" +
			"All endpoints are asked at the same time. The exit code is 1 when one of them is not healthy.",
		Example: `  quorumctl endpoint health
  quorumctl endpoint health --cluster -w table`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.newSurvey(cmd, cluster)
		if err != nil {
			return err
		}
		list := make([]output.Health, len(s.targets))
		failures := make([]*failure, len(s.targets))
		var checks sync.WaitGroup
		for i, ep := range s.targets {
			checks.Go(func() { list[i], failures[i] = s.health(ep) })
		}
		checks.Wait()

		unhealthy := failf(exitError, "unhealthy cluster")
		sick := false
		for i, f := range failures {
			if f == nil {
				if list[i].Error != "" {
					sick = true
					unhealthy.hint("%s: %s", s.targets[i], alarmHint(list[i].Error))
				}
				continue
			}
			if f.code == exitBadArgs {
				return f // nothing was asked: the settings are wrong
			}
			sick = true
			unhealthy.hints = append(unhealthy.hints, f.hints...)
		}
		if err := s.Health(list); err != nil {
			return err
		}
		if sick {
			a.stdout.Flush()
			return unhealthy
		}
		return nil
	}
	return cmd
}

// health reads some key through consensus. To be denied permission is good health: the answer went through consensus.
func (s settings) health(endpoint string) (output.Health, *failure) {
	h := output.Health{Endpoint: endpoint}
	f := s.ask(endpoint, func(ctx context.Context, c *session) error {
		start := time.Now()
		_, err := c.Get(ctx, "health")
		h.Took = time.Since(start).String()
		if err != nil && !errors.Is(err, rpctypes.ErrPermissionDenied) {
			return err
		}
		h.Error = alarms(c.AlarmList(ctx))
		h.Healthy = h.Error == ""
		return nil
	})
	if f != nil {
		h.Error = f.err.Error()
	}
	return h, f
}

// alarms says in etcdctl's words what is wrong, or nothing.
func alarms(r *clientv3.AlarmResponse, err error) string {
	if err != nil {
		return "Unable to fetch the alarm list"
	}
	if len(r.Alarms) == 0 {
		return ""
	}
	var text strings.Builder
	text.WriteString("Active Alarm(s): ")
	for _, alarm := range r.Alarms {
		switch kind := alarm.GetAlarm(); kind {
		case pb.AlarmType_NOSPACE, pb.AlarmType_CORRUPT:
			text.WriteString(kind.String() + " ")
		default:
			text.WriteString("UNKNOWN ")
		}
	}
	return text.String()
}

func alarmHint(text string) string {
	switch {
	case strings.Contains(text, pb.AlarmType_CORRUPT.String()):
		return "a member's data differs from the others'; compare them with `quorumctl endpoint hashkv --cluster`"
	case strings.Contains(text, pb.AlarmType_NOSPACE.String()):
		return "the space is used up; `quorumctl alarm list` says on whose disk: free some there, or delete keys and compact"
	default:
		return "it answers reads, but something is wrong; its log may say more"
	}
}
