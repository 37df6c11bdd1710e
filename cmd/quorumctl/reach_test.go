package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestReachLine(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	refused := dial(os.NewSyscallError("connect", syscall.ECONNREFUSED))
	for _, c := range []struct {
		endpoint string
		probe    error
		cause    string
		want     []string // parts of the line
	}{
		{"127.0.0.1:2379", refused, "", []string{"127.0.0.1:2379 refused", "`quorumkv`", "`quorumkv cluster`"}},
		{"http://127.0.0.1:2379", refused, "", []string{"refused", "`quorumkv cluster`"}},
		{"localhost:2379", refused, "", []string{"refused", "`quorumkv cluster`"}},
		{"10.0.0.7:2379", refused, "", []string{"10.0.0.7:2379 refused", "--endpoints"}},
		{"10.0.0.7:2379", dial(context.DeadlineExceeded), "", []string{"10.0.0.7:2379 timed out", "firewall"}},
		{"10.0.0.7:2379", dial(os.ErrDeadlineExceeded), "", []string{"10.0.0.7:2379 timed out"}},
		{"nowhere:1", dial(&net.DNSError{Err: "no such host", Name: "nowhere"}), "", []string{`"nowhere"`, "no address"}},
		{"nowhere", dial(&net.AddrError{Err: "missing port in address"}), "", []string{"missing port", "host:port"}},
		{"10.0.0.7:2379", dial(syscall.ENETUNREACH), "", []string{"cannot be reached", "network is unreachable"}},
		{"10.0.0.7:2379", nil, "", []string{"no answer within 5s (--command-timeout)"}},
		{"https://h:1", nil, handshake("tls: failed to verify certificate: x509: certificate has expired"),
			[]string{"(tls: failed to verify certificate: x509: certificate has expired)", "--cacert"}},
		{"https://h:1", &handshakeError{errors.New("x509: certificate has expired")}, "", []string{
			"(x509: certificate has expired)", "--cacert"}},
		{"https://h:1", &handshakeError{io.EOF}, "", []string{"does not complete the TLS handshake (EOF)"}},
		{"https://h:1", nil, handshake("EOF"), []string{"does not complete the TLS handshake (EOF)", "http://"}},
		{"https://h:1", nil, balancer("error reading server preface: remote error: tls: certificate required"),
			[]string{"wants a client certificate", "--cert and --key"}},
		{"https://h:1", nil, "latest balancer error: write tcp 1->2: write: broken pipe", []string{"hangs up", "--cert"}},
		{"h:1", nil, balancer("error reading server preface: EOF"), []string{"without TLS", "https://", "--cacert"}},
		{"h:1", nil, balancer("error reading server preface: http2: frame too large, note that the frame header looked " +
			"like an HTTP/1.1 header"), []string{"HTTP/1.1", "peer port"}},
	} {
		r := reach{cause: c.cause, waited: 5 * time.Second, limit: "--command-timeout"}
		line := r.line(c.endpoint, c.probe)
		for _, part := range append(c.want, c.endpoint) {
			if !strings.Contains(line, part) {
				t.Errorf("%s, %v, %q: %q lacks %q", c.endpoint, c.probe, c.cause, line, part)
			}
		}
	}
}

func handshake(text string) string {
	return balancer("transport: authentication handshake failed: " + text)
}

func balancer(text string) string {
	return fmt.Sprintf("latest balancer error: connection error: desc = %q", text)
}

func TestNetworkAddress(t *testing.T) {
	for endpoint, want := range map[string]string{
		"h:1": "tcp h:1", "http://h:1": "tcp h:1", "https://h:1/": "tcp h:1", "[::1]:1": "tcp [::1]:1",
		"unix:///run/s": "unix /run/s", "unix://rel": "unix rel", "unix:rel": "unix rel", "unixs:///run/s": "unix /run/s",
		"nonsense": "tcp nonsense", "": "tcp ",
	} {
		if network, address := networkAddress(endpoint); network+" "+address != want {
			t.Errorf("networkAddress(%q) = %s %s, want %s", endpoint, network, address, want)
		}
	}
}

func TestNearest(t *testing.T) {
	candidates := []string{"endpoints", "prefix", "prev-kv", "rev"}
	for name, want := range map[string]string{
		"endpoint": "endpoints", "prefx": "prefix", "prev": "prev-kv", "pre": "prefix", "kv": "", "something": "", "": "",
		"revv": "rev", "ednpoints": "endpoints",
	} {
		if got := nearest(name, candidates); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}
