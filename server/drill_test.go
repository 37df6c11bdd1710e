package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/internal/drill/admin"
	"github.com/quorumkv/quorumkv/internal/fault"
	"github.com/quorumkv/quorumkv/server/drillpb"
	"github.com/quorumkv/quorumkv/storage/apply"
)

const testDrillToken = "a-token-of-the-tests"

// tap is a log that a test can wait for lines of.
type tap struct {
	mu      sync.Mutex
	changed chan struct{} // closed at each line
	text    bytes.Buffer
}

func newTap() *tap { return &tap{changed: make(chan struct{})} }

func (l *tap) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: l})
}

func (l *tap) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	return l.text.Write(p)
}

// wait returns the log once it matches.
func (l *tap) wait(t *testing.T, pattern string) string {
	t.Helper()
	re, late := regexp.MustCompile(pattern), time.After(30*time.Second)
	for {
		l.mu.Lock()
		text, changed := l.text.String(), l.changed
		l.mu.Unlock()
		if re.MatchString(text) {
			return text
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("never logged %s; the log:\n%s", pattern, text)
		}
	}
}

// drilledEdge is an edge whose member, 1, has a peer, 2, and drills.
func drilledEdge(t *testing.T) *edge {
	t.Helper()
	registry := prometheus.NewRegistry()
	d := newDrills(testDrillToken, registry, hclog.NewNullLogger())
	t.Cleanup(d.faults.Close)
	cfg := testConfig()
	cfg.Registry, cfg.Drills = registry, d
	return serve(t, newSoloNode(t, apply.Member{ID: testMember, PeerURLs: []string{"http://a:2380"}},
		apply.Member{ID: 2, PeerURLs: []string{"http://b:2380"}}), cfg)
}

func withToken(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, drillpb.TokenKey, token)
}

var cutFromAll = fault.Rules{Links: []fault.Link{{In: true, Out: true, Drop: 1}}}

func TestDrillCallNeedsTheToken(t *testing.T) {
	e := drilledEdge(t)
	var log bytes.Buffer // handlers write to it under the logger's lock, and have answered before it is read
	e.api.drills.logger = hclog.New(&hclog.LoggerOptions{Output: &log})
	conn := e.dial(t)
	client := drillpb.NewDrillClient(conn)
	rules := drillpb.FromRules(cutFromAll)
	for name, ctx := range map[string]context.Context{
		"none":        testContext(t),
		"empty":       withToken(testContext(t), ""),
		"wrong":       withToken(testContext(t), testDrillToken+"x"),
		"a prefix":    withToken(testContext(t), testDrillToken[:5]),
		"two of them": withToken(withToken(testContext(t), testDrillToken), testDrillToken),
	} {
		_, setErr := client.SetFaults(ctx, &drillpb.SetFaultsRequest{Rules: rules, TtlNs: int64(time.Minute)})
		_, getErr := client.GetFaults(ctx, &drillpb.GetFaultsRequest{})
		for _, err := range []error{setErr, getErr} {
			if status.Code(err) != codes.PermissionDenied || strings.Contains(err.Error(), testDrillToken) {
				t.Errorf("token %s: %v", name, err)
			}
		}
	}
	if e.api.drills.faults.Active() {
		t.Error("a call that was refused set rules")
	}
	// The log says it, once in a while: whoever guesses must not fill it.
	if n := strings.Count(log.String(), "call refused"); n < 1 || n > 5 {
		t.Errorf("%d lines for 10 calls that were refused:\n%s", n, log.String())
	}
	if err := admin.SetFaults(testContext(t), conn, "wrong", cutFromAll, time.Minute); !errors.Is(err, admin.ErrToken) {
		t.Errorf("the client says %v", err)
	}
}

