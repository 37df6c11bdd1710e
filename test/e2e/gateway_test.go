package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/gorilla/websocket"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// TestGateway runs the scripts of testdata/gateway, each on a fresh cluster of one. The expected output was written by
// etcd:
//
//	QUORUMKV_TEST_SERVER=etcd go test ./e2e -run TestGateway -rewrite
//
// A script's commands are
//
//	METHOD PATH [header=NAME:VALUE]...   one HTTP request with the input as its body; prints status, headers and body
//	stream PATH lines=N                  a POST of which N lines are read before it is broken off
//	socket PATH lines=N [header=...]     the same through a WebSocket, with one message for each line of the input
//	begin ID PATH                        a POST that is not waited for
//	end ID | cancel ID                   waits for its answer, or breaks it off
//	keys PREFIX N                        waits until N keys begin with PREFIX
//
// JSON is printed without insignificant white space, which protojson varies between builds on purpose, as it does the kind
// of space in its errors. Numbers that belong to one run are replaced by their field's name.
func TestGateway(t *testing.T) {
	files, err := filepath.Glob("testdata/gateway/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("find scripts: %v (%d files)", err, len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c := cluster.Start(t, cluster.Config{Nodes: 1})
			onlyEtcdRewrites(t, c)
			g := &gatewaySession{t: t, node: c.Nodes[0], client: c.Client(0), calls: map[string]*gatewayCall{}}
			defer g.close()
			datadriven.RunTest(t, file, g.run)
		})
	}
}

type gatewaySession struct {
	t      *testing.T
	node   *cluster.Node
	client *clientv3.Client
	calls  map[string]*gatewayCall
}

// gatewayCall is a request that was begun.
type gatewayCall struct {
	cancel context.CancelFunc
	answer chan string // buffered, sent once
}

func (g *gatewaySession) close() {
	for _, c := range g.calls {
		c.cancel()
		<-c.answer
	}
}

const gatewayPatience = 20 * time.Second

func (g *gatewaySession) run(t *testing.T, d *datadriven.TestData) string {
	ctx, cancel := context.WithTimeout(t.Context(), gatewayPatience)
	defer cancel()
	var out string
	var err error
	switch d.Cmd {
	case "stream":
		out, err = g.stream(ctx, g.arg(d, 0), d.Input, g.lines(d))
	case "socket":
		out, err = g.socket(ctx, g.arg(d, 0), d.Input, g.lines(d), headersOf(d))
	case "begin":
		ctx, cancel := context.WithCancel(context.Background())
		call := &gatewayCall{cancel: cancel, answer: make(chan string, 1)}
		g.calls[g.arg(d, 0)] = call
		path, input := g.arg(d, 1), d.Input
		go func() {
			out, err := g.request(ctx, http.MethodPost, path, input, nil)
			if err != nil {
				out = err.Error() + "\n"
			}
			call.answer <- out
		}()
	case "end", "cancel":
		call := g.calls[g.arg(d, 0)]
		delete(g.calls, g.arg(d, 0))
		if d.Cmd == "cancel" {
			call.cancel()
			<-call.answer
			break
		}
		select {
		case out = <-call.answer:
		case <-ctx.Done():
			call.cancel()
			err = fmt.Errorf("no answer: %w", ctx.Err())
		}
		call.cancel()
	case "keys":
		err = g.awaitKeys(ctx, g.arg(d, 0), g.arg(d, 1))
	default:
		out, err = g.request(ctx, d.Cmd, g.arg(d, 0), d.Input, headersOf(d))
	}
	if err != nil {
		d.Fatalf(t, "%v", err)
	}
	return out
}

func (g *gatewaySession) arg(d *datadriven.TestData, i int) string {
	if i >= len(d.CmdArgs) {
		d.Fatalf(g.t, "%s: argument %d is missing", d.Cmd, i+1)
	}
	return d.CmdArgs[i].Key
}

func (g *gatewaySession) lines(d *datadriven.TestData) int {
	n := 0
	d.ScanArgs(g.t, "lines", &n)
	return n
}

func headersOf(d *datadriven.TestData) http.Header {
	h := http.Header{}
	for _, a := range d.CmdArgs {
		if a.Key == "header" {
			name, value, _ := strings.Cut(strings.Join(a.Vals, ", "), ":")
			h.Add(name, value)
		}
	}
	return h
}

func (g *gatewaySession) request(ctx context.Context, method, path, body string, h http.Header) (string, error) {
	resp, err := g.do(ctx, method, path, body, h)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(path, "/v3/cluster/") {
		// A deliberate difference: etcd leaves the header's revision 0, and so out.
		text = clusterRevision.ReplaceAll(text, nil)
	}
	return responseHead(resp) + plain(text), nil
}

var clusterRevision = regexp.MustCompile(`"revision": *"[0-9]+", *`)

func (g *gatewaySession) do(ctx context.Context, method, path, body string, h http.Header) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, g.node.ClientURL()+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	maps.Copy(r.Header, h)
	return http.DefaultClient.Do(r)
}

func (g *gatewaySession) stream(ctx context.Context, path, body string, lines int) (string, error) {
	resp, err := g.do(ctx, http.MethodPost, path, body, nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	out := responseHead(resp)
	r := bufio.NewReader(resp.Body)
	for range lines {
		line, err := r.ReadBytes('\n')
		out += plain(line)
		if errors.Is(err, io.EOF) {
			return out + "EOF\n", nil
		}
		if err != nil {
			return "", fmt.Errorf("after %q: %w", out, err)
		}
	}
	return out, nil
}

func (g *gatewaySession) socket(ctx context.Context, path, messages string, lines int, h http.Header) (string, error) {
	conn, resp, err := websocket.DefaultDialer.DialContext(ctx, "ws://"+g.node.ClientAddr+path, h)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	out := fmt.Sprintf("%d %s\n", resp.StatusCode, resp.Header.Get("Sec-WebSocket-Protocol"))
	for line := range strings.Lines(messages) {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(strings.TrimSpace(line))); err != nil {
			return "", err
		}
	}
	for range lines {
		_, message, err := conn.ReadMessage()
		if err != nil {
			return "", fmt.Errorf("after %q: %w", out, err)
		}
		out += plain(message)
	}
	return out, nil
}

func (g *gatewaySession) awaitKeys(ctx context.Context, prefix, count string) error {
	for {
		resp, err := g.client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			return err
		}
		if fmt.Sprint(resp.Count) == count {
			return nil
		}
	}
}

// unstableHeaders say when and how long, which is nobody's contract.
var unstableHeaders = []string{"Date", "Content-Length"}

func responseHead(resp *http.Response) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\n", resp.StatusCode)
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		if !slices.Contains(unstableHeaders, name) {
			fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(resp.Header[name], " | "))
		}
	}
	return b.String()
}

var unstableFields = regexp.MustCompile(
	`"(cluster_id|member_id|raft_term|raftTerm|leader|raftIndex|raftAppliedIndex|dbSize|dbSizeInUse|ID|hash)":"?[0-9]+"?`)

var unstableAddresses = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)

// plain prints one body or one line of one.
func plain(text []byte) string {
	text = bytes.TrimRight(text, "\n")
	if len(text) == 0 {
		return ""
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err == nil {
		text = compact.Bytes()
	}
	text = bytes.ReplaceAll(text, []byte("\u00a0"), []byte(" "))
	text = unstableFields.ReplaceAll(text, []byte(`"$1":$1`))
	return unstableAddresses.ReplaceAllString(string(text), "ADDRESS") + "\n"
}
