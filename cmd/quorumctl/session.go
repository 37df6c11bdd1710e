package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/grpclog"

	"go.etcd.io/etcd/client/pkg/v3/logutil"
	"go.etcd.io/etcd/client/pkg/v3/srv"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

// settings are the globals after the environment was applied and they were checked: all that is needed to make
// clients.
type settings struct {
	spec           clientv3.ConfigSpec
	commandTimeout time.Duration
	logger         *zap.Logger
}

// session is one client and what is needed to explain its failures.
type session struct {
	*clientv3.Client
	settings settings
	tls      *tls.Config
	failed   *lastFailure
}

// prepare applies the environment, makes the printer and checks the globals. It makes no connection.
func prepare[P any](a *app, cmd *cobra.Command, newPrinter func(output.Config) (P, error)) (P, settings, error) {
	var none P
	if err := a.applyEnviron(cmd); err != nil {
		return none, settings{}, err
	}
	printer, err := newPrinter(output.Config{Out: a.stdout, Err: a.stderr, Format: a.globals.format, Hex: a.globals.hex})
	if err != nil {
		return none, settings{}, formatError(err, a.globals.format)
	}
	s, err := a.settings(cmd)
	return printer, s, err
}

// connect is prepare followed by a client for all endpoints.
func connect[P any](a *app, cmd *cobra.Command, newPrinter func(output.Config) (P, error)) (P, *session, error) {
	printer, set, err := prepare(a, cmd, newPrinter)
	if err != nil {
		return printer, nil, err
	}
	s, f := set.open(set.spec.Endpoints)
	if f != nil {
		return printer, nil, f
	}
	return printer, s, nil
}

func (a *app) settings(cmd *cobra.Command) (settings, error) {
	g := &a.globals
	logger := zap.NewNop() // the client library logs every retry; report says what matters of that
	if g.debug {
		grpclog.SetLoggerV2(grpclog.NewLoggerV2WithVerbosity(a.stderr, a.stderr, a.stderr, 4))
		a.logSettings(cmd)
		var err error
		if logger, err = logutil.CreateDefaultZapLogger(zap.InfoLevel); err != nil {
			return settings{}, err
		}
	}
	for _, name := range []string{"cert", "key", "cacert"} {
		if f := cmd.Flags().Lookup(name); f.Changed && f.Value.String() == "" {
			return settings{}, failf(exitBadArgs, "empty string is passed to --%s option", name).
				hint("give --%s the name of a PEM file, or leave it out", name)
		}
	}
	endpoints, err := g.findEndpoints(a)
	if err != nil {
		return settings{}, err
	}
	secure := &clientv3.SecureConfig{
		Cert: g.cert, Key: g.key, Cacert: g.cacert,
		InsecureTransport: g.insecureTransport, InsecureSkipVerify: g.insecureSkipVerify,
	}
	if !g.insecureDiscovery {
		secure.ServerName = g.discoverySRV
	}
	auth, err := g.auth(a)
	if err != nil {
		return settings{}, err
	}
	return settings{
		spec: clientv3.ConfigSpec{
			Endpoints:   endpoints,
			DialTimeout: g.dialTimeout, KeepAliveTime: g.keepaliveTime, KeepAliveTimeout: g.keepaliveTimeout,
			MaxCallSendMsgSize: g.maxRequestBytes, MaxCallRecvMsgSize: g.maxRecvBytes,
			Secure: secure, Auth: auth,
		},
		commandTimeout: g.commandTimeout,
		logger:         logger,
	}, nil
}

