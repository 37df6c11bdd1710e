package server

import (
	"net/http"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/raftnode"
)

func TestAlarm(t *testing.T) {
	n := newSoloNode(t)
	e := serve(t, n, testConfig())
	c := e.client(t)
	m := pb.NewMaintenanceClient(e.dial(t))
	ctx := testContext(t)
	put(t, c, "k", "v")

	change := func(action pb.AlarmRequest_AlarmAction, member uint64, kind pb.AlarmType) int {
		t.Helper()
		r, err := m.Alarm(ctx, &pb.AlarmRequest{Action: action, MemberID: member, Alarm: kind})
		if err != nil {
			t.Fatal(err)
		}
		checkHeader(t, r.Header, 2)
		return len(r.Alarms)
	}
	for range 2 { // raised already: the answer is the same
		if got := change(pb.AlarmRequest_ACTIVATE, 0x1f, pb.AlarmType_NOSPACE); got != 1 {
			t.Errorf("raised: %d alarms in the answer", got)
		}
	}
	change(pb.AlarmRequest_ACTIVATE, 2, pb.AlarmType_CORRUPT)
	if got := change(pb.AlarmRequest_DEACTIVATE, 3, pb.AlarmType_NOSPACE); got != 0 {
		t.Errorf("not raised, and %d were cleared", got)
	}
	list, err := c.AlarmList(ctx)
	if err != nil || len(list.Alarms) != 2 || list.Alarms[0].MemberID != 0x1f {
		t.Fatalf("%v, %v", list, err)
	}
	if got := change(pb.AlarmRequest_GET, 0, pb.AlarmType_CORRUPT); got != 1 {
		t.Errorf("%d alarms of one kind", got)
	}

	status, err := c.Status(ctx, c.Endpoints()[0])
	if err != nil || len(status.Errors) != 2 || status.Errors[0] != "memberID:31 alarm:NOSPACE" {
		t.Errorf("status: %q, %v", status.Errors, err)
	}
	if got := scrapeMetrics(t, e)[`etcd_debugging_server_alarms{alarm_type="NOSPACE",server_id="1f"}`]; got != "1" {
		t.Errorf("metric %q", got)
	}
	if _, err := c.AlarmDisarm(ctx, &clientv3.AlarmMember{}); err != nil {
		t.Fatal(err)
	}
	if list, err = c.AlarmList(ctx); err != nil || len(list.Alarms) != 0 {
		t.Errorf("disarmed: %v, %v", list, err)
	}
}

func TestHealthNamesAlarms(t *testing.T) {
	n := newSoloNode(t)
	e := serve(t, n, testConfig())
	c := e.client(t)
	m := pb.NewMaintenanceClient(e.dial(t))
	for _, kind := range []pb.AlarmType{pb.AlarmType_CORRUPT, pb.AlarmType_NOSPACE} {
		if _, err := m.Alarm(testContext(t), &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, Alarm: kind}); err != nil {
			t.Fatal(err)
		}
	}
	well, space := `{"health":"true","reason":""}`, `{"health":"false","reason":"ALARM NOSPACE"}`+"\n"
	for path, want := range map[string]string{
		"/health":                                 space,
		"/health?serializable=true":               space,
		"/health?exclude=NOSPACE":                 `{"health":"false","reason":"ALARM CORRUPT"}` + "\n",
		"/health?exclude=CORRUPT":                 space,
		"/health?exclude=CORRUPT&exclude=NOSPACE": well,
	} {
		w := ask(e.api, http.MethodGet, path)
		if w.Body.String() != want || (w.Code == http.StatusOK) != (want == well) {
			t.Errorf("%s: %d %q, want %q", path, w.Code, w.Body.String(), want)
		}
	}
	// A full disk is no reason to take a member's clients away: deletes are what is needed.
	if w := ask(e.api, http.MethodGet, "/readyz"); w.Code != http.StatusOK {
		t.Errorf("/readyz: %d", w.Code)
	}
	if _, err := c.Delete(testContext(t), "k"); err != nil {
		t.Error(err)
	}
}

func TestStatusNamesAStalledDisk(t *testing.T) {
	n := newSoloNode(t)
	e := serve(t, n, testConfig())
	c := e.client(t)
	n.change(func(s *raftnode.Status) { s.DiskStall, s.DiskStalls = 1430*time.Millisecond, 2 })
	status, err := c.Status(testContext(t), c.Endpoints()[0])
	if err != nil || len(status.Errors) != 1 || status.Errors[0] != "disk stalled for 1.4 s" {
		t.Errorf("%q, %v", status.Errors, err)
	}
	got := scrapeMetrics(t, e)
	if got["quorumkv_disk_stalled_seconds"] != "1.43" || got["quorumkv_disk_stalls_total"] != "2" {
		t.Errorf("metrics %q, %q", got["quorumkv_disk_stalled_seconds"], got["quorumkv_disk_stalls_total"])
	}
}

