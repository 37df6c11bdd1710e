package server

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Values of Config.InitialClusterState.
const (
	ClusterStateNew      = "new"      // all of InitialCluster start together for the first time
	ClusterStateExisting = "existing" // this member joins a cluster that already runs
)

// Values of Config.LogFormat.
const (
	LogFormatJSON = "json"
	LogFormatText = "text"
)

const (
	defaultQuotaBackendBytes      = 2 << 30
	defaultSnapshotCount          = 10_000
	defaultSnapshotCatchUpEntries = 5_000
	defaultProgressInterval       = 10 * time.Minute
	defaultCorruptCheckTime       = 30 * time.Second
	minProgressInterval           = 100 * time.Millisecond
	defaultScrubRateBytes         = 8 << 20
	minScrubRateBytes             = 4 << 10
	defaultScrubInterval          = 24 * time.Hour
	minScrubInterval              = time.Second

	// maxElectionTimeout is etcd's bound: beyond it a cluster that lost its leader looks dead rather than slow.
	maxElectionTimeout = 50 * time.Second
	// maxRequestBytes is the size of raft's queue of uncommitted entries: a larger request might never get in.
	maxRequestBytes = 64 << 20
	// maxSocketPath is what the smallest sockaddr_un among our systems (macOS) leaves for a path.
	maxSocketPath = 103
	// A shorter drill token can be guessed; a longer one is no safer.
	minDrillsToken, maxDrillsToken = 8, 256
)

// ErrAdvertiseClientURLs says that the member listens where its configuration says but would announce the default
// address, which clients could not reach.
var ErrAdvertiseClientURLs = errors.New(
	"--advertise-client-urls is required when --listen-client-urls is set explicitly: give the URLs that clients use")

