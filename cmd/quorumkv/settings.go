package main

import "github.com/quorumkv/quorumkv/server"

// setting is one entry of the server's configuration. The same name serves as flag (--data-dir), as environment variable
// (QUORUMKV_DATA_DIR, ETCD_DATA_DIR) and as key of the configuration file (data-dir).
type setting struct {
	name  string
	kind  string // what the value is, for the help text; kindSwitch and kindDuration also change how it is read
	usage string
	bind  func(*server.Config) value
}

const (
	kindSwitch   = "bool"     // may stand without a value, which means true
	kindDuration = "duration" // a bare integer in a configuration file counts nanoseconds, as in etcd
)

// settings stand in the order in which the help text shows them.
var settings = []setting{
	{"name", "name", "name of this member, unique in its cluster",
		func(c *server.Config) value { return textValue{&c.Name} }},
	{"data-dir", "dir", "directory of everything the member must not lose (default NAME.quorumkv)",
		func(c *server.Config) value { return textValue{&c.DataDir} }},
	{"listen-client-urls", "urls", "addresses to serve clients on",
		func(c *server.Config) value { return urlsValue{&c.ListenClientURLs} }},
	{"advertise-client-urls", "urls", "client addresses to announce; required with --listen-client-urls",
		func(c *server.Config) value { return urlsValue{&c.AdvertiseClientURLs} }},
	{"listen-peer-urls", "urls", "addresses to serve the other members on",
		func(c *server.Config) value { return urlsValue{&c.ListenPeerURLs} }},
	{"initial-advertise-peer-urls", "urls", "peer addresses to announce (default: those of --listen-peer-urls)",
		func(c *server.Config) value { return urlsValue{&c.AdvertisePeerURLs} }},
	{"initial-cluster", "members", "all members of the new cluster, as NAME=PEER-URL,... (default: only this one)",
		func(c *server.Config) value { return membersValue{&c.InitialCluster} }},
	{"initial-cluster-state", "state", "new, or existing to join a running cluster; ignored once the member has data",
		func(c *server.Config) value { return textValue{&c.InitialClusterState} }},
	{"initial-cluster-token", "text", "makes the ids of otherwise equal clusters differ; the same on all members",
		func(c *server.Config) value { return textValue{&c.InitialClusterToken} }},

	{"heartbeat-interval", "ms", "time between the leader's heartbeats, in milliseconds or as 100ms",
		func(c *server.Config) value { return millisValue{&c.HeartbeatInterval} }},
	{"election-timeout", "ms", "time without a heartbeat until an election, in milliseconds or as 1s; at least 5 heartbeats",
		func(c *server.Config) value { return millisValue{&c.ElectionTimeout} }},
	{"initial-election-tick-advance", kindSwitch, "let most of the first election timeout after a start count as over",
		func(c *server.Config) value { return switchValue{&c.InitialElectionTickAdvance} }},
	{"snapshot-count", "entries", "applied entries between two compactions of the raft log",
		func(c *server.Config) value { return numberValue[uint64]{&c.SnapshotCount} }},
	{"snapshot-catchup-entries", "entries", "raft entries kept for slow followers when the log is compacted",
		func(c *server.Config) value { return numberValue[uint64]{&c.SnapshotCatchUpEntries} }},
	{"quota-backend-bytes", "bytes", "live bytes above which only deletions are taken; negative: no limit",
		func(c *server.Config) value { return numberValue[int64]{&c.QuotaBackendBytes} }},
	{"disk-ballast-bytes", "bytes", "space kept for a full disk; 0: 2 % of the volume, at most 1 GiB; negative: none",
		func(c *server.Config) value { return numberValue[int64]{&c.DiskBallastBytes} }},
	{"scrub-rate-bytes", "bytes", "bytes of its own files to read a second, in search of damage; 0: none",
		func(c *server.Config) value { return numberValue[int64]{&c.ScrubRateBytes} }},
	{"scrub-interval", kindDuration, "read all of them this often; the first time within 10 minutes of the start",
		func(c *server.Config) value { return durationValue{&c.ScrubInterval} }},
	{"corrupt-check-time", kindDuration, "compare the members' histories this often, if anything was written",
		func(c *server.Config) value { return durationValue{&c.CorruptCheckTime} }},

	{"max-request-bytes", "bytes", "largest client request",
		func(c *server.Config) value { return numberValue[uint]{&c.MaxRequestBytes} }},
	{"max-txn-ops", "ops", "most operations in one transaction",
		func(c *server.Config) value { return numberValue[uint]{&c.MaxTxnOps} }},
	{"max-concurrent-streams", "streams", "most requests and watches open at a time on one client connection",
		func(c *server.Config) value { return numberValue[uint32]{&c.MaxConcurrentStreams} }},
	{"grpc-keepalive-min-time", kindDuration, "disconnect clients that ping more often than this",
		func(c *server.Config) value { return durationValue{&c.GRPCKeepAliveMinTime} }},
	{"grpc-keepalive-interval", kindDuration, "time between pings to an idle client; 0: none",
		func(c *server.Config) value { return durationValue{&c.GRPCKeepAliveInterval} }},
	{"grpc-keepalive-timeout", kindDuration, "disconnect a client that leaves a ping unanswered this long; 0: never",
		func(c *server.Config) value { return durationValue{&c.GRPCKeepAliveTimeout} }},
	{"watch-progress-notify-interval", kindDuration, "tell idle watchers that ask for it how far they are this often",
		func(c *server.Config) value { return durationValue{&c.WatchProgressNotifyInterval} }},

	{"listen-client-http-urls", "urls", "addresses for HTTP only; --listen-client-urls then serve gRPC only",
		func(c *server.Config) value { return urlsValue{&c.ListenClientHTTPURLs} }},
	{"listen-metrics-urls", "urls", "further addresses for metrics and health only",
		func(c *server.Config) value { return urlsValue{&c.ListenMetricsURLs} }},
	{"enable-grpc-gateway", kindSwitch, "serve the API as JSON over HTTP under /v3/",
		func(c *server.Config) value { return switchValue{&c.EnableGRPCGateway} }},
	{"cors", "origins", "pages that browsers may call the HTTP endpoints from, as http://host:port; *: all",
		func(c *server.Config) value { return listValue{&c.CORS} }},
	{"host-whitelist", "hosts", "host names that requests without TLS over HTTP may be for; *: all",
		func(c *server.Config) value { return listValue{&c.HostWhitelist} }},
	{"enable-pprof", kindSwitch, "serve profiles under /debug/pprof/ on the client addresses",
		func(c *server.Config) value { return switchValue{&c.EnablePprof} }},
	{"enable-drills", kindSwitch, "let quorumctl drill make this member fail on purpose, for a while; needs the token",
		func(c *server.Config) value { return switchValue{&c.EnableDrills} }},
	{"drills-token", "text", "who knows it may run drills (default: drawn at start and logged)",
		func(c *server.Config) value { return textValue{&c.DrillsToken} }},
	{"log-level", "level", "debug, info, warn or error",
		func(c *server.Config) value { return textValue{&c.LogLevel} }},
	{"log-format", "format", "json or text",
		func(c *server.Config) value { return textValue{&c.LogFormat} }},
	{"log-outputs", "outputs", "stderr, stdout or files to append to",
		func(c *server.Config) value { return listValue{&c.LogOutputs} }},
}