func TestStatusNamesDamage(t *testing.T) {
	n := newSoloNode(t)
	e := serve(t, n, testConfig())
	c := e.client(t)
	n.change(func(s *raftnode.Status) { s.Damage, s.Repairs = "entries 3 to 5 are damaged; member 2: no answer", 1 })
	status, err := c.Status(testContext(t), c.Endpoints()[0])
	if err != nil || len(status.Errors) != 1 || status.Errors[0] != n.Status().Damage {
		t.Errorf("%q, %v", status.Errors, err)
	}
	got := scrapeMetrics(t, e)
	if got["quorumkv_damaged"] != "1" || got["quorumkv_repairs_total"] != "1" {
		t.Errorf("metrics %q, %q", got["quorumkv_damaged"], got["quorumkv_repairs_total"])
	}
}

func TestStatusNamesADispute(t *testing.T) {
	n := newSoloNode(t)
	e := serve(t, n, testConfig())
	c := e.client(t)
	n.change(func(s *raftnode.Status) {
		s.Dispute = "members differ in their history"
		s.SnapshotsInstalled, s.HistoryChecks, s.HistoryChecksUndecided, s.HistoriesDiverged = 2, 3, 4, 5
	})
	status, err := c.Status(testContext(t), c.Endpoints()[0])
	if err != nil || len(status.Errors) != 1 || status.Errors[0] != n.Status().Dispute {
		t.Errorf("%q, %v", status.Errors, err)
	}
	got := scrapeMetrics(t, e)
	for name, want := range map[string]string{
		"quorumkv_history_disputed": "1", "quorumkv_snapshots_installed_total": "2", "quorumkv_history_checks_total": "3",
		"quorumkv_history_checks_undecided_total": "4", "quorumkv_history_diverged_total": "5",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %s", name, got[name], want)
		}
	}
}

func TestMetricsOfScrubbing(t *testing.T) {
	n := newSoloNode(t)
	e := serve(t, n, testConfig())
	n.change(func(s *raftnode.Status) {
		s.Scrub = raftnode.ScrubStats{Passes: 1, LastPass: 2, Bytes: 3, PassBytes: 4, Identity: 5, HardState: 6, Log: 7, State: 8,
			Leftovers: 9}
	})
	got := scrapeMetrics(t, e)
	for name, want := range map[string]string{
		"quorumkv_scrub_passes_total":                      "1",
		"quorumkv_scrub_last_pass_timestamp_seconds":       "2",
		"quorumkv_scrub_read_bytes_total":                  "3",
		"quorumkv_scrub_pass_bytes":                        "4",
		`quorumkv_scrub_damage_total{part="identity"}`:     "5",
		`quorumkv_scrub_damage_total{part="hardstate"}`:    "6",
		`quorumkv_scrub_damage_total{part="wal"}`:          "7",
		`quorumkv_scrub_damage_total{part="state"}`:        "8",
		`quorumkv_scrub_damage_total{part="wal-leftover"}`: "9",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, not %s", name, got[name], want)
		}
	}
}

// A member alone in its cluster, with an alarm that nobody takes back: what grows is refused with etcd's error, through
// the whole server.
func TestAlarmStopsGrowth(t *testing.T) {
	s := run(t, anyPort(t))
	c := s.client(t)
	ctx := testContext(t)
	lease, err := c.Grant(ctx, 100)
	if err != nil {
		t.Fatal(err)
	}
	put(t, c, "k", "v")
	if _, err := s.member.Propose(ctx, &pb.InternalRaftRequest{
		Alarm: &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, Alarm: pb.AlarmType_NOSPACE},
	}); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"put":   errorOf(c.Put(ctx, "k", "w")),
		"txn":   errorOf(c.Txn(ctx).Then(clientv3.OpGet("k")).Else(clientv3.OpPut("k", "w")).Commit()),
		"grant": errorOf(c.Grant(ctx, 10)),
	} {
		if err != rpctypes.ErrNoSpace {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"get":        errorOf(c.Get(ctx, "k")),
		"txn":        errorOf(c.Txn(ctx).Then(clientv3.OpDelete("k")).Commit()),
		"delete":     errorOf(c.Delete(ctx, "k")),
		"keep-alive": errorOf(c.KeepAliveOnce(ctx, lease.ID)),
		"revoke":     errorOf(c.Revoke(ctx, lease.ID)),
		"compact":    errorOf(c.Compact(ctx, 2)),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := c.AlarmDisarm(ctx, &clientv3.AlarmMember{}); err != nil {
		t.Fatal(err)
	}
	put(t, c, "k", "w")
}

func errorOf[T any](_ T, err error) error { return err }
