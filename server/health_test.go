package server

import (
	"testing"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/quorumkv/quorumkv/raftnode"
)

func TestHealthFollowsTheLeader(t *testing.T) {
	n := newSoloNode(t)
	n.change(func(s *raftnode.Status) { s.Leader = 0 })
	h := healthpb.NewHealthClient(serve(t, n, testConfig()).dial(t))
	ctx := testContext(t)
	for _, service := range []string{
		"", "etcdserverpb.KV", "etcdserverpb.Cluster", "etcdserverpb.Maintenance", "v3lockpb.Lock", "v3electionpb.Election",
	} {
		t.Run("service "+service, func(t *testing.T) {
			n.change(func(s *raftnode.Status) { s.Leader = 0 })
			w, err := h.Watch(ctx, &healthpb.HealthCheckRequest{Service: service})
			if err != nil {
				t.Fatal(err)
			}
			// until waits for a status; Watch first tells the current one, whatever it is.
			until := func(want healthpb.HealthCheckResponse_ServingStatus) {
				t.Helper()
				for {
					r, err := w.Recv()
					if err != nil {
						t.Fatal(err)
					}
					if r.Status == want {
						return
					}
				}
			}
			until(healthpb.HealthCheckResponse_NOT_SERVING)
			n.change(func(s *raftnode.Status) { s.Leader = testMember })
			until(healthpb.HealthCheckResponse_SERVING)
			r, err := h.Check(ctx, &healthpb.HealthCheckRequest{Service: service})
			if err != nil || r.Status != healthpb.HealthCheckResponse_SERVING {
				t.Errorf("check: %v, %v", r, err)
			}
			n.change(func(s *raftnode.Status) { s.Leader = 0 })
			until(healthpb.HealthCheckResponse_NOT_SERVING)
		})
	}
	if _, err := h.Check(ctx, &healthpb.HealthCheckRequest{Service: "etcdserverpb.Nothing"}); err == nil {
		t.Error("a service that does not exist has a health")
	}
}
