package server

import (
	"errors"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what the services count as they work. Names and labels are etcd's, dashboards and alerts depend on them;
// what can be read from the node when Prometheus asks is not counted here, see scrape.
type metrics struct {
	handler http.Handler // what /metrics answers
	calls   *callMetrics

	sent, received prometheus.Counter // bytes
	watchEvents    prometheus.Counter
	unaryClients   *clientVersions
	streamClients  *clientVersions

	put, deleteRange, txn, readOnlyTxn, rangeRequest, compaction, hashKV requestMetrics
	leaseGrant, leaseRevoke                                              requestMetrics

	readsFailed               prometheus.Counter
	leaseRenewed              prometheus.Counter
	healthSuccess, healthFail prometheus.Counter
	probe                     *prometheus.GaugeVec
	probes                    *prometheus.CounterVec
}

func newMetrics(r *prometheus.Registry, s scrape, latencyHistograms bool) *metrics {
	m := &metrics{
		handler:       promhttp.InstrumentMetricHandler(r, promhttp.HandlerFor(r, promhttp.HandlerOpts{})),
		sent:          counter(r, "etcd_network_client_grpc_sent_bytes_total", "Bytes sent to gRPC clients."),
		received:      counter(r, "etcd_network_client_grpc_received_bytes_total", "Bytes received from gRPC clients."),
		watchEvents:   counter(r, "etcd_debugging_mvcc_events_total", "Events sent to watchers by this member."),
		readsFailed:   counter(r, "etcd_server_read_indexes_failed_total", "Linearizable reads that failed."),
		leaseRenewed:  counter(r, "etcd_debugging_lease_renewed_total", "Leases renewed through this member."),
		healthSuccess: counter(r, "etcd_server_health_success", "Health checks that succeeded."),
		healthFail:    counter(r, "etcd_server_health_failures", "Health checks that failed."),
		probe: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "etcd_server_healthcheck", Help: "Last result of each part of a health check: 1 is good.",
		}, []string{"type", "name"}),
		probes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "etcd_server_healthchecks_total", Help: "Results of each part of a health check.",
		}, []string{"type", "name", "status"}),
	}
	r.MustRegister(m.probe, m.probes, s)

	clients := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "etcd_server_client_requests_total", Help: "Requests by the API version that the client says it speaks.",
	}, []string{"type", "client_api_version"})
	m.unaryClients, m.streamClients = newClientVersions(clients, "unary"), newClientVersions(clients, "stream")

	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "etcd_server_request_duration_seconds", Help: "Time from a request's arrival at the store to its answer.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
	}, []string{"type", "success"})
	for kind, rm := range map[string]*requestMetrics{
		"Put": &m.put, "DeleteRange": &m.deleteRange, "Txn": &m.txn, "ReadonlyTxn": &m.readOnlyTxn,
		"Range": &m.rangeRequest, "Compaction": &m.compaction,
		"LeaseGrant": &m.leaseGrant, "LeaseRevoke": &m.leaseRevoke,
	} {
		rm.ok, rm.failed = durations.WithLabelValues(kind, "true"), durations.WithLabelValues(kind, "false")
	}

	hashKV := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "etcd_mvcc_hash_rev_duration_seconds", Help: "Time to hash the history up to a revision.",
		Buckets: prometheus.ExponentialBuckets(0.01, 2, 15),
	})
	m.hashKV = requestMetrics{ok: hashKV, failed: hashKV}

	m.calls = newCallMetrics(r, latencyHistograms)
	r.MustRegister(clients, durations, hashKV)

	// The process is the same for everyone who registers in this registry.
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := r.Register(c); err != nil && !errors.As(err, &prometheus.AlreadyRegisteredError{}) {
			panic(err)
		}
	}
	return m
}

func counter(r prometheus.Registerer, name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	r.MustRegister(c)
	return c
}

// requestMetrics are the durations of one kind of request. They are looked up once: a lookup by label costs more than
// the observation.
type requestMetrics struct{ ok, failed prometheus.Observer }

func (m *requestMetrics) observe(start time.Time, err error) {
	if err != nil {
		m.failed.Observe(time.Since(start).Seconds())
		return
	}
	m.ok.Observe(time.Since(start).Seconds())
}

// clientVersions counts requests by the version that clients claim. They may claim anything, so there is a bound to
// how many are told apart.
type clientVersions struct {
	vec  *prometheus.CounterVec
	kind string
	// known is replaced, never changed: counting takes no lock.
	known atomic.Pointer[map[string]prometheus.Counter]
	mu    sync.Mutex // held to replace known
	other prometheus.Counter
}

const maxClientVersions = 64

func newClientVersions(vec *prometheus.CounterVec, kind string) *clientVersions {
	c := &clientVersions{vec: vec, kind: kind, other: vec.WithLabelValues(kind, "other")}
	c.known.Store(&map[string]prometheus.Counter{"unknown": vec.WithLabelValues(kind, "unknown")})
	return c
}

func (c *clientVersions) count(version string) {
	counter, ok := (*c.known.Load())[version]
	if !ok {
		counter = c.add(version)
	}
	counter.Inc()
}

func (c *clientVersions) add(version string) prometheus.Counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := *c.known.Load()
	if counter, ok := known[version]; ok {
		return counter
	}
	if len(known) >= maxClientVersions {
		return c.other
	}
	known = maps.Clone(known)
	known[version] = c.vec.WithLabelValues(c.kind, version)
	c.known.Store(&known)
	return known[version]
}
