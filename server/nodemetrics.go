package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/quorumkv/quorumkv/raftnode"
)

// nodeMetrics are the durations that only the node can measure. Names are etcd's where it has the same; alerts depend on
// them.
type nodeMetrics struct {
	walSync, backendCommit, apply, snapshot, diskStall prometheus.Observer
}

func newNodeMetrics(r prometheus.Registerer) *nodeMetrics {
	histogram := func(name, help string, start float64, count int) prometheus.Observer {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(start, 2, count),
		})
		r.MustRegister(h)
		return h
	}
	return &nodeMetrics{
		walSync: histogram("etcd_disk_wal_fsync_duration_seconds",
			"Time of one append to the write-ahead log, sync included.", 0.001, 14),
		backendCommit: histogram("etcd_disk_backend_commit_duration_seconds",
			"Time of one commit of the state file.", 0.001, 14),
		apply: histogram("etcd_server_apply_duration_seconds",
			"Time to apply one batch of committed entries.", 0.0001, 20),
		snapshot: histogram("etcd_disk_backend_snapshot_duration_seconds",
			"Time to copy the state file for a follower.", 0.01, 17),
		diskStall: histogram("quorumkv_disk_stall_duration_seconds",
			"Time that a write to the log hung, once it was too long and is over.", 1, 12),
	}
}

func (m *nodeMetrics) observer() raftnode.Observer {
	return raftnode.Observer{
		WALSync:       func(d time.Duration) { m.walSync.Observe(d.Seconds()) },
		BackendCommit: func(d time.Duration) { m.backendCommit.Observe(d.Seconds()) },
		Apply:         func(d time.Duration, _ []*raftpb.Entry) { m.apply.Observe(d.Seconds()) },
		DiskStall:     func(d time.Duration) { m.diskStall.Observe(d.Seconds()) },
		Snapshot:      func(d time.Duration) { m.snapshot.Observe(d.Seconds()) },
	}
}
