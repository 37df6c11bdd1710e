package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/raft/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/raftnode"
)

// scrapeMetrics returns every series with its value.
func scrapeMetrics(t *testing.T, e *edge) map[string]string {
	t.Helper()
	r, err := http.Get("http://" + e.addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v\n%s", r.Status, err, body)
	}
	http.DefaultClient.CloseIdleConnections()
	series := make(map[string]string)
	for line := range strings.Lines(string(body)) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			series[line[:i]] = strings.TrimSpace(line[i:])
		}
	}
	return series
}

func started(method, kind string) string {
	service, name, _ := strings.Cut(method, "/")
	return fmt.Sprintf(`grpc_server_started_total{grpc_method="%s",grpc_service="%s",grpc_type="%s"}`, name, service, kind)
}

func handled(method, code, kind string) string {
	service, name, _ := strings.Cut(method, "/")
	return fmt.Sprintf(`grpc_server_handled_total{grpc_code="%s",grpc_method="%s",grpc_service="%s",grpc_type="%s"}`,
		code, name, service, kind)
}

func messages(way, method, kind string) string {
	service, name, _ := strings.Cut(method, "/")
	return fmt.Sprintf(`grpc_server_msg_%s_total{grpc_method="%s",grpc_service="%s",grpc_type="%s"}`, way, name, service, kind)
}

