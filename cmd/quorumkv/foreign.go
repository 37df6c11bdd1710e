package main

import (
	"fmt"
	"slices"
	"strconv"
)

// foreign is a setting of etcd 3.7 that QuorumKV does not have. Command lines written for etcd must either mean the same
// here or be refused with the way out: a setting is passed over in silence only when its value asks for what happens
// anyway, and with a warning only when nobody can rely on it.
type foreign struct {
	name   string
	bool   bool     // a switch
	same   []string // values that ask for what happens anyway
	ignore bool     // any other value is passed over with a warning, too
	advice string   // ignore: why that is harmless; otherwise what to do instead
}

const (
	adviceTLS       = "TLS is not supported yet; remove it and serve on a network that only trusted machines reach"
	adviceDiscovery = "discovery is not supported yet; list the members in --initial-cluster"
	adviceAuth      = "authentication is not supported yet; remove it and let only trusted machines reach the client URLs"
	adviceTracing   = "distributed tracing is not supported yet; remove it and use the metrics under /metrics"
)

var foreignSettings = []foreign{
	{name: "pre-vote", bool: true, same: []string{"true"}, advice: "elections always start with a pre-vote; remove it"},
	{name: "strict-reconfig-check", bool: true, same: []string{"true"},
		advice: "changes that would lose the quorum are always refused; remove it"},
	{name: "max-learners", same: []string{"1"}, advice: "learners are not supported yet; remove it"},
	{name: "force-new-cluster", bool: true, same: []string{"false"},
		advice: "remove it; a new cluster is made from one member's data by quorumctl recover DATA-DIR --plan"},
	{name: "discovery", advice: adviceDiscovery},
	{name: "discovery-token", advice: adviceDiscovery},
	{name: "discovery-endpoints", advice: adviceDiscovery},
	{name: "discovery-dial-timeout", same: []string{"2s"}, advice: adviceDiscovery},
	{name: "discovery-request-timeout", same: []string{"5s"}, advice: adviceDiscovery},
	{name: "discovery-keepalive-time", same: []string{"2s"}, advice: adviceDiscovery},
	{name: "discovery-keepalive-timeout", same: []string{"6s"}, advice: adviceDiscovery},
	{name: "discovery-insecure-transport", bool: true, same: []string{"true"}, advice: adviceDiscovery},
	{name: "discovery-insecure-skip-tls-verify", bool: true, same: []string{"false"}, advice: adviceDiscovery},
	{name: "discovery-cert", advice: adviceDiscovery},
	{name: "discovery-key", advice: adviceDiscovery},
	{name: "discovery-cacert", advice: adviceDiscovery},
	{name: "discovery-user", advice: adviceDiscovery},
	{name: "discovery-password", advice: adviceDiscovery},
	{name: "discovery-fallback", same: []string{"exit"}, advice: adviceDiscovery},
	{name: "discovery-proxy", advice: adviceDiscovery},
	{name: "discovery-srv", advice: adviceDiscovery},
	{name: "discovery-srv-name", advice: adviceDiscovery},

	{name: "wal-dir", advice: "remove it and mount the log's disk at DATA-DIR/wal"},
	{name: "max-snapshots", ignore: true, advice: "snapshots go as soon as nothing needs them"},
	{name: "max-wals", ignore: true, advice: "log segments go as soon as nothing needs them"},
	{name: "v2-deprecation", ignore: true, advice: "there is no v2 store; etcd passes it over as well"},
	{name: "memory-mlock", bool: true, same: []string{"false"},
		advice: "locking memory is not supported yet; remove it and switch swap off on this machine"},
	{name: "backend-bbolt-freelist-type", ignore: true, advice: "it is not visible outside the store's file"},
	{name: "backend-batch-interval", ignore: true, advice: "writes are durable in the log before they are acknowledged"},
	{name: "backend-batch-limit", ignore: true, advice: "writes are durable in the log before they are acknowledged"},
	{name: "unsafe-no-fsync", bool: true, same: []string{"false"}, ignore: true,
		advice: "every write is synced, which is slower and safe"},
	{name: "bootstrap-defrag-threshold-megabytes", same: []string{"0"},
		advice: "remove it: free pages do not count towards the quota here"},
	{name: "compaction-batch-limit", ignore: true, advice: "compaction always runs in small slices between other work"},
	{name: "compaction-sleep-interval", ignore: true, advice: "compaction always runs in small slices between other work"},
	{name: "auto-compaction-mode", same: []string{"periodic", "revision"},
		advice: "automatic compaction is not supported yet; remove it and run `quorumctl compaction` from a timer"},
	{name: "auto-compaction-retention", same: []string{"0", "0s", "0h"},
		advice: "automatic compaction is not supported yet; remove it and run `quorumctl compaction` from a timer"},
	{name: "compact-hash-check-time", ignore: true, advice: "etcd uses it only with the feature gate CompactHashCheck"},
	{name: "feature-gates", advice: "there are no feature gates; remove it"},
	{name: "downgrade-check-time", ignore: true, advice: "there are no downgrades to check for"},

	{name: "socket-reuse-port", bool: true, same: []string{"false"},
		advice: "remove it and give each process ports of its own"},
	{name: "socket-reuse-address", bool: true, same: []string{"true"}, ignore: true, advice: "it is always on"},
	{name: "raft-read-timeout", ignore: true, advice: "peer connections have keepalives of their own"},
	{name: "raft-write-timeout", ignore: true, advice: "peer connections have keepalives of their own"},

	{name: "cert-file", advice: adviceTLS},
	{name: "key-file", advice: adviceTLS},
	{name: "client-cert-auth", bool: true, same: []string{"false"}, advice: adviceTLS},
	{name: "client-cert-file", advice: adviceTLS},
	{name: "client-key-file", advice: adviceTLS},
	{name: "client-crl-file", advice: adviceTLS},
	{name: "client-cert-allowed-hostname", advice: adviceTLS},
	{name: "trusted-ca-file", advice: adviceTLS},
	{name: "auto-tls", bool: true, same: []string{"false"}, advice: adviceTLS},
	{name: "peer-cert-file", advice: adviceTLS},
	{name: "peer-key-file", advice: adviceTLS},
	{name: "peer-client-cert-auth", bool: true, same: []string{"false"}, advice: adviceTLS},
	{name: "peer-client-cert-file", advice: adviceTLS},
	{name: "peer-client-key-file", advice: adviceTLS},
	{name: "peer-trusted-ca-file", advice: adviceTLS},
	{name: "peer-cert-allowed-cn", advice: adviceTLS},
	{name: "peer-cert-allowed-hostname", advice: adviceTLS},
	{name: "peer-auto-tls", bool: true, same: []string{"false"}, advice: adviceTLS},
	{name: "peer-crl-file", advice: adviceTLS},
	{name: "peer-skip-client-san-verification", bool: true, same: []string{"false"}, advice: adviceTLS},
	{name: "self-signed-cert-validity", same: []string{"1"}, advice: adviceTLS},
	{name: "cipher-suites", advice: adviceTLS},
	{name: "tls-min-version", same: []string{"TLS1.2"}, advice: adviceTLS},
	{name: "tls-max-version", advice: adviceTLS},

	{name: "auth-token", same: []string{"simple"}, advice: adviceAuth},
	{name: "auth-token-ttl", same: []string{"300"}, advice: adviceAuth},
	{name: "bcrypt-cost", same: []string{"10"}, advice: adviceAuth},

	{name: "metrics", same: []string{"basic"}, advice: "extensive metrics are not supported yet; use --metrics=basic"},
	{name: "logger", same: []string{"zap"}, ignore: true, advice: "there is only one logger"},
	{name: "enable-log-rotation", bool: true, same: []string{"false"},
		advice: "log rotation is not supported yet; remove it and use logrotate with copytruncate"},
	{name: "log-rotation-config-json", ignore: true, advice: "it counts only with --enable-log-rotation"},
	{name: "warning-apply-duration", ignore: true, advice: "it would only tune a log line"},
	{name: "warning-unary-request-duration", ignore: true, advice: "it would only tune a log line"},
	{name: "enable-distributed-tracing", bool: true, same: []string{"false"}, advice: adviceTracing},
	{name: "distributed-tracing-address", ignore: true, advice: "it counts only with --enable-distributed-tracing"},
	{name: "distributed-tracing-service-name", ignore: true, advice: "it counts only with --enable-distributed-tracing"},
	{name: "distributed-tracing-instance-id", ignore: true, advice: "it counts only with --enable-distributed-tracing"},
	{name: "distributed-tracing-sampling-rate", ignore: true, advice: "it counts only with --enable-distributed-tracing"},
}

