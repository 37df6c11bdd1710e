package output

import (
	"fmt"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// The simple and the table format show the same columns. These functions are their one definition.

func memberRows(r *clientv3.MemberListResponse) (header []string, rows [][]string) {
	for _, m := range r.Members {
		status := "started"
		if m.GetName() == "" {
			status = "unstarted" // a member takes its name when it first starts
		}
		rows = append(rows, []string{
			strconv.FormatUint(m.GetID(), 16),
			status,
			m.GetName(),
			strings.Join(m.GetPeerURLs(), ","),
			strings.Join(m.GetClientURLs(), ","),
			strconv.FormatBool(m.GetIsLearner()),
		})
	}
	return []string{"ID", "Status", "Name", "Peer Addrs", "Client Addrs", "Is Learner"}, rows
}

func healthRows(list []Health) (header []string, rows [][]string) {
	for _, h := range list {
		rows = append(rows, []string{h.Endpoint, strconv.FormatBool(h.Healthy), h.Took, h.Error})
	}
	return []string{"endpoint", "health", "took", "error"}, rows
}

func statusRows(list []Status) (header []string, rows [][]string) {
	for _, s := range list {
		r := (*pb.StatusResponse)(s.Response)
		rows = append(rows, []string{
			s.Endpoint,
			strconv.FormatUint(r.GetHeader().GetMemberId(), 16),
			r.GetVersion(),
			r.GetStorageVersion(),
			sizeText(r.GetDbSize()),
			sizeText(r.GetDbSizeInUse()),
			freePercent(r.GetDbSize(), r.GetDbSizeInUse()),
			sizeText(r.GetDbSizeQuota()),
			strconv.FormatBool(r.GetLeader() == r.GetHeader().GetMemberId()),
			strconv.FormatBool(r.GetIsLearner()),
			strconv.FormatUint(r.GetRaftTerm(), 10),
			strconv.FormatUint(r.GetRaftIndex(), 10),
			strconv.FormatUint(r.GetRaftAppliedIndex(), 10),
			strings.Join(r.GetErrors(), ", "),
			r.GetDowngradeInfo().GetTargetVersion(),
			strconv.FormatBool(r.GetDowngradeInfo().GetEnabled()),
		})
	}
	return []string{
		"endpoint", "ID", "version", "storage version", "db size", "in use", "percentage not in use", "quota",
		"is leader", "is learner", "raft term", "raft index", "raft applied index", "errors",
		"downgrade target version", "downgrade enabled",
	}, rows
}

func hashRows(list []HashKV) (header []string, rows [][]string) {
	for _, h := range list {
		r := (*pb.HashKVResponse)(h.Response)
		rows = append(rows, []string{h.Endpoint, fmt.Sprint(r.GetHash()), fmt.Sprint(r.GetHashRevision())})
	}
	return []string{"endpoint", "hash", "hash_revision"}, rows
}

// freePercent is the share of the file that holds no data, rounded up because the used share is rounded down. A server
// that reports no file size (etcdctl divides by it) has no free share.
func freePercent(size, inUse int64) string {
	if size == 0 {
		return "0%"
	}
	return strconv.FormatInt(100-inUse*100/size, 10) + "%"
}

// sizeText shows a byte count with decimal units: whole bytes below ten bytes, then two significant digits below ten
// units and none after the point from there on. Rounding happens twice (to a tenth, then to a unit), as it does in
// etcdctl's table.
func sizeText(bytes int64) string {
	if bytes < 10 {
		return fmt.Sprintf("%d B", bytes)
	}
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	unit, scale := 0, int64(1)
	for unit+1 < len(units) && bytes/scale >= 1000 {
		unit, scale = unit+1, scale*1000
	}
	whole, rest := bytes/scale, bytes%scale
	tenths := whole*10 + int64(float64(rest)/float64(scale)*10+0.5)
	if tenths < 100 {
		return fmt.Sprintf("%.1f %s", float64(tenths)/10, units[unit])
	}
	return fmt.Sprintf("%.0f %s", float64(tenths)/10, units[unit])
}