// Config holds the settings of one member. Start from [DefaultConfig], change fields, call [Config.Validate], and treat
// it as a value from then on. Logger and metrics registerer are passed beside it. Each field has the name of the flag
// that sets it; errors of Validate use that name.
type Config struct {
	// Name (--name) is the member's human-readable name; default "default". It says which entry of InitialCluster is
	// this member, so two members of one cluster must not share it.
	Name string
	// DataDir (--data-dir) holds everything the member must not lose; default NAME.quorumkv in the working directory.
	// A member that loses it must be removed from the cluster and added again under a new id.
	DataDir string

	// ListenClientURLs (--listen-client-urls) are the addresses that serve clients: gRPC, and HTTP unless
	// ListenClientHTTPURLs is set. Default http://127.0.0.1:2379. http or unix; the host is an IP address or
	// localhost; port 0 takes any free port. Listening on 0.0.0.0 without access control opens all data to the network.
	ListenClientURLs []url.URL
	// AdvertiseClientURLs (--advertise-client-urls) are the client addresses the rest of the world is told; default
	// http://127.0.0.1:2379. Clients that synchronise their endpoints cannot connect when these are wrong. Port 0
	// stands for the port that ListenClientURLs got.
	AdvertiseClientURLs []url.URL
	// ListenPeerURLs (--listen-peer-urls) are the addresses that serve the other members; default
	// http://127.0.0.1:2380. Same form as ListenClientURLs.
	ListenPeerURLs []url.URL
	// AdvertisePeerURLs (--initial-advertise-peer-urls) are the peer addresses the other members use; default
	// http://127.0.0.1:2380. They may differ from ListenPeerURLs when something forwards in between.
	AdvertisePeerURLs []url.URL
	// ListenClientHTTPURLs (--listen-client-http-urls) are addresses for HTTP only; when set, ListenClientURLs serve
	// gRPC only. Default none.
	ListenClientHTTPURLs []url.URL
	// ListenMetricsURLs (--listen-metrics-urls) are further addresses that serve metrics and health only; default none.
	ListenMetricsURLs []url.URL

	// InitialCluster (--initial-cluster) lists all members with which the cluster starts, this one included; default
	// only this one. All members must be given the same list. On a restart it may be left out, but a list of several
	// members that describes another cluster than the data directory's is an error.
	InitialCluster []InitialMember
	// InitialClusterState (--initial-cluster-state) is ClusterStateNew (default) or ClusterStateExisting; ignored
	// once the data directory is filled. "new" in place of "existing" would found a second cluster.
	InitialClusterState string
	// InitialClusterToken (--initial-cluster-token) makes the ids of otherwise equal clusters differ, so that they
	// never mix; default "etcd-cluster". All members must be given the same one, also on a restart with InitialCluster.
	InitialClusterToken string

	// HeartbeatInterval (--heartbeat-interval) is the time between two heartbeats of the leader; default 100 ms, at
	// least 1 ms. Below the round-trip time between members it only makes traffic; a large one delays elections.
	HeartbeatInterval time.Duration
	// ElectionTimeout (--election-timeout) is how long a follower waits for a heartbeat before it stands for election;
	// default 1 s, from 5 times HeartbeatInterval to 50 s. Too short: elections at each hiccup of disk or network. Too
	// long: writes wait that long after a leader is lost. It must be the same on all members.
	ElectionTimeout time.Duration

	// InitialElectionTickAdvance (--initial-election-tick-advance) lets most of the first election timeout after a start
	// count as over; default on. Off, a cluster that starts as a whole waits for a leader for up to two timeouts longer.
	// A leader that is there is not disturbed either way: an election begins with a pre-vote, which its followers refuse.
	InitialElectionTickAdvance bool

	// SnapshotCount (--snapshot-count) is the number of entries applied between two compactions of the raft log; default
	// 10,000, which 0 stands for. A small one costs work, a large one disk space and time at the next start.
	SnapshotCount uint64
	// SnapshotCatchUpEntries (--snapshot-catchup-entries) is the number of entries kept behind each of these points for
	// slow followers; default 5,000, which 0 stands for. A follower further behind needs a whole snapshot.
	SnapshotCatchUpEntries uint64
	// QuotaBackendBytes (--quota-backend-bytes) bounds the live bytes of the store; above it the member takes no
	// writes but deletions. Default 2 GiB, which 0 stands for; negative is no bound but the disk.
	QuotaBackendBytes int64

	// DiskBallastBytes (--disk-ballast-bytes) is the size of a file in DataDir that the member gives up when the disk is
	// full, so that it has room to delete and compact in. With less than twice as much free the cluster takes no writes that
	// grow it, until three times as much is. Default 2 % of the volume, from 64 MiB to 1 GiB but at most a sixteenth, which
	// 0 stands for; negative is no ballast, and a full disk is then noticed only when a write fails.
	DiskBallastBytes int64
	// CorruptCheckTime (--corrupt-check-time) is the time between two comparisons of the members' histories, which the leader
	// asks for, if anything was written meanwhile; there is also one after 10,000 entries. For as long, a member that has
	// diverged may serve what is wrong. Default 30 s, which 0 stands for. Below a second: log entries for nothing.
	CorruptCheckTime time.Duration

	// ScrubRateBytes (--scrub-rate-bytes) is how many bytes a second the member reads of its own files in search of damage
	// that nobody has come across; default 8 MiB, at least 4 KiB; 0 switches it off, and damage is then found when it is
	// read, or when the member starts. At the default a pass over 1 GiB takes two minutes.
	ScrubRateBytes int64
	// ScrubInterval (--scrub-interval) is the time between two such passes; default 24 h, at least 1 s. The first pass
	// begins within ten minutes of the start.
	ScrubInterval time.Duration

	// MaxRequestBytes (--max-request-bytes) bounds one client request; default 1,572,864, at most 64 MiB. Large
	// requests hold up all others behind them: above 10 MiB expect elections under load.
	MaxRequestBytes uint
	// MaxTxnOps (--max-txn-ops) bounds the operations of one transaction; default 128, at least 1. A transaction is
	// applied in one piece, so a huge one stalls all other work.
	MaxTxnOps uint
	// MaxConcurrentStreams (--max-concurrent-streams) bounds the requests and watches that one client connection has
	// open at a time; default 4,294,967,295 (no bound), which 0 stands for. Too small: clients wait for a free stream.
	MaxConcurrentStreams uint32

	// GRPCKeepAliveMinTime (--grpc-keepalive-min-time) is the least time between two pings of a client; default 5 s; 0 is
	// no limit. A client that pings faster is disconnected, so a large value drops well-behaved clients.
	GRPCKeepAliveMinTime time.Duration
	// GRPCKeepAliveInterval (--grpc-keepalive-interval) is the time between the server's pings on an idle connection;
	// default 2 h; 0 switches them off, and connections to vanished clients then stay until TCP gives up.
	GRPCKeepAliveInterval time.Duration
	// GRPCKeepAliveTimeout (--grpc-keepalive-timeout) is how long an unanswered ping is waited for; default 20 s; 0
	// switches pings off. Too short: connections break at each hiccup of the network.
	GRPCKeepAliveTimeout time.Duration

	// WatchProgressNotifyInterval (--watch-progress-notify-interval) is the time between two progress notices to a watcher
	// that wants them and has nothing else to hear; default 10 min, which 0 stands for; less than 100 ms becomes 100 ms.
	WatchProgressNotifyInterval time.Duration

	// EnableGRPCGateway (--enable-grpc-gateway) serves every gRPC method as JSON over HTTP under /v3/; default on.
	EnableGRPCGateway bool
	// CORS (--cors) are the origins, http://host:port, of the pages that browsers may call the HTTP endpoints from; default
	// "*", all, which none stands for. Whoever lures a browser that reaches this member to a page can then use it too.
	CORS []string
	// HostWhitelist (--host-whitelist) are the host names that HTTP requests without TLS may be for; default "*", all, which
	// none stands for. Others protect from pages that point a name of their own at this member.
	HostWhitelist []string
	// EnablePprof (--enable-pprof) serves Go's profiles under /debug/pprof/; default off. Whoever reaches them can slow
	// the member down. The command samples waiting for them, which costs little.
	EnablePprof bool
	// EnableDrills (--enable-drills) lets whoever knows the drill token make this member fail on purpose for a while; default
	// off: the call is not there then, and nothing stands between the member and its network, disk and clock.
	EnableDrills bool
	// DrillsToken (--drills-token) is that token, 8 to 256 printable characters without spaces; only with EnableDrills.
	// Default: one is drawn at each start and logged. It travels in the clear.
	DrillsToken string

	// LogLevel (--log-level) is the least severe level that is logged: debug, info, warn or error; default info. Etcd's
	// panic and fatal are taken as error, the most severe there is here.
	LogLevel string
	// LogFormat (--log-format) is LogFormatJSON (default) or LogFormatText; etcd's "console" is taken as text.
	LogFormat string
	// LogOutputs (--log-outputs) are "stderr", "stdout" or files that are appended to; default stderr, also called
	// "default". Files are not rotated.
	LogOutputs []string
}

