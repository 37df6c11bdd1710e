package server

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// callMetrics count the calls of every method under the names that all gRPC servers in Go use, and etcd with them. It is
// a part of each call, so the counters of a method are looked up once, when its server is made.
type callMetrics struct {
	started, handled, received, sent *prometheus.CounterVec
	seconds                          *prometheus.HistogramVec // nil unless they are wanted
}

// methodMetrics are the counters of one method.
type methodMetrics struct {
	started, received, sent prometheus.Counter
	handled                 [codes.Unauthenticated + 1]prometheus.Counter // by code; the last of all codes bounds it
	seconds                 prometheus.Observer                           // nil unless they are wanted
}

// methodTable has the methods of one server by their full names: all that gRPC lets through to the interceptors. It does not
// change once the server runs.
type methodTable map[string]*methodMetrics

func newCallMetrics(r prometheus.Registerer, latencyHistograms bool) *callMetrics {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help},
			append([]string{"grpc_type", "grpc_service", "grpc_method"}, labels...))
		r.MustRegister(c)
		return c
	}
	m := &callMetrics{
		started:  vec("grpc_server_started_total", "Total number of RPCs started on the server."),
		handled:  vec("grpc_server_handled_total", "Total number of RPCs completed on the server, regardless of success or failure.", "grpc_code"),
		received: vec("grpc_server_msg_received_total", "Total number of RPC stream messages received on the server."),
		sent:     vec("grpc_server_msg_sent_total", "Total number of gRPC stream messages sent by the server."),
	}
	if latencyHistograms {
		m.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "grpc_server_handling_seconds",
			Help:    "Histogram of response latency (seconds) of gRPC that had been application-level handled by the server.",
			Buckets: prometheus.DefBuckets,
		}, []string{"grpc_type", "grpc_service", "grpc_method"})
		r.MustRegister(m.seconds)
	}
	return m
}

// enter adds every method that is registered with s to t. All their series are there from then on, at zero: alert rules
// compare rates, and a series that appears with its first error has none.
func (m *callMetrics) enter(t methodTable, s *grpc.Server) {
	for service, info := range s.GetServiceInfo() {
		for _, method := range info.Methods {
			t["/"+service+"/"+method.Name] = m.method(service, method)
		}
	}
}

func (m *callMetrics) method(service string, info grpc.MethodInfo) *methodMetrics {
	labels := []string{callType(info), service, info.Name}
	mm := &methodMetrics{
		started:  m.started.WithLabelValues(labels...),
		received: m.received.WithLabelValues(labels...),
		sent:     m.sent.WithLabelValues(labels...),
	}
	for code := range mm.handled {
		mm.handled[code] = m.handled.WithLabelValues(append(labels, codes.Code(code).String())...)
	}
	if m.seconds != nil {
		mm.seconds = m.seconds.WithLabelValues(labels...)
	}
	return mm
}

func callType(info grpc.MethodInfo) string {
	switch {
	case info.IsClientStream && info.IsServerStream:
		return "bidi_stream"
	case info.IsClientStream:
		return "client_stream"
	case info.IsServerStream:
		return "server_stream"
	}
	return "unary"
}

// unary counts the calls that go through next. It calls next itself: gRPC's chain of interceptors is made anew for each
// call.
func (t methodTable) unary(next grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		m := t[info.FullMethod]
		began := m.begin()
		m.received.Inc()
		resp, err := next(ctx, req, info, handler)
		if err == nil {
			m.sent.Inc()
		}
		m.end(began, err)
		return resp, err
	}
}

func (t methodTable) stream(next grpc.StreamServerInterceptor) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		m := t[info.FullMethod]
		began := m.begin()
		err := next(srv, &countedStream{ss, m}, info, handler)
		m.end(began, err)
		return err
	}
}

// begin counts a call that starts, and returns when that was, if anybody wants to know.
func (m *methodMetrics) begin() (began time.Time) {
	m.started.Inc()
	if m.seconds != nil {
		began = time.Now()
	}
	return began
}

func (m *methodMetrics) end(began time.Time, err error) {
	if code := codeOf(err); int(code) < len(m.handled) {
		m.handled[code].Inc()
	}
	if m.seconds != nil {
		m.seconds.Observe(time.Since(began).Seconds())
	}
}

// codeOf returns the code that the client gets for err.
func codeOf(err error) codes.Code {
	if err == nil {
		return codes.OK
	}
	if s, ok := status.FromError(err); ok {
		return s.Code()
	}
	return status.FromContextError(err).Code()
}

// countedStream counts the messages of a stream.
type countedStream struct {
	grpc.ServerStream
	metrics *methodMetrics
}

func (s *countedStream) SendMsg(m any) error {
	err := s.ServerStream.SendMsg(m)
	if err == nil {
		s.metrics.sent.Inc()
	}
	return err
}

func (s *countedStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil {
		s.metrics.received.Inc()
	}
	return err
}
