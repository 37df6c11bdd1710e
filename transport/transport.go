package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/internal/fault"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

var errClosed = status.Error(codes.Unavailable, "transport closed")

// Peer is another member and where to reach it.
type Peer struct {
	ID uint64
	// URLs are tried in turn: http, https, unix or unixs.
	URLs []string
}

// Config says who this member is and where its messages go.
type Config struct {
	// ClusterID and MemberID are never zero. Hello says which run of the member this is.
	ClusterID, MemberID uint64
	Hello               peerpb.Hello

	// Admit decides whether a run may speak for a member, and may wait for that, until ctx ends. A peerpb.Refusal is for
	// good, after any other error the run may try again. It is called from anywhere, several at a time.
	Admit func(ctx context.Context, member uint64, run peerpb.Hello) error

	// Disowned hears that a peer refuses this run for good, and why. It is called from anywhere and must not wait for the
	// transport.
	Disowned func(by uint64, reason string)

	// Receive gets every message that passed the checks, which is then its own, and the run that sent it. It is called from a
	// goroutine of each stream, several at a time, and must be quick and not wait for the transport: while it runs, its
	// stream stands still.
	Receive func(from peerpb.Boot, m *peerpb.Message)

	// Unreachable, when set, hears that messages to a peer get lost, at most every 100 ms for each peer. It is called
	// from anywhere, also from within Send, and must not block.
	Unreachable func(id uint64)

	// Gone, when set, hears that a peer's process has ended: it was connected, and now every address of its refuses
	// connections, while nothing of its comes in. It is called from anywhere and must not block.
	Gone func(id uint64)

	// TLS is for https and unixs URLs of peers; nil when there are none.
	TLS *tls.Config

	// Faults are in the way of all traffic with peers, in drills; nil otherwise.
	Faults *fault.Injector

	// Logger and Registerer may be nil: then nothing is logged, or exported.
	Logger     hclog.Logger
	Registerer prometheus.Registerer
}

// Transport is this member's end of the connections to all peers. All methods may be called from anywhere, at once.
type Transport struct {
	cfg     Config
	timing  timing
	metrics *metrics
	log     hclog.Logger
	born    time.Time // zero of the clock that rate limits use

	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	running sync.WaitGroup // every goroutine of the package; Add only under mu, and only while not closed

	peers atomic.Pointer[map[uint64]*peer] // by id; a map is never changed, but replaced under mu

	mu        sync.Mutex
	closed    bool
	removed   map[uint64]bool // were peers once and are no more; ids are not used twice
	receivers map[source]*receiver
	refusals  map[uint64]string // by sender: the last refusal logged, so that its retries stay quiet
}

var _ env.Net = (*Transport)(nil)

// New makes a transport without peers. It sends nothing before SetPeers and receives nothing before Register.
func New(cfg Config) (*Transport, error) { return newTransport(cfg, defaultTiming) }

func newTransport(cfg Config, patience timing) (*Transport, error) {
	switch {
	case cfg.ClusterID == 0 || cfg.MemberID == 0:
		return nil, errors.New("transport needs a cluster id and a member id")
	case cfg.Receive == nil || cfg.Admit == nil || cfg.Disowned == nil:
		return nil, errors.New("transport needs functions that admit, receive and hear of a refusal")
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	m, err := newMetrics(cfg.Registerer, cfg.MemberID)
	if err != nil {
		return nil, err
	}
	t := &Transport{
		cfg: cfg, timing: patience, metrics: m, log: cfg.Logger, born: time.Now(),
		removed:   make(map[uint64]bool),
		receivers: make(map[source]*receiver),
		refusals:  make(map[uint64]string),
	}
	t.ctx, t.stop = context.WithCancel(context.Background())
	t.peers.Store(&map[uint64]*peer{})
	return t, nil
}

// Register adds the peer service to s, which should have been made with ServerOptions.
func (t *Transport) Register(s *grpc.Server) { peerpb.RegisterPeerServer(s, &service{t: t}) }

// SetPeers says who the peers are from now on; this member itself may be in the list. New peers get connected, changed
// addresses reconnected. Peers no longer in the list are disconnected, and refused when they call. It does not wait.
func (t *Transport) SetPeers(list []Peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	old, peers := *t.peers.Load(), make(map[uint64]*peer, len(list))
	for _, p := range list {
		if p.ID == t.cfg.MemberID {
			continue
		}
		delete(t.removed, p.ID)
		if known, ok := old[p.ID]; ok {
			known.move(p.URLs)
			peers[p.ID] = known
			continue
		}
		peers[p.ID] = t.startPeer(p)
	}
	for id, p := range old {
		if _, ok := peers[id]; !ok {
			p.stop()
			p.metrics.known.Set(0)
			t.removed[id] = true
			t.cutReceivers(id, status.Errorf(codes.FailedPrecondition, "member %x was removed from the cluster", id))
		}
	}
	t.peers.Store(&peers)
}

// Send hands m, which must not change afterwards, to the stream of its class, or drops it: when the peer is unknown or
// not connected, or its queue is full. It never waits.
func (t *Transport) Send(to uint64, m *peerpb.Message) {
	p, ok := (*t.peers.Load())[to]
	switch {
	case !ok:
	case t.cfg.Faults.Active():
		t.sendThroughFaults(p, m)
	default:
		p.send(m)
	}
}

// Active reports whether the control stream to a peer is up, and since when.
func (t *Transport) Active(id uint64) (since time.Time, ok bool) {
	if p, known := (*t.peers.Load())[id]; known {
		if up := p.active.Load(); up != nil {
			return *up, true
		}
	}
	return time.Time{}, false
}

// Close ends all streams, both ways, and waits for the goroutines behind them. Receive is not called afterwards. The
// gRPC server is the caller's to stop, before or after.
func (t *Transport) Close() {
	t.mu.Lock()
	t.closed = true
	for s := range t.receivers {
		t.cutReceivers(s.member, errClosed)
	}
	t.mu.Unlock()
	t.stop()
	t.running.Wait()
}
