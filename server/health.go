package server

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// registerHealth adds grpc.health.v1 to s: the member as a whole (service ""), and each service that is registered
// already under its name. All serve, or none does: as long as there is a leader, see leadership.
func registerHealth(s *grpc.Server, l *leadership) {
	services := []string{""}
	for name := range s.GetServiceInfo() {
		services = append(services, name)
	}
	h := health.NewServer()
	set := func(serving bool) {
		status := healthpb.HealthCheckResponse_NOT_SERVING
		if serving {
			status = healthpb.HealthCheckResponse_SERVING
		}
		for _, name := range services {
			h.SetServingStatus(name, status)
		}
	}
	set(false)
	l.serving = set
	healthpb.RegisterHealthServer(s, h)
}
