package server

import (
	"os"
	"runtime"
	"strconv"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/etcd/api/v3/version"
	"go.etcd.io/raft/v3"
)

// scrape is the collector of everything that the node knows anyway: nothing is counted twice, and all values of one
// scrape come from one Status and one view.
type scrape struct {
	node   node
	sizes  func() (total, inUse int64)
	quota  int64
	member uint64
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	descHasLeader     = desc("etcd_server_has_leader", "Whether this member knows a leader.")
	descIsLeader      = desc("etcd_server_is_leader", "Whether this member is the leader.")
	descIsLearner     = desc("etcd_server_is_learner", "Whether this member is a learner.")
	descLeaderChanges = desc("etcd_server_leader_changes_seen_total", "Changes of the leader that this member saw.")
	descCommitted     = desc("etcd_server_proposals_committed_total", "Index of the last committed entry.")
	descApplied       = desc("etcd_server_proposals_applied_total", "Index of the last applied entry.")
	descPending       = desc("etcd_server_proposals_pending", "Writes that wait for their answer.")
	descFailed        = desc("etcd_server_proposals_failed_total", "Writes that were refused or timed out.")
	descSlowReads     = desc("etcd_server_slow_read_indexes_total", "Read index rounds that had to be repeated.")
	descQuota         = desc("etcd_server_quota_backend_bytes", "Limit of the store's size.")
	descVersion       = desc("etcd_server_version", "Version of etcd whose API is served.", "server_version")
	descGoVersion     = desc("etcd_server_go_version", "Version of Go that built this program.", "server_go_version")
	descCluster       = desc("etcd_cluster_version", "Version of etcd that the cluster's data is of.", "cluster_version")
	descID            = desc("etcd_server_id", "Member id, in hexadecimal.", "server_id")

	descSize     = desc("etcd_mvcc_db_total_size_in_bytes", "Size of the store's file.")
	descInUse    = desc("etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes of the store's file that hold data.")
	descKeys     = desc("etcd_debugging_mvcc_keys_total", "Keys in the store.")
	descRevision = desc("etcd_debugging_mvcc_current_revision", "Revision of the store.")
	descCompact  = desc("etcd_debugging_mvcc_compact_revision", "Revision of the last compaction.")

	descWatchers      = desc("etcd_debugging_mvcc_watcher_total", "Watchers that are open on this member.")
	descLeasesGranted = desc("etcd_debugging_lease_granted_total", "Leases that were granted, as this member saw it.")
	descLeasesRevoked = desc("etcd_debugging_lease_revoked_total", "Leases that were revoked or expired, as this member saw it.")
	descLeasesExpired = desc("etcd_debugging_server_lease_expired_total", "Leases that this member let expire as the leader.")

	descAlarms     = desc("etcd_debugging_server_alarms", "Alarms that are raised: 1 for each.", "server_id", "alarm_type")
	descDiskStalls = desc("quorumkv_disk_stalls_total", "Times that a write to the log hung for too long.")
	descDiskStall  = desc("quorumkv_disk_stalled_seconds", "How long a write to the log has been hanging; 0: it does not.")
	descDamaged    = desc("quorumkv_damaged", "1 while this member lacks data that its disk lost; Status says which.")
	descInstalled  = desc("quorumkv_snapshots_installed_total", "Times that the state was replaced by a snapshot of another member.")
	descChecks     = desc("quorumkv_history_checks_total", "Comparisons of the members' histories that came to a verdict.")
	descUndecided  = desc("quorumkv_history_checks_undecided_total", "Comparisons of the members' histories without a verdict.")
	descDiverged   = desc("quorumkv_history_diverged_total", "Times that this member's history was found to differ from the majority's.")
	descDisputed   = desc("quorumkv_history_disputed", "1 while members differ and no majority tells which is right; Status says how.")
	descRepairs    = desc("quorumkv_repairs_total", "Times that a file was made whole again.")

	descScrubPasses = desc("quorumkv_scrub_passes_total", "Times that the scrubber has read all files, leaving nothing out.")
	descScrubLast   = desc("quorumkv_scrub_last_pass_timestamp_seconds", "When the last such pass ended; 0: none has since the start.")
	descScrubBytes  = desc("quorumkv_scrub_read_bytes_total", "Bytes that the scrubber has read.")
	descScrubPass   = desc("quorumkv_scrub_pass_bytes", "Bytes read by the pass under way; 0 between two.")
	descScrubDamage = desc("quorumkv_scrub_damage_total", "Damage that the scrubber has found, by where it was.", "part")

	descFDUsed  = desc("os_fd_used", "File descriptors in use.")
	descFDLimit = desc("os_fd_limit", "Limit of file descriptors.")
)