func TestMetrics(t *testing.T) {
	n := newSoloNode(t)
	e := serve(t, n, testConfig())
	for name, want := range map[string]string{
		// before any request, or the alerts have nothing to compare with
		started("etcdserverpb.KV/Put", "unary"):                                 "0",
		handled("etcdserverpb.KV/Put", "OK", "unary"):                           "0",
		handled("etcdserverpb.KV/Range", "Unavailable", "unary"):                "0",
		handled("etcdserverpb.KV/RangeStream", "OK", "server_stream"):           "0",
		started("etcdserverpb.Cluster/MemberList", "unary"):                     "0",
		started("etcdserverpb.Maintenance/Status", "unary"):                     "0",
		started("grpc.health.v1.Health/Check", "unary"):                         "0",
		`etcd_network_client_grpc_sent_bytes_total`:                             "0",
		`etcd_network_client_grpc_received_bytes_total`:                         "0",
		`etcd_server_health_success`:                                            "0",
		`etcd_server_health_failures`:                                           "0",
		`etcd_server_read_indexes_failed_total`:                                 "0",
		`etcd_server_slow_read_indexes_total`:                                   "0",
		`etcd_server_has_leader`:                                                "1",
		`etcd_server_is_leader`:                                                 "1",
		`etcd_server_is_learner`:                                                "0",
		`etcd_server_leader_changes_seen_total`:                                 "0",
		`etcd_server_proposals_committed_total`:                                 "1",
		`etcd_server_proposals_applied_total`:                                   "1",
		`etcd_server_proposals_pending`:                                         "0",
		`etcd_server_proposals_failed_total`:                                    "0",
		`etcd_server_quota_backend_bytes`:                                       "2.147483648e+09",
		`etcd_server_version{server_version="3.7.3"}`:                           "1",
		`etcd_server_id{server_id="1"}`:                                         "1",
		`etcd_cluster_version{cluster_version="3.7"}`:                           "1",
		`etcd_mvcc_db_total_size_in_bytes`:                                      "65536",
		`etcd_mvcc_db_total_size_in_use_in_bytes`:                               "32768",
		`etcd_debugging_mvcc_keys_total`:                                        "0",
		`etcd_debugging_mvcc_current_revision`:                                  "1",
		`etcd_server_request_duration_seconds_count{success="true",type="Put"}`: "0",
	} {
		if got := scrapeMetrics(t, e)[name]; got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"process_resident_memory_bytes", "go_goroutines", "os_fd_used", "os_fd_limit"} {
		if got := scrapeMetrics(t, e)[name]; got == "" || got == "0" {
			t.Errorf("%s = %q", name, got)
		}
	}

	c := e.client(t)
	put(t, c, "k", "v")
	put(t, c, "l", "v")
	if _, err := c.Put(testContext(t), "", ""); err == nil {
		t.Fatal("put without a key")
	}
	n.change(func(s *raftnode.Status) {
		s.Leader, s.Role, s.Pending, s.LeaderChanges, s.ProposalsFailed = 0, raft.StateFollower, 3, 4, 5
	})
	got := scrapeMetrics(t, e)
	for name, want := range map[string]string{
		started("etcdserverpb.KV/Put", "unary"):                                 "3",
		handled("etcdserverpb.KV/Put", "OK", "unary"):                           "2",
		handled("etcdserverpb.KV/Put", "InvalidArgument", "unary"):              "1",
		`etcd_network_client_grpc_received_bytes_total`:                         "12", // two puts of 3 + 3 bytes and an empty one
		`etcd_server_has_leader`:                                                "0",
		`etcd_server_is_leader`:                                                 "0",
		`etcd_server_proposals_applied_total`:                                   "3",
		`etcd_server_proposals_pending`:                                         "3",
		`etcd_server_leader_changes_seen_total`:                                 "4",
		`etcd_server_proposals_failed_total`:                                    "5",
		`etcd_debugging_mvcc_keys_total`:                                        "2",
		`etcd_debugging_mvcc_current_revision`:                                  "3",
		`etcd_server_request_duration_seconds_count{success="true",type="Put"}`: "2",
	} {
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
}

func TestMetricsCountMessages(t *testing.T) {
	e := serve(t, newSoloNode(t), testConfig())
	c := e.client(t)
	put(t, c, "k", "v")
	if _, err := c.Put(testContext(t), "", ""); err == nil {
		t.Fatal("put without a key")
	}
	stream, err := pb.NewKVClient(e.dial(t)).RangeStream(testContext(t), &pb.RangeRequest{Key: []byte("k")})
	if err != nil {
		t.Fatal(err)
	}
	parts := 0
	for ; err == nil; parts++ {
		_, err = stream.Recv()
	}
	if err != io.EOF {
		t.Fatalf("end of the stream: %v", err)
	}
	got := scrapeMetrics(t, e)
	for name, want := range map[string]string{
		messages("received", "etcdserverpb.KV/Put", "unary"):                 "2",
		messages("sent", "etcdserverpb.KV/Put", "unary"):                     "1", // an error is no message
		started("etcdserverpb.KV/RangeStream", "server_stream"):              "1",
		messages("received", "etcdserverpb.KV/RangeStream", "server_stream"): "1",
		messages("sent", "etcdserverpb.KV/RangeStream", "server_stream"):     strconv.Itoa(parts - 1),
		handled("etcdserverpb.KV/RangeStream", "OK", "server_stream"):        "1",
		messages("sent", "etcdserverpb.Lease/LeaseKeepAlive", "bidi_stream"): "0",
	} {
		if got[name] != want {
			t.Errorf("%s = %q, want %q", name, got[name], want)
		}
	}
}

func TestCodeOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want codes.Code
	}{
		{nil, codes.OK},
		{status.Error(codes.Unavailable, "no leader"), codes.Unavailable},
		{fmt.Errorf("put: %w", status.Error(codes.NotFound, "no lease")), codes.NotFound},
		{context.Canceled, codes.Canceled},
		{fmt.Errorf("wait: %w", context.DeadlineExceeded), codes.DeadlineExceeded},
		{errors.New("anything else"), codes.Unknown},
	} {
		if got := codeOf(c.err); got != c.want {
			t.Errorf("%v is %s, want %s", c.err, got, c.want)
		}
	}
}

func TestLatencyHistogramsAreExtra(t *testing.T) {
	name := `grpc_server_handling_seconds_count{grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"}`
	for _, extra := range []bool{false, true} {
		cfg := testConfig()
		cfg.LatencyHistograms = extra
		if _, there := scrapeMetrics(t, serve(t, newSoloNode(t), cfg))[name]; there != extra {
			t.Errorf("extra %t, but histogram there: %t", extra, there)
		}
	}
}
