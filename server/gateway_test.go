package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/metadata"
)

// post sends one request to the gateway of e and returns status and body, without insignificant white space.
func post(ctx context.Context, client *http.Client, e *edge, path, body string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+e.addr+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.NewReplacer(" ", "", "\u00a0", "").Replace(string(text)), err
}

func TestGatewayOverBothVersionsOfHTTP(t *testing.T) {
	e := serve(t, newSoloNode(t), testConfig())
	http2 := &http.Transport{Protocols: new(http.Protocols)}
	http2.Protocols.SetUnencryptedHTTP2(true)
	for i, transport := range []*http.Transport{{}, http2} {
		client := &http.Client{Transport: transport}
		defer client.CloseIdleConnections()
		code, body, err := post(testContext(t), client, e, "/v3/kv/put", `{"key":"YQ==","value":"Yg=="}`)
		want := fmt.Sprintf(`{"header":{"cluster_id":"193","member_id":"1","revision":"%d","raft_term":"7"}}`, i+2)
		if err != nil || code != 200 || body != want {
			t.Errorf("HTTP/%d: %d %s, %v; want %s", i+1, code, body, err, want)
		}
		code, body, err = post(testContext(t), client, e, "/v3beta/kv/range", `{"key":""}`)
		want = `{"code":3,"message":"etcdserver:keyisnotprovided"}`
		if err != nil || code != 400 || body != want {
			t.Errorf("HTTP/%d: %d %s, %v; want %s", i+1, code, body, err, want)
		}
	}
}