// Describe names every metric that Collect may send.
func (s scrape) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descHasLeader, descIsLeader, descIsLearner, descLeaderChanges, descCommitted, descApplied, descPending,
		descFailed, descSlowReads, descQuota, descVersion, descGoVersion, descCluster, descID,
		descSize, descInUse, descKeys, descRevision, descCompact, descWatchers, descFDUsed, descFDLimit,
		descSize, descInUse, descKeys, descRevision, descCompact, descFDUsed, descFDLimit,
		descLeasesGranted, descLeasesRevoked, descLeasesExpired, descDiskStalls, descDiskStall, descAlarms,
		descDamaged, descRepairs, descInstalled, descChecks, descUndecided, descDiverged, descDisputed,
		descScrubPasses, descScrubLast, descScrubBytes, descScrubPass, descScrubDamage,
	} {
		ch <- d
	}
}

// Collect reads the node. Types are etcd's too: the two indexes count entries and are gauges all the same.
func (s scrape) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	status := s.node.Status()
	gauge(descHasLeader, truth(status.Leader != 0))
	gauge(descIsLeader, truth(status.Role == raft.StateLeader))
	gauge(descIsLearner, truth(status.Learner))
	count(descLeaderChanges, status.LeaderChanges)
	gauge(descCommitted, float64(status.Commit))
	gauge(descApplied, float64(status.Applied))
	gauge(descPending, float64(status.Pending))
	count(descFailed, status.ProposalsFailed)
	count(descSlowReads, status.SlowReadIndexes)
	count(descLeasesGranted, status.LeasesGranted)
	count(descLeasesRevoked, status.LeasesRevoked)
	count(descLeasesExpired, status.LeasesExpired)
	count(descDiskStalls, status.DiskStalls)
	gauge(descDiskStall, status.DiskStall.Seconds())
	gauge(descDamaged, truth(status.Damage != ""))
	count(descRepairs, status.Repairs)
	count(descInstalled, status.SnapshotsInstalled)
	count(descChecks, status.HistoryChecks)
	count(descUndecided, status.HistoryChecksUndecided)
	count(descDiverged, status.HistoriesDiverged)
	gauge(descDisputed, truth(status.Dispute != ""))
	count(descScrubPasses, status.Scrub.Passes)
	gauge(descScrubLast, float64(status.Scrub.LastPass))
	count(descScrubBytes, status.Scrub.Bytes)
	gauge(descScrubPass, float64(status.Scrub.PassBytes))
	count(descScrubDamage, status.Scrub.Identity, "identity")
	count(descScrubDamage, status.Scrub.HardState, "hardstate")
	count(descScrubDamage, status.Scrub.Log, "wal")
	count(descScrubDamage, status.Scrub.Leftovers, "wal-leftover")
	count(descScrubDamage, status.Scrub.State, "state")
	gauge(descQuota, float64(s.quota))
	gauge(descVersion, 1, version.Version)
	gauge(descGoVersion, 1, runtime.Version())
	gauge(descCluster, 1, version.Cluster(dataVersion))
	gauge(descID, 1, strconv.FormatUint(s.member, 16))

	gauge(descWatchers, float64(status.Watchers))
	total, inUse := s.sizes()
	gauge(descSize, float64(total))
	gauge(descInUse, float64(inUse))
	if v := s.node.View(); v != nil {
		for _, a := range v.Alarms {
			gauge(descAlarms, 1, strconv.FormatUint(a.Member, 16), a.Type.String())
		}
		gauge(descKeys, float64(v.KV.Keys()))
		gauge(descRevision, float64(v.KV.Revision()))
		gauge(descCompact, float64(v.KV.CompactRevision()))
	}
	if used, limit, ok := fileDescriptors(); ok {
		gauge(descFDUsed, float64(used))
		gauge(descFDLimit, float64(limit))
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// fileDescriptors is known where there is a proc file system.
func fileDescriptors() (used int, limit uint64, ok bool) {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, 0, false
	}
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, 0, false
	}
	return len(open), r.Cur, true
}
