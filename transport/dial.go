package transport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	// maxMessageBytes bounds one encoded message, far above any batch: only a misconfigured limit on requests gets here.
	maxMessageBytes = 64 << 20
	// slack is left for what weightOf does not see.
	slack = 1 << 20

	writeBufferBytes = 128 << 10 // one write call takes this much: a batch of small messages is one call
	readBufferBytes  = 128 << 10
	streamWindow     = 4 << 20 // what may be under way on one stream: 4 Gbit/s over 8 ms
	connWindow       = 8 << 20
)

// timing is the transport's patience. It is a value so that tests can be in a hurry.
type timing struct {
	handshake   time.Duration // from dialling to the peer's answer
	pingEvery   time.Duration
	pingTimeout time.Duration // no answer for so long: the peer is gone, whatever TCP believes
	backoffMin  time.Duration
	backoffMax  time.Duration
	reportEvery time.Duration // at most one call of Config.Unreachable per peer in this time
}

// defaultTiming notices a dead peer within 4 s and a returned one within 2 s.
var defaultTiming = timing{
	handshake:   3 * time.Second,
	pingEvery:   time.Second,
	pingTimeout: 3 * time.Second,
	backoffMin:  50 * time.Millisecond,
	backoffMax:  2 * time.Second,
	reportEvery: 100 * time.Millisecond,
}

// delay is the wait before a round of attempts: doubling with each failed one, between half and all of it by chance, so
// that peers which lost each other at one moment do not come back at one moment.
func (w timing) delay(failed int) time.Duration {
	d := w.backoffMax
	if shift := failed - 1; shift < 16 {
		d = min(d, w.backoffMin<<shift)
	}
	return d/2 + rand.N(d/2+1)
}

// ServerOptions are the settings that a gRPC server needs to carry peer traffic well. Without them large messages are
// refused, and gRPC's own probes count as an attack.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connWindow),
		grpc.ReadBufferSize(readBufferBytes),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 5 * time.Second, Timeout: 5 * time.Second}),
	}
}

// address is a peer URL, taken apart.
type address struct {
	url               string
	network, endpoint string // as in net.Dial
	secure            bool
}

// parseAddress understands http, https, unix and unixs URLs. As in etcd, host and path of a unix URL together name the
// socket.
func parseAddress(raw string) (address, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return address{}, fmt.Errorf("parse peer url: %w", err)
	}
	a := address{url: raw, network: "tcp", endpoint: u.Host, secure: u.Scheme == "https" || u.Scheme == "unixs"}
	switch u.Scheme {
	case "http", "https":
		if _, _, err := net.SplitHostPort(u.Host); err != nil {
			return address{}, fmt.Errorf("parse peer url %s: %w", raw, err)
		}
	case "unix", "unixs":
		a.network, a.endpoint = "unix", u.Host+u.Path
		if a.endpoint == "" {
			return address{}, fmt.Errorf("parse peer url %s: no socket named", raw)
		}
	default:
		return address{}, fmt.Errorf("parse peer url %s: scheme is none of http, https, unix, unixs", raw)
	}
	return a, nil
}

// dial prepares a connection; nothing happens on the network until the first call on it. Reconnecting is not gRPC's
// business but the sender's, which makes a new connection each time. Should nobody listen there, refused is set.
func (t *Transport) dial(a address, refused *atomic.Bool) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if a.secure {
		if t.cfg.TLS == nil {
			return nil, errors.New("the peer's url asks for TLS, which is not configured")
		}
		creds = credentials.NewTLS(t.cfg.TLS)
	}
	authority := a.endpoint
	if a.network == "unix" {
		authority = "localhost"
	}
	return grpc.NewClient("passthrough:///"+authority,
		grpc.WithTransportCredentials(creds),
		grpc.WithAuthority(authority),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			conn, err := (&net.Dialer{Timeout: t.timing.handshake}).DialContext(ctx, a.network, a.endpoint)
			refused.Store(errors.Is(err, syscall.ECONNREFUSED))
			return conn, err
		}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: t.timing.handshake}),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithIdleTimeout(0),
		grpc.WithWriteBufferSize(writeBufferBytes),
		grpc.WithDefaultCallOptions(grpc.CallContentSubtype(codecName), grpc.MaxCallSendMsgSize(maxMessageBytes)),
		// The pinger watches the control connection; this watches the others, and makes Linux give up on a connection
		// whose data stays unacknowledged for the timeout.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
	)
}