// InitialMember is an entry of Config.InitialCluster.
type InitialMember struct {
	Name     string
	PeerURLs []url.URL
}

// DefaultConfig returns the configuration of a cluster of one on 127.0.0.1. Where etcd has a default, so do we.
func DefaultConfig() Config {
	client := []url.URL{{Scheme: "http", Host: "127.0.0.1:2379"}}
	peer := []url.URL{{Scheme: "http", Host: "127.0.0.1:2380"}}
	return Config{
		Name:                        "default",
		DataDir:                     "default.quorumkv",
		ListenClientURLs:            slices.Clone(client),
		AdvertiseClientURLs:         slices.Clone(client),
		ListenPeerURLs:              slices.Clone(peer),
		AdvertisePeerURLs:           slices.Clone(peer),
		InitialCluster:              []InitialMember{{Name: "default", PeerURLs: slices.Clone(peer)}},
		InitialClusterState:         ClusterStateNew,
		InitialClusterToken:         "etcd-cluster",
		HeartbeatInterval:           100 * time.Millisecond,
		ElectionTimeout:             time.Second,
		InitialElectionTickAdvance:  true,
		SnapshotCount:               defaultSnapshotCount,
		SnapshotCatchUpEntries:      defaultSnapshotCatchUpEntries,
		QuotaBackendBytes:           defaultQuotaBackendBytes,
		MaxRequestBytes:             1536 << 10,
		MaxTxnOps:                   128,
		ScrubRateBytes:              defaultScrubRateBytes,
		ScrubInterval:               defaultScrubInterval,
		MaxConcurrentStreams:        math.MaxUint32,
		GRPCKeepAliveMinTime:        5 * time.Second,
		GRPCKeepAliveInterval:       2 * time.Hour,
		GRPCKeepAliveTimeout:        20 * time.Second,
		CorruptCheckTime:            defaultCorruptCheckTime,
		WatchProgressNotifyInterval: defaultProgressInterval,
		EnableGRPCGateway:           true,
		CORS:                        []string{"*"},
		HostWhitelist:               []string{"*"},
		LogLevel:                    "info",
		LogFormat:                   LogFormatJSON,
		LogOutputs:                  []string{"stderr"},
	}
}

