// Package server is the client edge of a member: it opens the parts of a node in order, wires them, serves etcd's v3
// API over gRPC and HTTP, and stops everything in reverse.
//
// It owns the listeners and every goroutine outside the loop and the lanes. It decides nothing about data: handlers
// check a request's form, pass it to the node, and give its result the form that clients know.
package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/quorumkv/quorumkv/internal/env"
	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/backend"
	"github.com/quorumkv/quorumkv/transport"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// A stop has to be over within 1.5 s, watches or not: scripts that replace a member wait no longer.
const (
	handoverLimit = 500 * time.Millisecond
	drainLimit    = 300 * time.Millisecond
)

// mapBytes is the address space for the state file: growing past it would make writers wait for readers.
const mapBytes = 16 << 30

// Server is one member of the cluster. Its life is Open, Run, Close.
type Server struct {
	cfg    Config
	logger hclog.Logger

	os        *env.OS
	post      func(func())
	raft      *raftnode.Node
	member    *member
	transport *transport.Transport
	api       *api
	drills    *drills // nil unless they are enabled

	peers, clients, httpOnly, metricsOnly []net.Listener
	self                                  uint64
	attributes                            apply.Member // what this member says of itself

	ready     chan struct{}
	failed    chan error // the node's own end; buffered, sent once
	closeOnce sync.Once
	closeErr  error
}

// Open makes a member from its data directory, or founds one, and takes its addresses. Nothing is served before Run.
func Open(cfg Config, logger hclog.Logger) (_ *Server, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, logger: logger, ready: make(chan struct{}), failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.listen(); err != nil {
		return nil, err
	}
	if s.os, err = env.NewOS(cfg.DataDir); err != nil {
		return nil, err
	}
	e := s.os.Env()
	s.post = e.Post
	who, err := newFounding(cfg).settle(cfg, e.FS)
	if err != nil {
		return nil, err
	}
	s.self = who.memberID
	s.attributes = apply.Member{ID: who.memberID, Name: cfg.Name, ClientURLs: announced(cfg.AdvertiseClientURLs, s.clients)}
	return s, s.openNode(e, who)
}

func (s *Server) listen() (err error) {
	for _, l := range []struct {
		field string
		urls  []url.URL
		to    *[]net.Listener
	}{
		{"listen-peer-urls", s.cfg.ListenPeerURLs, &s.peers},
		{"listen-client-urls", s.cfg.ListenClientURLs, &s.clients},
		{"listen-client-http-urls", s.cfg.ListenClientHTTPURLs, &s.httpOnly},
		{"listen-metrics-urls", s.cfg.ListenMetricsURLs, &s.metricsOnly},
	} {
		if *l.to, err = listenAll(l.field, l.urls); err != nil {
			return err
		}
	}
	return nil
}