// foreignBlocks are the nested sections of etcd's configuration file. Sample files carry them empty.
var foreignBlocks = map[string]string{
	"client-transport-security": adviceTLS,
	"peer-transport-security":   adviceTLS,
	"discovery-config":          adviceDiscovery,
	"socket-options":            "socket options are not supported yet; remove them",
}

// check returns a warning, nothing, or why the setting cannot be honoured. where names the setting as the user gave it.
func (f foreign) check(where, text string) (warning string, err error) {
	if f.bool {
		b, err := strconv.ParseBool(text)
		if err != nil {
			return "", fmt.Errorf("%s: %q: want true or false", where, text)
		}
		text = strconv.FormatBool(b)
	}
	switch {
	case slices.Contains(f.same, text):
		return "", nil
	case f.ignore:
		return fmt.Sprintf("%s has no effect here: %s", where, f.advice), nil
	}
	if len(f.same) > 0 {
		return "", fmt.Errorf("%s: etcd has this setting, but QuorumKV does not support the value %q: %s",
			where, text, f.advice)
	}
	return "", unsupported(where, f.advice)
}

// unsupported leaves out the value, which may be a password.
func unsupported(where, advice string) error {
	return fmt.Errorf("%s: etcd has this setting, but QuorumKV does not support it: %s", where, advice)
}
