package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
)

// Variables that tell fake nodes, by name and separated by commas, how to behave.
const (
	fakeBroken = "TEST_BROKEN" // end at once with status 3, or 4 if its log takes nothing
	fakeSick   = "TEST_SICK"   // never healthy
	fakeDeaf   = "TEST_DEAF"   // ignore SIGTERM
)

// fakeLeader is the node that all fake nodes take for the leader.
const fakeLeader = "n2"

// fakeNode is a server as far as `quorumkv cluster` looks: a configuration file, /health, Status and signals.
func fakeNode(args []string) int {
	cfg, _, err := loadArgs(args, os.Environ())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	is := func(variable string) bool { return slices.Contains(strings.Split(os.Getenv(variable), ","), cfg.Name) }
	fmt.Fprintf(os.Stderr, "fake node %s starts\n", cfg.Name)
	if is(fakeBroken) {
		if _, err := fmt.Fprintln(os.Stderr, "the disk is on fire"); err != nil {
			return 4 // told apart from a log that was written and not read
		}
		return 3
	}
	signals := make(chan os.Signal, 8) // the runtime sends, the loop below receives
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	listener, err := net.Listen("tcp", cfg.ListenClientURLs[0].Host)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	calls := grpc.NewServer()
	pb.RegisterMaintenanceServer(calls, fakeMaintenance{name: cfg.Name})
	front := &http.Server{Protocols: new(http.Protocols)}
	front.Protocols.SetHTTP1(true)
	front.Protocols.SetUnencryptedHTTP2(true)
	front.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.ProtoMajor == 2:
			calls.ServeHTTP(w, r)
		case is(fakeSick):
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
	for s := range signals {
		fmt.Fprintf(os.Stderr, "fake node %s got %v\n", cfg.Name, s)
		if !is(fakeDeaf) {
			front.Close()
			return 0
		}
	}
	return 0
}

type fakeMaintenance struct {
	pb.UnimplementedMaintenanceServer
	name string
}

func (m fakeMaintenance) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return &pb.StatusResponse{Header: &pb.ResponseHeader{MemberId: fakeID(m.name)}, Leader: fakeID(fakeLeader)}, nil
}

func fakeID(name string) uint64 {
	id, err := strconv.ParseUint(strings.TrimPrefix(name, "n"), 10, 64)
	if err != nil {
		panic(err)
	}
	return id
}