// Validate replaces values that stand for another (0 for the default, etcd's synonyms) and returns an error that names
// the first field that cannot be used, with its value. It looks at nothing outside c.
func (c *Config) Validate() error {
	c.resolve()
	for _, check := range []func() error{
		c.checkNames, c.checkURLs, c.checkTimes, c.checkLimits, c.checkBrowsers, c.checkDrills, c.checkLogs,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// ValidateBootstrap checks what counts only while the data directory is empty: that InitialCluster holds this member
// under the addresses it announces, and that members have names and addresses of their own. It is apart from Validate
// because operators leave these flags as they were when the membership has long changed.
func (c *Config) ValidateBootstrap() error {
	var names []string
	owner := map[string]string{}
	var self *InitialMember
	for i := range c.InitialCluster {
		m := &c.InitialCluster[i]
		if slices.Contains(names, m.Name) {
			return fmt.Errorf("initial-cluster has two members named %q", m.Name)
		}
		names = append(names, m.Name)
		for _, u := range m.PeerURLs {
			if other, ok := owner[u.String()]; ok {
				return fmt.Errorf("initial-cluster gives %s to both %q and %q", u.String(), other, m.Name)
			}
			owner[u.String()] = m.Name
		}
		if m.Name == c.Name {
			self = m
		}
	}
	if self == nil {
		return fmt.Errorf("initial-cluster has no member named %q (it has %s): set --name to this member's entry, or add one",
			c.Name, strings.Join(names, ", "))
	}
	if !sameURLs(self.PeerURLs, c.AdvertisePeerURLs) {
		return fmt.Errorf("initial-cluster says %s=%s but initial-advertise-peer-urls is %s: give both the same URLs",
			c.Name, joinURLs(self.PeerURLs), joinURLs(c.AdvertisePeerURLs))
	}
	return nil
}

func (c *Config) resolve() {
	switch d := &c.WatchProgressNotifyInterval; {
	case *d == 0:
		*d = defaultProgressInterval
	case *d > 0:
		*d = max(*d, minProgressInterval)
	}
	if c.CorruptCheckTime == 0 {
		c.CorruptCheckTime = defaultCorruptCheckTime
	}
	if c.SnapshotCount == 0 {
		c.SnapshotCount = defaultSnapshotCount
	}
	if c.SnapshotCatchUpEntries == 0 {
		c.SnapshotCatchUpEntries = defaultSnapshotCatchUpEntries
	}
	if c.QuotaBackendBytes == 0 {
		c.QuotaBackendBytes = defaultQuotaBackendBytes
	}
	if c.MaxConcurrentStreams == 0 {
		c.MaxConcurrentStreams = math.MaxUint32
	}
	switch c.LogLevel {
	case "dpanic", "panic", "fatal":
		c.LogLevel = "error"
	}
	if len(c.LogOutputs) == 0 {
		c.LogOutputs = []string{"stderr"}
	}
	if c.LogFormat == "console" {
		c.LogFormat = LogFormatText
	}
}

func (c *Config) checkNames() error {
	if c.Name == "" || strings.ContainsAny(c.Name, ",=") {
		return fmt.Errorf("name %q must not be empty and must not hold ',' or '='", c.Name)
	}
	if c.DataDir == "" {
		return errors.New("data-dir is empty")
	}
	if c.InitialClusterState != ClusterStateNew && c.InitialClusterState != ClusterStateExisting {
		return fmt.Errorf("initial-cluster-state %q must be %q or %q",
			c.InitialClusterState, ClusterStateNew, ClusterStateExisting)
	}
	if len(c.InitialCluster) == 0 {
		return errors.New("initial-cluster is empty: list all members as NAME=PEER-URL,NAME=PEER-URL")
	}
	return nil
}

func (c *Config) checkURLs() error {
	type list struct {
		field    string
		urls     []url.URL
		required bool
		listen   bool
	}
	lists := []list{
		{"listen-client-urls", c.ListenClientURLs, true, true},
		{"listen-peer-urls", c.ListenPeerURLs, true, true},
		{"listen-client-http-urls", c.ListenClientHTTPURLs, false, true},
		{"listen-metrics-urls", c.ListenMetricsURLs, false, true},
		{"advertise-client-urls", c.AdvertiseClientURLs, true, false},
		{"initial-advertise-peer-urls", c.AdvertisePeerURLs, true, false},
	}
	for _, m := range c.InitialCluster {
		if m.Name == "" {
			return fmt.Errorf("initial-cluster has a member without a name at %s", joinURLs(m.PeerURLs))
		}
		lists = append(lists, list{"initial-cluster " + m.Name, m.PeerURLs, true, false})
	}
	bound := map[string]string{} // listening address -> the field that has it
	for _, l := range lists {
		if l.required && len(l.urls) == 0 {
			return fmt.Errorf("%s is empty: give at least one URL such as http://127.0.0.1:2379", l.field)
		}
		for _, u := range l.urls {
			if err := checkURL(u, l.listen); err != nil {
				return fmt.Errorf("%s %s: %w", l.field, u.String(), err)
			}
			if !l.listen || u.Port() == "0" {
				continue
			}
			if other, taken := bound[u.String()]; taken {
				return fmt.Errorf("%s %s is an address of %s already: use another port", l.field, u.String(), other)
			}
			bound[u.String()] = l.field
		}
	}
	return nil
}

func (c *Config) checkTimes() error {
	if c.HeartbeatInterval < time.Millisecond {
		return fmt.Errorf("heartbeat-interval %v must be at least 1ms", c.HeartbeatInterval)
	}
	if c.ElectionTimeout > maxElectionTimeout {
		return fmt.Errorf("election-timeout %v must be at most %v", c.ElectionTimeout, maxElectionTimeout)
	}
	if c.ElectionTimeout/5 < c.HeartbeatInterval {
		return fmt.Errorf("election-timeout %v must be at least 5 times heartbeat-interval %v",
			c.ElectionTimeout, c.HeartbeatInterval)
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"grpc-keepalive-min-time", c.GRPCKeepAliveMinTime},
		{"grpc-keepalive-interval", c.GRPCKeepAliveInterval},
		{"grpc-keepalive-timeout", c.GRPCKeepAliveTimeout},
	} {
		if d.value < 0 {
			return fmt.Errorf("%s %v must not be negative (0 switches it off)", d.field, d.value)
		}
	}
	if c.CorruptCheckTime < 0 {
		return fmt.Errorf("corrupt-check-time %v must not be negative (0 is the default)", c.CorruptCheckTime)
	}
	if c.WatchProgressNotifyInterval < 0 {
		return fmt.Errorf("watch-progress-notify-interval %v must not be negative (0 is the default)",
			c.WatchProgressNotifyInterval)
	}
	if c.ScrubInterval < minScrubInterval {
		return fmt.Errorf("scrub-interval %v must be at least %v (scrub-rate-bytes 0 switches scrubbing off)", c.ScrubInterval,
			minScrubInterval)
	}
	return nil
}

// scrubRate puts the switch in raftnode's terms.
func (c *Config) scrubRate() int64 {
	if c.ScrubRateBytes == 0 {
		return -1
	}
	return c.ScrubRateBytes
}

func (c *Config) checkLimits() error {
	if c.MaxRequestBytes == 0 || c.MaxRequestBytes > maxRequestBytes {
		return fmt.Errorf("max-request-bytes %d must be between 1 and %d", c.MaxRequestBytes, maxRequestBytes)
	}
	if c.MaxTxnOps == 0 {
		return fmt.Errorf("max-txn-ops %d must be at least 1", c.MaxTxnOps)
	}
	if c.ScrubRateBytes != 0 && c.ScrubRateBytes < minScrubRateBytes {
		return fmt.Errorf("scrub-rate-bytes %d must be at least %d, or 0 to switch scrubbing off", c.ScrubRateBytes,
			minScrubRateBytes)
	}
	return nil
}

// checkBrowsers refuses what would never match what a browser sends.
func (c *Config) checkBrowsers() error {
	for _, origin := range c.CORS {
		if u, err := url.Parse(origin); origin != "*" && (err != nil || u.Scheme == "" || u.Scheme+"://"+u.Host != origin) {
			return fmt.Errorf("cors %q must be * or where a page comes from, such as https://ui.example.com:8080", origin)
		}
	}
	for _, host := range c.HostWhitelist {
		if _, err := netip.ParseAddr(host); err != nil && strings.ContainsAny(host, "/:") {
			return fmt.Errorf("host-whitelist %q must be * or a host name without a port, such as kv.example.com", host)
		}
	}
	return nil
}

// checkDrills tells nobody the token, not even the wrong one.
func (c *Config) checkDrills() error {
	token := c.DrillsToken
	if token == "" {
		return nil
	}
	if !c.EnableDrills {
		return errors.New("drills-token is set but drills are off: add --enable-drills, or leave the token out")
	}
	plain := func(r rune) bool { return r > ' ' && r <= '~' }
	if len(token) < minDrillsToken || len(token) > maxDrillsToken ||
		strings.ContainsFunc(token, func(r rune) bool { return !plain(r) }) {
		return fmt.Errorf("drills-token (%d bytes) must be %d to %d printable ASCII characters without spaces: "+
			"openssl rand -hex 16 makes one", len(token), minDrillsToken, maxDrillsToken)
	}
	return nil
}

func (c *Config) checkLogs() error {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) {
		return fmt.Errorf("log-level %q must be debug, info, warn or error", c.LogLevel)
	}
	if c.LogFormat != LogFormatJSON && c.LogFormat != LogFormatText {
		return fmt.Errorf("log-format %q must be %s or %s", c.LogFormat, LogFormatJSON, LogFormatText)
	}
	for _, o := range c.LogOutputs {
		if o == "" || o == "systemd/journal" {
			return fmt.Errorf("log-outputs %q is not supported: use stdout, a file or stderr, which systemd sends to its journal", o)
		}
	}
	return nil
}

