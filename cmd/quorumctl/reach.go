package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"
)

// probeTimeout bounds the look at the endpoints after a request got no answer: enough for a distant machine, little
// beside the timeout that has just passed.
const probeTimeout = time.Second

// reach explains why no endpoint answered. The client library reports one connection error at most, whichever came
// last, and none while it tries again. So reach knocks at every endpoint and says what each did.
type reach struct {
	endpoints []string
	tls       *tls.Config // nil without TLS flags
	cause     string      // message of the last raw error
	waited    time.Duration
	limit     string // the flag that set waited
}

// explain returns one line per endpoint, in their order.
func (r reach) explain() []string {
	lines := make([]string, len(r.endpoints))
	var probes sync.WaitGroup
	for i, ep := range r.endpoints {
		probes.Go(func() { lines[i] = r.line(ep, r.probe(ep)) })
	}
	probes.Wait()
	return lines
}

// probe opens a connection to an endpoint, with TLS where a request would use it, and closes it again.
func (r reach) probe(endpoint string) error {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	network, address := networkAddress(endpoint)
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	config := r.tlsConfig(endpoint, address)
	if config == nil {
		return nil
	}
	if err := tls.Client(conn, config).HandshakeContext(ctx); err != nil {
		return &handshakeError{err}
	}
	return nil
}

// handshakeError tells a failure of TLS from one of the network below it.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// tlsConfig returns nil for an endpoint that is spoken to without TLS. As in the client library, the scheme decides,
// and without one the flags do.
func (r reach) tlsConfig(endpoint, address string) *tls.Config {
	config := r.tls
	switch scheme, _, _ := strings.Cut(endpoint, ":"); {
	case scheme == "http":
		return nil
	case config == nil && (scheme == "https" || scheme == "unixs"):
		config = &tls.Config{}
	case config == nil:
		return nil
	}
	config = config.Clone()
	config.NextProtos = []string{"h2"}
	if config.ServerName == "" {
		config.ServerName = path.Base(address)
		if host, _, err := net.SplitHostPort(address); err == nil {
			config.ServerName = host
		}
	}
	return config
}

// networkAddress translates an endpoint, which may be a URL, for package net.
func networkAddress(endpoint string) (network, address string) {
	for _, scheme := range []string{"unix:", "unixs:"} {
		if path, ok := strings.CutPrefix(endpoint, scheme); ok {
			return "unix", strings.TrimPrefix(path, "//")
		}
	}
	if u, err := url.Parse(endpoint); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		endpoint = u.Host
	}
	return "tcp", endpoint
}

func (r reach) line(endpoint string, err error) string {
	var dns *net.DNSError
	var address *net.AddrError
	var handshake *handshakeError
	switch {
	case err == nil:
		return r.silent(endpoint)
	case errors.As(err, &handshake):
		return tlsLine(endpoint, handshake.err.Error())
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		if _, a := networkAddress(endpoint); a == defaultEndpoint || a == "localhost:2379" {
			return endpoint + " refused the connection: no server listens there. Start one with `quorumkv`, or " +
				"three local nodes with `quorumkv cluster`; or name another server with --endpoints"
		}
		return endpoint + " refused the connection: no server listens there. Is it running, and is --endpoints right?"
	case errors.As(err, &dns):
		return fmt.Sprintf("%s: no address found for host %q. Is --endpoints right?", endpoint, dns.Name)
	case errors.As(err, &address):
		return fmt.Sprintf("%s is not an endpoint (%s). Write host:port, http://host:port or https://host:port",
			endpoint, address.Err)
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return endpoint + " timed out: no connection within " + probeTimeout.String() +
			". Is the machine up, and does a firewall let you through?"
	default:
		return fmt.Sprintf("%s cannot be reached: %v", endpoint, err)
	}
}

func tlsLine(endpoint, problem string) string {
	if strings.Contains(problem, "x509:") {
		return fmt.Sprintf("%s has a certificate that is not trusted (%s). Name its authority with --cacert",
			endpoint, problem)
	}
	return fmt.Sprintf("%s does not complete the TLS handshake (%s). If it does not use TLS, write http:// and leave "+
		"out the TLS flags", endpoint, problem)
}

// silent explains an endpoint that accepts connections and yet gave no answer: it wants TLS or a certificate, or it is
// stuck or has no leader.
func (r reach) silent(endpoint string) string {
	cause := connectionCause(r.cause)
	switch {
	case strings.Contains(cause, "certificate required"), strings.Contains(cause, "bad certificate"):
		return endpoint + " wants a client certificate. Give one with --cert and --key"
	case strings.Contains(cause, "authentication handshake failed: "):
		_, problem, _ := strings.Cut(cause, "authentication handshake failed: ")
		return tlsLine(endpoint, problem)
	case strings.Contains(cause, "HTTP/1.1 header"):
		return endpoint + " is no client port: it speaks HTTP/1.1 only. Is it the peer port, or another service?"
	case strings.Contains(cause, "server preface"):
		return endpoint + " closes connections without TLS. Write https:// and name its authority with --cacert"
	case strings.Contains(cause, "broken pipe"), strings.Contains(cause, "connection reset"):
		// What is left of a TLS handshake that the server gave up, when it hung up before its reason was read.
		return endpoint + " hangs up. If it uses TLS, write https://; if it wants a client certificate, give one with " +
			"--cert and --key"
	default:
		return fmt.Sprintf("%s accepts connections but timed out: no answer within %v (%s). Is there a leader? See "+
			"`quorumctl endpoint status --cluster -w table`", endpoint, r.waited, r.limit)
	}
}

// connectionCause takes the innermost text out of gRPC's message about a connection.
func connectionCause(message string) string {
	_, cause, ok := strings.Cut(message, "connection error: desc = ")
	if !ok {
		return message
	}
	return strings.Trim(strings.ReplaceAll(cause, `\"`, `"`), `"`)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