// A call through the gateway is a gRPC call: it passes the interceptors, with the caller's metadata, and is counted once.
func TestGatewayCallsAreGRPCCalls(t *testing.T) {
	n := newSoloNode(t)
	var seen metadata.MD
	n.beforeRead = func(ctx context.Context) { seen, _ = metadata.FromIncomingContext(ctx) }
	e := serve(t, n, testConfig())
	r, err := http.NewRequestWithContext(testContext(t), http.MethodPost, "http://"+e.addr+"/v3/kv/range", strings.NewReader(`{"key":"YQ=="}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer x")
	r.Header.Set("Grpc-Metadata-Client-Api-Version", "3.7")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := seen.Get("authorization"); len(got) != 1 || got[0] != "Bearer x" {
		t.Errorf("authorization %q", got)
	}
	text := ask(e.api, http.MethodGet, "/metrics").Body.String()
	for _, want := range []string{
		`grpc_server_handled_total{grpc_code="OK",grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1`,
		`etcd_server_client_requests_total{client_api_version="3.7",type="unary"} 1`,
		`grpc_server_started_total{grpc_method="Lock",grpc_service="v3lockpb.Lock",grpc_type="unary"} 0`,
		`grpc_server_started_total{grpc_method="Observe",grpc_service="v3electionpb.Election",grpc_type="server_stream"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// The bound to streams on a client's connection is none to the calls that share the member's own.
func TestInProcessCallsDoNotWaitForEachOther(t *testing.T) {
	n := newSoloNode(t)
	const calls = 5
	var inside atomic.Int32
	together := make(chan struct{})
	n.beforeRead = func(ctx context.Context) {
		if inside.Add(1) == calls {
			close(together)
		}
		select {
		case <-together:
		case <-ctx.Done():
		}
	}
	cfg := testConfig()
	cfg.Limits.ConcurrentStreams = 1
	e := serve(t, n, cfg)
	ended := make(chan error, calls)
	for range calls {
		go func() {
			_, err := pb.NewKVClient(e.api.self.conn).Range(testContext(t), &pb.RangeRequest{Key: []byte("k")})
			ended <- err
		}()
	}
	for range calls {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestGatewayCarriesLargeMessages(t *testing.T) {
	n := newSoloNode(t)
	e := serve(t, n, testConfig())
	large := strings.Repeat("QUFB", 450_000) // 1.35 MB of As
	for _, key := range []string{"YQ==", "Yg==", "Yw==", "ZA=="} {
		code, body, err := post(testContext(t), http.DefaultClient, e, "/v3/kv/put", `{"key":"`+key+`","value":"`+large+`"}`)
		if err != nil || code != 200 {
			t.Fatalf("%d %.200s %v", code, body, err)
		}
	}
	_, body, err := post(testContext(t), http.DefaultClient, e, "/v3/kv/range", `{"key":"AA==","range_end":"AA=="}`)
	var got struct{ Kvs []struct{ Value string } }
	if err == nil {
		err = json.Unmarshal([]byte(body), &got)
	}
	if err != nil || len(got.Kvs) != 4 || got.Kvs[3].Value != large {
		t.Fatalf("%v; %d keys in %d bytes", err, len(got.Kvs), len(body))
	}
	// What is too large for gRPC gets gRPC's answer; what is far too large is not even read.
	tooLarge := strings.Repeat("QUFB", 1_000_000)
	for _, tc := range []struct {
		copies int
		code   int
		want   string
	}{
		{1, 429, `grpc:receivedmessagelargerthanmax`},
		{5, 400, `messageistoolarge:itsJSONhasmorethan16777216bytes`},
	} {
		body := `{"key":"YQ==","value":"` + strings.Repeat(tooLarge, tc.copies) + `"}`
		code, text, err := post(testContext(t), http.DefaultClient, e, "/v3/kv/put", body)
		if err != nil || code != tc.code || !strings.Contains(text, tc.want) {
			t.Errorf("%d bytes: %d %.200s, %v; want %d %s", len(body), code, text, err, tc.code, tc.want)
		}
	}
}

func TestGatewayCanBeLeftOut(t *testing.T) {
	cfg := testConfig()
	cfg.NoGateway = true
	if w := ask(testAPI(t, newSoloNode(t), cfg), http.MethodPost, "/v3/kv/range"); w.Code != http.StatusNotFound {
		t.Errorf("status %d", w.Code)
	}
}

// Shutdown ends calls that come through the gateway, and waits for their handlers.
func TestShutdownEndsGatewayCalls(t *testing.T) {
	n := newSoloNode(t)
	entered, left := make(chan struct{}), make(chan struct{})
	n.beforeRead = func(ctx context.Context) {
		close(entered)
		<-ctx.Done()
		close(left)
	}
	e := serve(t, n, testConfig())
	go post(testContext(t), http.DefaultClient, e, "/v3/kv/range", `{"key":"YQ=="}`)
	<-entered
	begin := time.Now()
	e.stop()
	if took := time.Since(begin); took > time.Second {
		t.Errorf("stopping took %v", took)
	}
	select {
	case <-left:
	default:
		t.Error("a handler still runs")
	}
	// Calls of the member itself end as well.
	_, err := pb.NewKVClient(e.api.self.conn).Range(testContext(t), &pb.RangeRequest{Key: []byte("k")})
	if err == nil {
		t.Error("a call after the end succeeded")
	}
}

// A call that was cut off may still give up what it holds, but not for ever.
func TestShutdownLeavesTimeForAFarewell(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		n := newSoloNode(t)
		var e *edge
		entered, parted := make(chan struct{}), make(chan error, 1)
		n.beforeRead = func(ctx context.Context) {
			if v := metadata.ValueFromIncomingContext(ctx, "farewell"); len(v) > 0 {
				if hangs {
					<-ctx.Done()
				}
				return
			}
			close(entered)
			<-ctx.Done()
			ctx = metadata.AppendToOutgoingContext(context.WithoutCancel(ctx), "farewell", "yes")
			_, err := pb.NewKVClient(e.api.self.conn).Range(ctx, &pb.RangeRequest{Key: []byte("k")})
			parted <- err
		}
		e = serve(t, n, testConfig())
		go pb.NewKVClient(e.dial(t)).Range(testContext(t), &pb.RangeRequest{Key: []byte("k")})
		<-entered
		begin := time.Now()
		e.stop()
		if took := time.Since(begin); took > time.Second {
			t.Errorf("stopping took %v", took)
		}
		if err := <-parted; (err != nil) != hangs {
			t.Errorf("the farewell ended with %v; hangs: %v", err, hangs)
		}
	}
}

// A call made before the member serves itself waits.
func TestInProcessCallsWaitForTheServer(t *testing.T) {
	a := testAPI(t, newSoloNode(t), testConfig())
	ended := make(chan error, 1)
	go func() {
		_, err := pb.NewKVClient(a.self.conn).Range(testContext(t), &pb.RangeRequest{Key: []byte("k")})
		ended <- err
	}()
	select {
	case conn := <-a.self.listener.conns: // it waits
		go a.self.listener.deliver(conn)
	case err := <-ended:
		t.Fatalf("ended with %v", err)
	}
	s := newInProcessServer(a)
	served := make(chan error, 1)
	go func() { served <- s.Serve(a.self.listener) }()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	a.self.close()
	s.Stop()
	<-served
}
