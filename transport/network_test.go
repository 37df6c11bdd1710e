package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// wire is a TCP proxy that can go dead without closing anything, as a pulled cable does.
type wire struct {
	addr    string
	target  string
	lis     net.Listener
	running sync.WaitGroup

	mu       sync.Mutex
	thawed   sync.Cond // on mu; signalled by thaw and close
	frozen   bool
	closed   bool
	conns    []net.Conn
	accepted int
}

func newWire(t *testing.T, target string) *wire {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: lis.Addr().String(), target: target, lis: lis}
	w.thawed.L = &w.mu
	w.running.Go(w.accept)
	t.Cleanup(func() {
		lis.Close()
		w.mu.Lock()
		w.closed = true
		w.thawed.Broadcast()
		for _, c := range w.conns {
			c.Close()
		}
		w.mu.Unlock()
		w.running.Wait()
	})
	return w
}

func (w *wire) accept() {
	for {
		in, err := w.lis.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", w.target)
		if err != nil {
			in.Close()
			continue
		}
		w.mu.Lock()
		w.accepted++
		w.conns = append(w.conns, in, out)
		if w.closed {
			in.Close()
			out.Close()
		}
		w.mu.Unlock()
		w.running.Go(func() { w.copy(in, out) })
		w.running.Go(func() { w.copy(out, in) })
	}
}

func (w *wire) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		w.mu.Lock()
		for w.frozen && !w.closed {
			w.thawed.Wait()
		}
		w.mu.Unlock()
		if err != nil {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (w *wire) freeze(on bool) {
	w.mu.Lock()
	w.frozen = on
	w.thawed.Broadcast()
	w.mu.Unlock()
}

func TestDeadConnectionIsNoticedByPing(t *testing.T) {
	noGoroutines(t)
	b := startNode(t, 2, "127.0.0.1:0")
	w := newWire(t, b.addr)
	a := startNode(t, 1, "127.0.0.1:0", func(_ *Config, p *timing) {
		p.pingTimeout, p.handshake = 500*time.Millisecond, time.Second
	})
	a.SetPeers([]Peer{{ID: 2, URLs: []string{"http://" + w.addr}}})
	a.connectedTo(2)
	w.freeze(true)
	for range classes { // all streams to the peer go, not only the one that is pinged
		if line := a.logs.wait(t, "peer lost", "2"); line.reason != "no answer to a ping for 500ms" {
			t.Errorf("%s stream lost: %s", line.class, line.reason)
		}
	}
	eventually(t, "attempts to connect over the dead wire", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.accepted > 2*int(classes)
	})
	if n := a.logs.count("peer unreachable", control); n != 0 {
		t.Errorf("%d more lines about a loss already logged", n)
	}
	w.freeze(false)
	a.connectedTo(2)
	a.Send(2, heartbeat(1, 2, 5))
	b.receive()
	eventually(t, "a round trip to be measured", func() bool {
		return a.metric("etcd_network_peer_round_trip_time_seconds", "2") > 0
	})
}

// A connection that breaks as soon as it stands must not become a busy loop, nor a flood of log lines.
func TestOutageIsLoggedOnce(t *testing.T) {
	noGoroutines(t)
	a := startNode(t, 1, "127.0.0.1:0")
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	attempts := make(chan struct{}, 1024)
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			c.Close()
			attempts <- struct{}{}
		}
	})
	a.SetPeers([]Peer{{ID: 2, URLs: []string{"http://" + lis.Addr().String()}}})
	for range 30 {
		<-attempts
	}
	lis.Close()
	accepting.Wait()
	if n := a.logs.count("peer unreachable", control); n != 1 {
		a.logs.mu.Lock()
		t.Errorf("%d lines about one outage:\n%s", n, a.logs.dump())
		a.logs.mu.Unlock()
	}
	b := startNode(t, 2, lis.Addr().String())
	a.connectedTo(2)
	a.Send(2, heartbeat(1, 2, 5))
	b.receive()
	b.stop()
	a.logs.wait(t, "peer lost", "2")
	if n := a.logs.count("peer connected", control); n != 1 {
		t.Errorf("%d lines about one connection", n)
	}
}

func TestAddressesAreTriedInTurn(t *testing.T) {
	noGoroutines(t)
	b := startNode(t, 2, "127.0.0.1:0")
	socket := filepath.Join(t.TempDir(), "peer.sock")
	lis, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	b.serving.Go(func() { b.server.Serve(lis) })
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	dead := "http://" + nobody.Addr().String()
	for _, urls := range [][]string{
		{dead, "http://" + b.addr},
		{"ftp://nonsense", dead, "unix://" + socket},
		{"https://" + b.addr, "http://" + b.addr}, // TLS is not configured
	} {
		a := startNode(t, 1, "127.0.0.1:0")
		a.SetPeers([]Peer{{ID: 2, URLs: urls}})
		a.connectedTo(2)
		a.Send(2, heartbeat(1, 2, 5))
		b.receive()
		a.stop()
	}
}

func TestParseAddress(t *testing.T) {
	for raw, want := range map[string]address{
		"http://10.0.0.1:2380":    {network: "tcp", endpoint: "10.0.0.1:2380"},
		"https://[::1]:2380":      {network: "tcp", endpoint: "[::1]:2380", secure: true},
		"http://node-1:2380/path": {network: "tcp", endpoint: "node-1:2380"},
		"unix:///run/peer.sock":   {network: "unix", endpoint: "/run/peer.sock"},
		"unix://m0:0":             {network: "unix", endpoint: "m0:0"},
		"unixs://localhost:m1":    {},
		"http://node-1":           {},
		"unix://":                 {},
		"tcp://node-1:2380":       {},
		"node-1:2380":             {},
		"":                        {},
	} {
		got, err := parseAddress(raw)
		if (err == nil) != (want.network != "") {
			t.Errorf("%q: %+v, %v", raw, got, err)
			continue
		}
		want.url = got.url
		if got != want || (err == nil && got.url != raw) {
			t.Errorf("%q is %+v, want %+v", raw, got, want)
		}
	}
}

func TestPeersOverTLS(t *testing.T) {
	noGoroutines(t)
	server, client := selfSigned(t)
	b := startNode(t, 2, "127.0.0.1:0")
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure := grpc.NewServer(append(ServerOptions(), grpc.Creds(credentials.NewTLS(server)))...)
	b.Register(secure)
	var serving sync.WaitGroup
	serving.Go(func() { secure.Serve(lis) })
	t.Cleanup(func() { secure.Stop(); serving.Wait() })

	a := startNode(t, 1, "127.0.0.1:0", func(c *Config, _ *timing) { c.TLS = client })
	a.SetPeers([]Peer{{ID: 2, URLs: []string{"https://" + lis.Addr().String()}}})
	a.connectedTo(2)
	a.Send(2, heartbeat(1, 2, 5))
	b.receive()

	plain := startNode(t, 3, "127.0.0.1:0", func(c *Config, _ *timing) { c.TLS = &tls.Config{} })
	plain.SetPeers([]Peer{{ID: 2, URLs: []string{"https://" + lis.Addr().String()}}})
	if line := plain.logs.wait(t, "peer unreachable", "2"); !strings.Contains(line.reason, "certificate") {
		t.Errorf("an untrusted certificate: %s", line.reason)
	}
}

// selfSigned returns settings for a server at 127.0.0.1 and for clients that trust it.
func selfSigned(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: pool}
}