func TestDrillRulesAreSetReadAndCleared(t *testing.T) {
	e := drilledEdge(t)
	client, ctx := drillpb.NewDrillClient(e.dial(t)), withToken(testContext(t), testDrillToken)
	want := fault.Rules{Links: []fault.Link{{Peer: 2, Out: true, Delay: time.Second}}, Wall: time.Hour}
	before := time.Now()
	set, err := client.SetFaults(ctx, &drillpb.SetFaultsRequest{Rules: drillpb.FromRules(want), TtlNs: int64(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Unix(0, set.DeadlineUnixNs).Sub(before); d < time.Minute || d > time.Minute+30*time.Second {
		t.Errorf("the deadline is %v away", d)
	}
	got, err := client.GetFaults(ctx, &drillpb.GetFaultsRequest{})
	if err != nil || drillpb.ToRules(got.Rules).String() != want.String() || got.DeadlineUnixNs != set.DeadlineUnixNs {
		t.Errorf("got %v, %v; want %v until %d", got, err, want, set.DeadlineUnixNs)
	}
	cleared, err := client.SetFaults(ctx, &drillpb.SetFaultsRequest{})
	if err != nil || cleared.DeadlineUnixNs != 0 {
		t.Errorf("clearing: %v, %v", cleared, err)
	}
	if got, err := client.GetFaults(ctx, &drillpb.GetFaultsRequest{}); err != nil || got.DeadlineUnixNs != 0 ||
		!drillpb.ToRules(got.Rules).Empty() {
		t.Errorf("cleared: %v, %v", got, err)
	}
}

func TestDrillRulesThatAreWrongAreRefused(t *testing.T) {
	e := drilledEdge(t)
	conn := e.dial(t)
	for want, r := range map[string]fault.Rules{
		"peer 3 is no member of the cluster": {Links: []fault.Link{{Peer: 3, Out: true, Drop: 1}}},
		"peer 1 is this member itself":       {Links: []fault.Link{{Peer: testMember, Out: true, Drop: 1}}},
		"drop 2 must be a probability":       {Links: []fault.Link{{Out: true, Drop: 2}}},
		"disk fault 9 is not known":          {Disk: 9},
	} {
		err := admin.SetFaults(testContext(t), conn, testDrillToken, r, time.Minute)
		if err == nil || !strings.Contains(err.Error(), "it refuses the faults: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", r, err, want)
		}
	}
	err := admin.SetFaults(testContext(t), conn, testDrillToken, cutFromAll, 2*time.Hour)
	if err == nil || !strings.Contains(err.Error(), "ttl 2h0m0s must be between 1s and 1h0m0s") {
		t.Errorf("a long ttl: %v", err)
	}
	if e.api.drills.faults.Active() {
		t.Error("rules that were refused hold")
	}
}

func TestWithoutEnableDrillsThereIsNoDrillService(t *testing.T) {
	e := serve(t, newSoloNode(t), testConfig())
	_, err := drillpb.NewDrillClient(e.dial(t)).GetFaults(withToken(testContext(t), ""), &drillpb.GetFaultsRequest{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("the call says %v", err)
	}
	err = admin.SetFaults(testContext(t), e.dial(t), "token", cutFromAll, time.Minute)
	if !errors.Is(err, admin.ErrDisabled) || !strings.Contains(err.Error(), "without --enable-drills") {
		t.Errorf("the client says %v", err)
	}
	if body := ask(e.api, http.MethodGet, "/metrics").Body.String(); strings.Contains(body, "quorumkv_drill") {
		t.Error("there are metrics of drills")
	}
}

func TestDrillOfAMemberThatIsGone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = admin.SetFaults(testContext(t), conn, "token", cutFromAll, time.Minute)
	if !errors.Is(err, admin.ErrUnreachable) {
		t.Errorf("nobody listens: %v", err)
	}
}

// Only gRPC clients reach the service: not the member's connection to itself, and so not the JSON gateway.
func TestDrillServiceIsForGRPCClientsOnly(t *testing.T) {
	e := drilledEdge(t)
	_, err := drillpb.NewDrillClient(e.api.self.conn).GetFaults(
		withToken(testContext(t), testDrillToken), &drillpb.GetFaultsRequest{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("in process: %v", err)
	}
	for _, path := range []string{"/v3/drill/faults", "/quorumkv.v1.Drill/GetFaults", "/v3/quorumkv.v1.Drill/GetFaults"} {
		request, err := http.NewRequestWithContext(testContext(t), http.MethodPost, "http://"+e.addr+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Grpc-Metadata-"+drillpb.TokenKey, testDrillToken)
		resp, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("POST %s: %s %s", path, resp.Status, body)
		}
	}
}

// drilledConfig is a member alone with drills.
func drilledConfig(t *testing.T, token string) Config {
	cfg := anyPort(t)
	cfg.EnableDrills, cfg.DrillsToken = true, token
	return cfg
}

// setFaults sets rules through the client address.
func (r *running) setFaults(t *testing.T, token string, rules fault.Rules, ttl time.Duration) {
	t.Helper()
	conn := r.client(t).ActiveConnection()
	if err := admin.SetFaults(testContext(t), conn, token, rules, ttl); err != nil {
		t.Fatal(err)
	}
}

func TestFaultsShowWhileTheyHold(t *testing.T) {
	log := newTap()
	cfg := drilledConfig(t, "")
	cfg.ListenMetricsURLs = cfg.ListenClientURLs
	r := start(t, cfg, log.logger())
	r.ready(t)
	token := regexp.MustCompile(`token=([0-9a-f]{32})\b`).FindStringSubmatch(log.wait(t, "token="))
	if token == nil {
		t.Fatal("no token of 32 hex digits in the log")
	}
	client := r.client(t)
	looks := func() map[string]string {
		st, err := client.Status(testContext(t), r.clients[0].Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		shown := map[string]string{"status": fmt.Sprint(st.Errors)}
		for _, path := range []string{"/health", "/readyz?verbose", "/readyz", "/livez?verbose", "/metrics"} {
			code, body := get(t, r.metricsOnly[0], path)
			if code != http.StatusOK {
				t.Errorf("%s: %d %s", path, code, body)
			}
			shown[path] = body
		}
		return shown
	}
	for where, text := range looks() {
		if strings.Contains(text, "drill:") || strings.Contains(text, `quorumkv_drill_faults_active{kind="link"} 1`) {
			t.Errorf("without faults %s says %s", where, text)
		}
	}

	rules := fault.Rules{Links: []fault.Link{{In: true, Out: true, Drop: 1}}, Wall: -time.Hour}
	r.setFaults(t, token[1], rules, time.Hour)
	const said = "drill: messages from and to every peer cut; wall clock -1h0m0s, until 20"
	for where, text := range looks() {
		var want []string
		switch where {
		case "/metrics":
			want = []string{
				`quorumkv_drill_faults_active{kind="link"} 1`, `quorumkv_drill_faults_active{kind="wall"} 1`,
				`quorumkv_drill_faults_active{kind="disk"} 0`, `quorumkv_drill_faults_total{kind="link"} 1`,
			}
		case "/readyz":
			if text != "ok\n" {
				t.Errorf("/readyz is %q", text)
			}
		case "/health":
			want = []string{said, `"health":"true"`}
		default:
			want = []string{said}
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s says %s, without %s", where, text, w)
			}
		}
	}

	r.setFaults(t, token[1], fault.Rules{Wall: time.Minute}, fault.MinTTL)
	log.wait(t, `\[WARN\] +drill: faults end: reason=expired`)
	for where, text := range looks() {
		if strings.Contains(text, "drill: ") || strings.Contains(text, `quorumkv_drill_faults_active{kind="wall"} 1`) {
			t.Errorf("afterwards %s says %s", where, text)
		}
	}
	text := log.wait(t, `\[WARN\] +drill: faults begin: faults="messages from .* cut; wall clock -1h0m0s" until=20`)
	if !regexp.MustCompile(`\[WARN\] +drill: faults change: faults="wall clock \+1m0s" until=20`).MatchString(text) {
		t.Errorf("no line about the change:\n%s", text)
	}
}

func TestConfiguredDrillTokenIsNeverLogged(t *testing.T) {
	log := newTap()
	r := start(t, drilledConfig(t, testDrillToken), log.logger())
	r.ready(t)
	r.setFaults(t, testDrillToken, cutFromAll, time.Minute)
	err := admin.SetFaults(testContext(t), r.client(t).ActiveConnection(), "secret-guess", cutFromAll, time.Minute)
	if !errors.Is(err, admin.ErrToken) {
		t.Errorf("a wrong token: %v", err)
	}
	log.wait(t, "call refused")
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	text := log.wait(t, "faults end: reason=\"the member stops\"")
	for _, secret := range []string{testDrillToken, "secret-guess"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log holds %q:\n%s", secret, text)
		}
	}
	if !strings.Contains(text, "drills are enabled") {
		t.Errorf("the log does not say that drills are enabled:\n%s", text)
	}
}

// A write waits for a disk that stalls, and is made when the rules end; a member that is told to stop meanwhile does so in
// its usual time.
func TestStalledDiskHoldsWritesAndNoStop(t *testing.T) {
	r := run(t, drilledConfig(t, testDrillToken))
	client := r.client(t)
	stall := fault.Rules{Disk: fault.DiskStall}
	asked := time.Now() // the rules hold until MinTTL from now, or longer
	r.setFaults(t, testDrillToken, stall, fault.MinTTL)
	if _, err := client.Put(testContext(t), "k", "v"); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(asked); d < fault.MinTTL {
		t.Errorf("a put was acknowledged after %v, and the disk stalled for %v", d, fault.MinTTL)
	}
	r.setFaults(t, testDrillToken, stall, time.Hour)
	put := make(chan error, 1)
	go func() {
		_, err := client.Put(testContext(t), "k", "w")
		put <- err
	}()
	waitFor(t, "the put waits for the log", func() bool { return r.member.Status().Pending > 0 })
	start := time.Now()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if d := time.Since(start); d > 10*time.Second { // 1.5 s, and what a busy machine takes
		t.Errorf("the stop took %v", d)
	}
	<-put
}

func TestFailingDiskStopsTheMember(t *testing.T) {
	r := run(t, drilledConfig(t, testDrillToken))
	client := r.client(t)
	r.setFaults(t, testDrillToken, fault.Rules{Disk: fault.DiskFail}, time.Minute)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	go func() { _, _ = client.Put(ctx, "k", "v") }() // its outcome is unknown
	select {
	case err := <-r.ended:
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("the member ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the member goes on with a disk that fails")
	}
	r.ended <- nil // for stop
}

// Three members, of which the leader is cut off from the others by its own rules: they elect another, it stops leading,
// and all are one cluster again when the rules are gone.
func TestLeaderThatIsCutOff(t *testing.T) {
	members := runThree(t)
	leader := leaderOf(t, members, nil)
	leader.setFaults(t, testDrillToken, cutFromAll, time.Minute)
	next := leaderOf(t, members, leader)
	if _, err := next.client(t).Put(testContext(t), "k", "v"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the old leader steps down", func() bool { return leader.member.Status().Leader != leader.self })
	code, body := get(t, leader.clients[0], "/health")
	if code != http.StatusServiceUnavailable || !strings.Contains(body, "RAFT NO LEADER; drill: messages from and to") {
		t.Errorf("/health of the member that is cut off: %d %s", code, body)
	}
	leader.setFaults(t, testDrillToken, fault.Rules{}, 0)
	got, err := leader.client(t).Get(testContext(t), "k")
	if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "v" {
		t.Errorf("healed: %v, %v", got, err)
	}
	// Rules may name a peer now that the members are known.
	name := fault.Rules{Links: []fault.Link{{Peer: next.self, Out: true, Delay: time.Millisecond}}}
	leader.setFaults(t, testDrillToken, name, time.Minute)
}

func runThree(t *testing.T) []*running {
	t.Helper()
	// The addresses must be known before the members start: they are taken, all at once, and given back.
	var cluster []InitialMember
	var taken []net.Listener
	for _, name := range []string{"a", "b", "c"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		cluster = append(cluster, InitialMember{Name: name, PeerURLs: []url.URL{{Scheme: "http", Host: l.Addr().String()}}})
		taken = append(taken, l)
	}
	closeAll(taken)
	var members []*running
	for _, m := range cluster {
		cfg := drilledConfig(t, testDrillToken)
		cfg.Name, cfg.InitialCluster = m.Name, cluster
		cfg.ListenPeerURLs, cfg.AdvertisePeerURLs = m.PeerURLs, m.PeerURLs
		cfg.HeartbeatInterval, cfg.ElectionTimeout = 50*time.Millisecond, 500*time.Millisecond
		members = append(members, start(t, cfg, hclog.NewNullLogger()))
	}
	for _, m := range members {
		m.ready(t)
	}
	return members
}

// leaderOf waits until one of the members leads, other than except.
func leaderOf(t *testing.T, members []*running, except *running) (leader *running) {
	t.Helper()
	waitFor(t, "there is a leader", func() bool {
		leader = nil
		for _, m := range members {
			if m != except && m.member.Status().Leader == m.self {
				leader = m
			}
		}
		return leader != nil
	})
	return leader
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