// openNode wires the parts. The transport needs the node to deliver to and the node a transport to send with: the
// first message is posted to the loop, which runs only when both are there.
func (s *Server) openNode(e env.Env, who founding) (err error) {
	limits := Limits{
		RequestBytes: int(s.cfg.MaxRequestBytes), TxnOps: int(s.cfg.MaxTxnOps),
		ConcurrentStreams: s.cfg.MaxConcurrentStreams, QuotaBytes: s.cfg.QuotaBackendBytes,
	}.withDefaults()
	s.member = newMember(e.Post, limits)
	registry := prometheus.NewRegistry()
	if s.cfg.EnableDrills {
		s.drills = newDrills(s.cfg.DrillsToken, registry, s.logger.Named("drill"))
		e = s.drills.faults.Env(e)
	}
	link := &lateNet{}
	e.Net = link
	s.raft, err = raftnode.Open(e, raftnode.Config{
		ClusterID:        who.clusterID,
		MemberID:         who.memberID,
		Members:          who.members,
		Tick:             s.cfg.HeartbeatInterval,
		ElectionTicks:    int(s.cfg.ElectionTimeout / s.cfg.HeartbeatInterval),
		HastenElection:   s.cfg.InitialElectionTickAdvance,
		SnapshotEntries:  s.cfg.SnapshotCount,
		CatchUpEntries:   s.cfg.SnapshotCatchUpEntries,
		BallastBytes:     s.cfg.DiskBallastBytes,
		Dir:              s.cfg.DataDir,
		ScrubRate:        s.cfg.scrubRate(),
		ScrubInterval:    s.cfg.ScrubInterval,
		CheckInterval:    s.cfg.CorruptCheckTime,
		Backend:          backend.Options{MapBytes: mapBytes},
		ProgressInterval: s.cfg.WatchProgressNotifyInterval,
		Logger:           s.logger.Named("raftnode"),
		Observe:          newNodeMetrics(registry).observer(),
		Publish:          s.published,
		Failed:           func(err error) { s.failed <- err },
	})
	if err != nil {
		return err
	}
	s.member.raft = s.raft
	s.transport, err = transport.New(transport.Config{
		ClusterID: who.clusterID,
		MemberID:  who.memberID,
		Hello:     s.raft.Hello(),
		Admit: func(ctx context.Context, member uint64, run peerpb.Hello) error {
			decided := make(chan error, 1)
			e.Post(func() { s.raft.Admit(member, run, func(err error) { decided <- err }) })
			select {
			case err := <-decided:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		Disowned:    func(by uint64, reason string) { e.Post(func() { s.raft.Disowned(by, reason) }) },
		Receive:     func(from peerpb.Boot, m *peerpb.Message) { e.Post(func() { s.raft.Receive(from, m) }) },
		Unreachable: func(id uint64) { e.Post(func() { s.raft.PeerUnreachable(id) }) },
		Gone:        func(id uint64) { e.Post(func() { s.raft.PeerGone(id) }) },
		Faults:      s.drills.injector(),
		Logger:      s.logger.Named("transport"),
		Registerer:  registry,
	})
	if err != nil {
		return err
	}
	link.Net = s.transport
	s.transport.SetPeers(peersOf(s.raft.Members()))
	s.api = newAPI(s.member, apiConfig{
		ClusterID: who.clusterID,
		MemberID:  who.memberID,
		Limits:    limits,
		KeepAlive: KeepAlive{
			MinTime: s.cfg.GRPCKeepAliveMinTime, Interval: s.cfg.GRPCKeepAliveInterval, Timeout: s.cfg.GRPCKeepAliveTimeout,
		},
		ElectionTimeout: s.cfg.ElectionTimeout,
		MinLeaseTTL:     minLeaseTTL(s.cfg.HeartbeatInterval, s.cfg.ElectionTimeout),
		Sizes:           s.member.Sizes,
		Profiles:        s.cfg.EnablePprof,
		NoGateway:       !s.cfg.EnableGRPCGateway,
		Origins:         s.cfg.CORS,
		Hosts:           s.cfg.HostWhitelist,
		Drills:          s.drills,
		Registry:        registry,
		Logger:          s.logger.Named("server"),
	})
	return nil
}

// lateNet is the Net of a node that is opened before its transport.
type lateNet struct{ env.Net }

// published is the node's Publish callback; it runs on the loop.
func (s *Server) published(st raftnode.Status, v *apply.View) {
	old := s.member.View()
	s.member.publish(st, v)
	if v != nil && (old == nil || !slices.EqualFunc(old.Members, v.Members, samePeer)) {
		s.transport.SetPeers(peersOf(v.Members))
	}
}

func samePeer(a, b apply.Member) bool { return a.ID == b.ID && slices.Equal(a.PeerURLs, b.PeerURLs) }

func peersOf(members []apply.Member) []transport.Peer {
	peers := make([]transport.Peer, 0, len(members))
	for _, m := range members {
		peers = append(peers, transport.Peer{ID: m.ID, URLs: m.PeerURLs})
	}
	return peers
}

// Ready is closed once the member answers clients and the cluster knows where to find it.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run serves until ctx is cancelled, which is not an error, or the member cannot go on.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group errgroup.Group
	end := func(err error) {
		if err != nil {
			cancel(err)
		}
	}
	peerServer := grpc.NewServer(transport.ServerOptions()...)
	s.transport.Register(peerServer)
	port := newClientPort(s.api, newGRPCServer(s.api), newHTTPServer(s.api))
	metricsServer := newMetricsServer(s.api)

	group.Go(func() error { s.os.Run(); close(s.member.stopped); return nil })
	group.Go(func() error { s.api.leadership.Run(ctx); return nil })
	group.Go(func() error { s.announce(ctx); return nil })
	serve := func(ls []net.Listener, f func(net.Listener) error) {
		for _, l := range ls {
			group.Go(func() error { end(unlessClosed(f(l))); return nil })
		}
	}
	group.Go(func() error { end(port.ServeSelf()); return nil })
	serve(s.peers, peerServer.Serve)
	if len(s.httpOnly) > 0 {
		serve(s.clients, port.ServeGRPC)
		serve(s.httpOnly, port.ServeHTTP)
	} else {
		serve(s.clients, port.Serve)
	}
	serve(s.metricsOnly, metricsServer.Serve)
	s.post(s.raft.Start)

	select {
	case <-ctx.Done():
	case err := <-s.failed:
		cancel(err)
	}
	err := context.Cause(ctx)
	s.stop(port, metricsServer, peerServer)
	stopErr := group.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, stopErr)
}

// stop ends what Run started: leadership goes first, while everything still works, then clients, then the node, then
// the peers, who need this one no more. The faults of a drill hold on, but for those that would hold up the stop.
func (s *Server) stop(port *clientPort, metrics *http.Server, peers *grpc.Server) {
	s.drills.injector().Leave()
	if s.member.Status().Leader == s.self {
		ctx, cancel := context.WithTimeout(context.Background(), handoverLimit)
		if err := s.member.TransferLeadership(ctx, 0); err != nil {
			s.logger.Info("stopping without a handover of leadership", "reason", err)
		}
		cancel()
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	port.Shutdown(ctx)
	cancel()
	metrics.Close()

	stopped := make(chan error, 1)
	s.post(func() { s.raft.Stop(func(err error) { stopped <- err }) })
	if err := <-stopped; err != nil {
		s.logger.Warn("files not closed cleanly", "error", err)
	}
	s.os.Stop()
	s.transport.Close()
	peers.Stop()
}

// Close releases what Open took. Call it once Run has returned.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		for _, ls := range [][]net.Listener{s.peers, s.clients, s.httpOnly, s.metricsOnly} {
			closeAll(ls)
		}
		if s.api != nil {
			s.api.self.close()
		}
		s.drills.injector().Close()
		if s.transport != nil {
			s.transport.Close()
		}
		if s.os != nil {
			if err := s.os.Close(); err != nil {
				s.closeErr = fmt.Errorf("close data directory: %w", err)
			}
		}
	})
	return s.closeErr
}
