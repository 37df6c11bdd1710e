package transport

import (
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are etcd's network metrics, by name and label, so that its dashboards and alerts work.
type metrics struct {
	sentBytes     *prometheus.CounterVec   // To
	sentFailures  *prometheus.CounterVec   // To
	receivedBytes *prometheus.CounterVec   // From
	recvFailures  *prometheus.CounterVec   // From
	roundTrip     *prometheus.HistogramVec // To
	active        *prometheus.GaugeVec     // Local, Remote
	known         *prometheus.GaugeVec     // Local, Remote
	disconnected  *prometheus.CounterVec   // Local, Remote
	local         string
}

func newMetrics(r prometheus.Registerer, self uint64) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(
			prometheus.CounterOpts{Namespace: "etcd", Subsystem: "network", Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(
			prometheus.GaugeOpts{Namespace: "etcd", Subsystem: "network", Name: name, Help: help},
			[]string{"Local", "Remote"})
	}
	m := &metrics{
		sentBytes:     counter("peer_sent_bytes_total", "Bytes sent to a peer.", "To"),
		sentFailures:  counter("peer_sent_failures_total", "Messages to a peer that were dropped.", "To"),
		receivedBytes: counter("peer_received_bytes_total", "Bytes received from a peer.", "From"),
		recvFailures:  counter("peer_received_failures_total", "Messages and streams from a peer that were refused.", "From"),
		roundTrip: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "etcd", Subsystem: "network", Name: "peer_round_trip_time_seconds",
			Help:    "Round trip of a ping to a peer.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 16), // 0.1 ms to 3.3 s
		}, []string{"To"}),
		active:       gauge("active_peers", "Whether the control stream to a peer is up."),
		known:        gauge("known_peers", "The peers that this member knows of."),
		disconnected: counter("disconnected_peers_total", "How often a peer was lost.", "Local", "Remote"),
		local:        label(self),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.sentBytes, m.sentFailures, m.receivedBytes, m.recvFailures, m.roundTrip,
		m.active, m.known, m.disconnected} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register network metrics: %w", err)
		}
	}
	return m, nil
}

// label writes a member id as etcd does.
func label(id uint64) string { return strconv.FormatUint(id, 16) }

// outgoing are the metrics of one peer as a destination. Making them makes their series, at zero: alerts need that.
type outgoing struct {
	sentBytes, sentFailures, disconnected prometheus.Counter
	roundTrip                             prometheus.Observer
	active, known                         prometheus.Gauge
}

func (m *metrics) outgoing(peer uint64) outgoing {
	to := label(peer)
	return outgoing{
		sentBytes:    m.sentBytes.WithLabelValues(to),
		sentFailures: m.sentFailures.WithLabelValues(to),
		disconnected: m.disconnected.WithLabelValues(m.local, to),
		roundTrip:    m.roundTrip.WithLabelValues(to),
		active:       m.active.WithLabelValues(m.local, to),
		known:        m.known.WithLabelValues(m.local, to),
	}
}

// incoming are the metrics of one member as a source.
type incoming struct{ receivedBytes, failures prometheus.Counter }

func (m *metrics) incoming(member uint64) incoming {
	from := label(member)
	return incoming{
		receivedBytes: m.receivedBytes.WithLabelValues(from),
		failures:      m.recvFailures.WithLabelValues(from),
	}
}
