package main

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

// defaultEndpoint is where a server listens that was started without flags.
const defaultEndpoint = "127.0.0.1:2379"

// globals are the flags that every command takes. Names, short forms and defaults are etcdctl's.
type globals struct {
	endpoints []string

	format string
	hex    bool
	debug  bool

	dialTimeout      time.Duration
	commandTimeout   time.Duration
	keepaliveTime    time.Duration
	keepaliveTimeout time.Duration
	maxRequestBytes  int
	maxRecvBytes     int

	cert, key, cacert  string
	insecureTransport  bool
	insecureSkipVerify bool

	user, password, token string

	discoverySRV      string
	discoverySRVName  string
	insecureDiscovery bool
}

// register adds the flags to root. They are hidden from the help of single commands, where they would bury the
// command's own; `quorumctl options` lists them.
func (g *globals) register(root *cobra.Command) {
	fs := root.PersistentFlags()
	fs.StringSliceVar(&g.endpoints, "endpoints", []string{defaultEndpoint},
		"servers to talk to: host:port, http://..., https://..., unix:///path; separated by commas")

	fs.StringVarP(&g.format, "write-out", "w", "simple", "output format: fields, json, protobuf, simple or table")
	fs.BoolVar(&g.hex, "hex", false, "print keys, values and ids in hexadecimal")
	fs.BoolVar(&g.debug, "debug", false, "log the settings and all client activity to standard error")

	fs.DurationVar(&g.dialTimeout, "dial-timeout", 2*time.Second, "time limit for logging in with --user")
	fs.DurationVar(&g.commandTimeout, "command-timeout", 5*time.Second,
		"time limit for each request, including the time to connect")
	fs.DurationVar(&g.keepaliveTime, "keepalive-time", 2*time.Second,
		"idle time after which the connection is tested (the client library raises it to 10s)")
	fs.DurationVar(&g.keepaliveTimeout, "keepalive-timeout", 6*time.Second,
		"time after which a connection that fails its test is closed")
	fs.IntVar(&g.maxRequestBytes, "max-request-bytes", 0, "largest request to send, in bytes (0: 2 MiB)")
	fs.IntVar(&g.maxRecvBytes, "max-recv-bytes", 0, "largest response to accept, in bytes (0: 2 GiB)")

	fs.StringVar(&g.cert, "cert", "", "present this certificate file (PEM) to the server")
	fs.StringVar(&g.key, "key", "", "private key file (PEM) of --cert")
	fs.StringVar(&g.cacert, "cacert", "", "trust servers whose certificates these authorities (PEM) signed")
	fs.BoolVar(&g.insecureTransport, "insecure-transport", true,
		"talk without TLS to endpoints without a scheme, unless another TLS flag is set")
	fs.BoolVar(&g.insecureSkipVerify, "insecure-skip-tls-verify", false,
		"use TLS but accept any server certificate (for tests only)")

	fs.StringVar(&g.user, "user", "", "log in as name or name:password (asks for a missing password)")
	fs.StringVar(&g.password, "password", "", "password of --user, which then must not contain one")
	fs.StringVar(&g.token, "auth-jwt-token", "", "log in with this token, instead of --user and --password")

	fs.StringVarP(&g.discoverySRV, "discovery-srv", "d", "", "find endpoints in the DNS SRV records of this domain")
	fs.StringVar(&g.discoverySRVName, "discovery-srv-name", "", "suffix of the SRV service name to look up")
	fs.BoolVar(&g.insecureDiscovery, "insecure-discovery", true, "accept http:// endpoints from SRV records")

	fs.VisitAll(func(f *pflag.Flag) { f.Hidden = true })
	completeFlag(root, "write-out", output.Formats...)
}

// completeFlag makes shells offer values for a flag of cmd.
func completeFlag(cmd *cobra.Command, flag string, values ...string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // no such flag, or registered twice
	}
}
