package server

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
)

// node is what the client services need of the member they run on. All methods may be called from any goroutine.
//
// View and Status are called for every request, so they must cost no more than loading a pointer.
type node interface {
	// Propose replicates r and returns what it did, once this member has applied it: whoever sees the answer also sees
	// the write in every later View. It ends with one of raftnode's or apply's sentinels, or with ctx's error; unless
	// the sentinel says otherwise the write may still take effect. A compaction with Physical set returns only when
	// this member has deleted the compacted revisions for good. r must not be changed afterwards.
	Propose(ctx context.Context, r *pb.InternalRaftRequest) (apply.Response, error)
	// Read returns a view that holds every write acknowledged, by any member, before the call.
	Read(ctx context.Context) (*apply.View, error)
	// RenewLease keeps a lease alive. done gets its time to live in seconds, or raftnode.NoLease, or an error after which the
	// lease may have been renewed or not. It is called once, from any goroutine, and must not block.
	RenewLease(id int64, done func(ttl int64, err error))
	// QueryLease describes a lease, with its keys if they are wanted; found is false when there is no such lease. The answer
	// is no older than the call.
	QueryLease(ctx context.Context, id int64, keys bool) (s raftnode.LeaseStatus, found bool, err error)
	// Leases lists the leases that this member knows.
	Leases(ctx context.Context) ([]raftnode.LeaseStatus, error)
	// TransferLeadership hands leadership from this member, which must have it, to target, or to the best of the other
	// voters when target is 0. It returns when this member follows the new leader, or with raftnode.ErrNotLeader,
	// ErrBadTransferee or ErrTransferTimeout; after the last, or ctx's error, leadership may still move.
	TransferLeadership(ctx context.Context, target uint64) error
	// View returns what this member has applied, or nil as long as it has not caught up with what it knew before its
	// last restart.
	View() *apply.View
	// Watch opens a stream of watchers, once this member has caught up with what it knew before its last restart. The
	// caller closes it.
	Watch(ctx context.Context) (*watchFeed, error)
	// Status describes this member now.
	Status() raftnode.Status
	// Damaged tells this member that a read found its state damaged: it serves nothing until that is rebuilt.
	Damaged(err error)
}

// reportDamage passes err on, and tells the member if it is about its disk.
func (a *api) reportDamage(err error) error {
	if errors.Is(err, backend.ErrDamaged) {
		a.node.Damaged(err)
	}
	return err
}

// Limits bound what one client may ask for. A zero field means its default.
type Limits struct {
	// RequestBytes bounds one encoded write (the node refuses more with raftnode.ErrTooLarge), so it bounds the largest
	// value. Default 1.5 MiB. Every write is kept in memory a few times on its way; above 10 MiB heartbeats begin to
	// suffer.
	RequestBytes int
	// TxnOps bounds each list of a transaction, nested ones included. Default 128.
	TxnOps int
	// ConcurrentStreams bounds the requests in flight on one connection. Default: no bound.
	ConcurrentStreams uint32
	// QuotaBytes is the size of the store that Status and metrics report as the limit. Default 2 GiB; negative: none.
	QuotaBytes int64
}

const (
	defaultRequestBytes = 3 << 19
	defaultTxnOps       = 128
	defaultQuotaBytes   = 2 << 30
	// A message may be larger than the request in it: gRPC accepts this much more before it gives up reading.
	messageOverheadBytes = 512 << 10
)

func (l Limits) withDefaults() Limits {
	if l.RequestBytes <= 0 {
		l.RequestBytes = defaultRequestBytes
	}
	if l.TxnOps <= 0 {
		l.TxnOps = defaultTxnOps
	}
	if l.ConcurrentStreams == 0 {
		l.ConcurrentStreams = math.MaxUint32
	}
	if l.QuotaBytes == 0 {
		l.QuotaBytes = defaultQuotaBytes
	}
	return l
}

// KeepAlive says how gRPC connections are probed.
type KeepAlive struct {
	// MinTime is the shortest time between two pings of a client; one that pings more often is disconnected. 0: no
	// limit.
	MinTime time.Duration
	// Interval without traffic after which the server pings, and Timeout for the answer. 0 in either: no pings.
	Interval, Timeout time.Duration
}

// apiConfig describes the member to its client services.
type apiConfig struct {
	ClusterID, MemberID uint64
	Limits              Limits
	KeepAlive           KeepAlive
	// ElectionTimeout paces everything that waits for a leader. Required.
	ElectionTimeout time.Duration
	// MinLeaseTTL, in seconds, is what shorter times to live are raised to. Default: what the election timeout asks for.
	MinLeaseTTL int64
	// Sizes returns the bytes that the store's file takes, and how many of them hold data. Required.
	Sizes func() (total, inUse int64)
	// LatencyHistograms adds gRPC's own latency histograms to the metrics ("extensive").
	LatencyHistograms bool
	// Profiles adds Go's profiles to the HTTP endpoints. Whoever reaches them can slow the member down.
	Profiles bool
	// NoGateway leaves out the JSON gateway.
	NoGateway bool
	// Drills are served to those who know their token. Default: there are none.
	Drills *drills
	// Registry gets the metrics and is what /metrics serves. Default: a new one.
	Registry *prometheus.Registry
	// Origins that browsers may call the HTTP endpoints from; empty or "*" means all.
	Origins []string
	// Hosts that a plaintext HTTP request may name; empty or "*" means all.
	Hosts  []string
	Logger hclog.Logger
}

// api is what all client services of one member share.
type api struct {
	node       node
	header     header
	limits     Limits
	keepAlive  KeepAlive
	metrics    *metrics
	leadership *leadership
	self       *inProcess
	queues     *queues
	watches    *watchServer // one for all servers: it bounds what its streams read at a time
	sizes      func() (total, inUse int64)
	guard      guard
	// minLeaseTTL is in seconds.
	minLeaseTTL int64
	readLimit   time.Duration // how long a health check waits for a linearizable read
	profiles    bool
	gateway     bool
	drills      *drills // nil unless they are enabled
	logger      hclog.Logger
}

// newAPI prepares the services; a clientPort serves them. Somebody has to run leadership.Run.
func newAPI(n node, cfg apiConfig) *api {
	limits := cfg.Limits.withDefaults()
	registry, logger := cfg.Registry, cfg.Logger
	if registry == nil {
		registry = prometheus.NewRegistry()
	}
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	minTTL := cfg.MinLeaseTTL
	if minTTL == 0 {
		minTTL = minLeaseTTL(cfg.ElectionTimeout, cfg.ElectionTimeout)
	}
	s := scrape{node: n, sizes: cfg.Sizes, quota: limits.QuotaBytes, member: cfg.MemberID}
	readLimit := 5*time.Second + 2*cfg.ElectionTimeout
	self := newInProcess()
	a := &api{
		node:        n,
		header:      header{clusterID: cfg.ClusterID, memberID: cfg.MemberID, node: n},
		limits:      limits,
		keepAlive:   cfg.KeepAlive,
		metrics:     newMetrics(registry, s, cfg.LatencyHistograms),
		leadership:  newLeadership(n, cfg.ElectionTimeout),
		sizes:       cfg.Sizes,
		guard:       newGuard(cfg.Origins, cfg.Hosts, logger),
		minLeaseTTL: minTTL,
		readLimit:   readLimit,
		self:        self,
		queues:      newQueues(self.conn, readLimit),
		gateway:     !cfg.NoGateway,
		drills:      cfg.Drills,
		profiles:    cfg.Profiles,
		logger:      logger,
	}
	a.watches = newWatchServer(a)
	return a
}