// findEndpoints asks DNS when --discovery-srv is set, and falls back to --endpoints when it has no answer.
func (g *globals) findEndpoints(a *app) ([]string, error) {
	var found []string
	if g.discoverySRV != "" {
		records, err := srv.GetClient("etcd-client", g.discoverySRV, g.discoverySRVName)
		if err != nil {
			return nil, failf(exitError, "%w", err).
				hint("--discovery-srv %q: no SRV records; name the servers with --endpoints instead", g.discoverySRV)
		}
		for _, ep := range records.Endpoints {
			if !g.insecureDiscovery && strings.HasPrefix(ep, "http://") {
				a.warnf("ignoring endpoint %s: --insecure-discovery=false accepts only https", ep)
				continue
			}
			found = append(found, ep)
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	for _, ep := range g.endpoints {
		found = append(found, strings.TrimSpace(ep))
	}
	return found, nil
}

// auth returns nil when nobody logs in. A token wins over a user.
func (g *globals) auth(a *app) (*clientv3.AuthConfig, error) {
	if g.token != "" {
		return &clientv3.AuthConfig{Token: g.token}, nil
	}
	return a.login(g.user, g.password, "Password")
}

// login takes the password from where it was given, or asks for it. It returns nil when there is no user.
func (a *app) login(user, password, prompt string) (*clientv3.AuthConfig, error) {
	switch {
	case user == "":
		return nil, nil
	case password != "":
		return &clientv3.AuthConfig{Username: user, Password: password}, nil
	}
	if name, password, ok := strings.Cut(user, ":"); ok {
		return &clientv3.AuthConfig{Username: name, Password: password}, nil
	}
	password, err := a.askPassword(prompt)
	if err != nil {
		return nil, failf(exitError, "read password: %w", err).hint("give it with --password or --user name:password")
	}
	return &clientv3.AuthConfig{Username: user, Password: password}, nil
}

// open makes a client of the given endpoints. With --user it logs in, so it may block for the dial timeout.
func (s settings) open(endpoints []string, more ...grpc.DialOption) (*session, *failure) {
	spec := s.spec
	spec.Endpoints = endpoints
	config, err := clientv3.NewClientConfig(&spec, s.logger)
	if err != nil {
		return nil, failf(exitBadArgs, "%w", err).
			hint("--cert, --key and --cacert must name readable PEM files, and --cert and --key belong together")
	}
	failed := &lastFailure{}
	config.Logger = s.logger
	config.DialOptions = append([]grpc.DialOption{
		grpc.WithChainUnaryInterceptor(failed.unary),
		grpc.WithChainStreamInterceptor(failed.stream),
	}, more...)
	client, err := clientv3.New(*config)
	if err != nil {
		f := &failure{code: exitBadConnection, err: err}
		f.hints = hints(err, reach{endpoints: endpoints, tls: config.TLS, cause: failed.text(),
			waited: s.spec.DialTimeout, limit: "--dial-timeout"})
		return nil, f
	}
	return &session{Client: client, settings: s, tls: config.TLS, failed: failed}, nil
}

// context bounds one request by --command-timeout.
func (s *session) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), s.settings.commandTimeout)
}

// explain turns a request's error into the failure to report.
func (s *session) explain(err error) *failure {
	return &failure{code: exitError, err: err, hints: hints(err, s.reach())}
}

// explainWrite is explain for requests that change something: an error that leaves the outcome open says so.
func (s *session) explainWrite(err error) *failure {
	f := s.explain(err)
	if outcomeOpen(err) && !s.failed.neverSent() {
		f.hint("the change may have been made all the same: look before you repeat it")
	}
	return f
}

func (s *session) reach() reach {
	return reach{endpoints: s.Endpoints(), tls: s.tls, cause: s.failed.text(),
		waited: s.settings.commandTimeout, limit: "--command-timeout"}
}

// formatError explains why a printer could not be made, unless the command has done so itself.
func formatError(err error, format string) error {
	var explained *failure
	if errors.As(err, &explained) {
		return err
	}
	f := &failure{code: exitBadFeature, err: err}
	allowed := output.Formats
	var unsupported *output.UnsupportedError
	if errors.As(err, &unsupported) {
		allowed = unsupported.Allowed
	}
	return f.hint("--write-out is %q; allowed here: %s", format, strings.Join(allowed, ", "))
}

// argOrStdin returns argument i, or all of standard input when there is none. Nothing at all is an error.
func argOrStdin(args []string, stdin io.Reader, i int) (string, error) {
	if i < len(args) {
		return args[i], nil
	}
	b, err := io.ReadAll(bufio.NewReader(stdin))
	if err == nil && len(b) == 0 {
		err = io.ErrUnexpectedEOF
	}
	return string(b), err
}