// checkURL says what is wrong with an address. Listening addresses must not be host names: what a name resolves to may
// change, and a member that listens elsewhere after a restart is a hard thing to find.
func checkURL(u url.URL, listen bool) error {
	switch u.Scheme {
	case "unix":
		if path := u.Host + u.Path; path == "" || len(path) > maxSocketPath {
			return fmt.Errorf("the socket's path has %d bytes; it must have 1 to %d", len(path), maxSocketPath)
		}
		return nil
	case "http":
	case "https", "unixs":
		return errors.New("TLS is not supported yet: use http or unix, on a network that only trusted machines reach")
	default:
		return errors.New("must start with http:// or unix://")
	}
	if u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must be http://HOST:PORT and nothing more")
	}
	host, port := u.Hostname(), u.Port()
	if host == "" || port == "" {
		return errors.New("must be http://HOST:PORT")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("port %s must be between 0 and 65535", port)
	}
	if _, err := netip.ParseAddr(host); listen && err != nil && host != "localhost" {
		return fmt.Errorf("the host %q must be an IP address or localhost; names are for advertised URLs", host)
	}
	return nil
}

func sameURLs(a, b []url.URL) bool {
	return slices.Equal(sortedURLs(a), sortedURLs(b))
}

func sortedURLs(urls []url.URL) []string {
	s := make([]string, len(urls))
	for i := range urls {
		s[i] = urls[i].String()
	}
	slices.Sort(s)
	return slices.Compact(s)
}

func joinURLs(urls []url.URL) string {
	s := make([]string, len(urls))
	for i := range urls {
		s[i] = urls[i].String()
	}
	return strings.Join(s, ",")
}
