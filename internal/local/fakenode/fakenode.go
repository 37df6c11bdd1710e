// Package fakenode is a server as far as package local and its users look, for their tests: a configuration file, /health,
// Status, MemberList and signals. A test binary becomes one when it is executed again; see Main.
package fakenode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"

	"github.com/quorumkv/quorumkv/internal/local"
)

// Variables that tell fake nodes, by name and separated by commas, how to behave.
const (
	Broken = "TEST_BROKEN" // end at once with status 3, or 4 if its log takes nothing
	Sick   = "TEST_SICK"   // never healthy
	Deaf   = "TEST_DEAF"   // ignore SIGTERM
)

// Leader is the node that all fake nodes take for the leader.
const Leader = "n2"

// config is a node's configuration file.
type config map[string]string

// Main runs a fake node with a server's arguments, --config-file FILE, until a signal ends it, and returns its exit status.
func Main(args []string) int {
	cfg, err := load(args, os.Environ())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	name := cfg["name"]
	is := func(variable string) bool { return slices.Contains(strings.Split(os.Getenv(variable), ","), name) }
	fmt.Fprintf(os.Stderr, "fake node %s starts\n", name)
	if is(Broken) {
		if _, err := fmt.Fprintln(os.Stderr, "the disk is on fire"); err != nil {
			return 4 // told apart from a log that was written and not read
		}
		return 3
	}
	signals := make(chan os.Signal, 8) // the runtime sends, the loop below receives
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	front, err := serve(cfg, is(Sick))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for s := range signals {
		fmt.Fprintf(os.Stderr, "fake node %s got %v\n", name, s)
		if !is(Deaf) {
			front.Close()
			return 0
		}
	}
	return 0
}

// load reads the file, as a real server would: variables of the environment go before it, so there must be none.
func load(args, environ []string) (config, error) {
	for _, entry := range environ {
		for _, prefix := range local.EnvPrefixes {
			if strings.HasPrefix(entry, prefix) {
				return nil, fmt.Errorf("the environment configures the node: %s", entry)
			}
		}
	}
	if len(args) != 2 || args[0] != "--config-file" {
		return nil, fmt.Errorf("arguments %q, want --config-file FILE", args)
	}
	text, err := os.ReadFile(args[1])
	if err != nil {
		return nil, err
	}
	var cfg config
	return cfg, yaml.Unmarshal(text, &cfg)
}

// serve answers clients until the server is closed.
func serve(cfg config, sick bool) (*http.Server, error) {
	clients, err := url.Parse(cfg["listen-client-urls"])
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", clients.Host)
	if err != nil {
		return nil, err
	}
	calls := grpc.NewServer()
	pb.RegisterMaintenanceServer(calls, maintenance{name: cfg["name"]})
	pb.RegisterClusterServer(calls, cluster{members: cfg["initial-cluster"]})
	front := &http.Server{Protocols: new(http.Protocols)}
	front.Protocols.SetHTTP1(true)
	front.Protocols.SetUnencryptedHTTP2(true)
	front.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.ProtoMajor == 2:
			calls.ServeHTTP(w, r)
		case sick:
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"health":"false","reason":"RAFT NO LEADER"}`)
		default:
			fmt.Fprint(w, `{"health":"true","reason":""}`)
		}
	})
	go func() {
		if err := front.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	return front, nil
}

type maintenance struct {
	pb.UnimplementedMaintenanceServer
	name string
}

func (m maintenance) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return &pb.StatusResponse{Header: &pb.ResponseHeader{MemberId: ID(m.name)}, Leader: ID(Leader)}, nil
}

type cluster struct {
	pb.UnimplementedClusterServer
	members string // NAME=URL,NAME=URL
}

// MemberList lists the members backwards and without their names: a real list is ordered by ids, not as the nodes were given,
// and a member that has just started may not have told its name yet.
func (c cluster) MemberList(context.Context, *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	answer := &pb.MemberListResponse{Header: &pb.ResponseHeader{}}
	for pair := range strings.SplitSeq(c.members, ",") {
		name, peer, _ := strings.Cut(pair, "=")
		answer.Members = append(answer.Members, &pb.Member{ID: ID(name), PeerURLs: []string{peer}})
	}
	slices.Reverse(answer.Members)
	return answer, nil
}

// ID is the member id of a fake node.
func ID(name string) uint64 {
	id, err := strconv.ParseUint(strings.TrimPrefix(name, "n"), 10, 64)
	if err != nil {
		panic(err)
	}
	return id
}
