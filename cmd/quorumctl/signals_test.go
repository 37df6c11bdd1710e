package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// TestLockPassesTerminationOn sends SIGTERM while a command holds a lock: the command hears of it, its exit code counts,
// and the lock is given back after its end. SIGINT is the terminal's to send to both.
func TestLockPassesTerminationOn(t *testing.T) {
	f := startFake(t)
	var stdout, stderr bytes.Buffer
	a := newApp(strings.NewReader(""), &stdout, &stderr, []string{"PATH=/usr/bin:/bin"})
	signals := make(chan (chan<- os.Signal), 1)
	a.notify = func(c chan<- os.Signal, _ ...os.Signal) { signals <- c }
	a.output = &firstWrite{w: &stdout, then: func() { <-signals <- syscall.SIGTERM }}
	code := a.run([]string{"--endpoints", f.address, "lock", "nightly", "--", "sh", "-c",
		`trap 'echo ends; exit 9' TERM; echo runs; for i in $(seq 500); do sleep 0.01; done`})
	if code != 9 || stdout.String() != "runs\nends\n" {
		t.Errorf("exit code %d, output %q\n%s", code, stdout.String(), stderr.String())
	}
	requests := strings.Join(f.take(), "\n")
	if deleted, revoked := strings.Index(requests, "DeleteRange"), strings.Index(requests, "LeaseRevoke"); deleted < 0 ||
		revoked < deleted {
		t.Errorf("the lock is not given back:\n%s", requests)
	}
}

// TestMirrorSaysWhereToGoOn sends SIGINT to a mirror while it makes its last change: that change is still made, the mirror
// says from where it can go on, and its exit code is that of a program that died of the signal.
func TestMirrorSaysWhereToGoOn(t *testing.T) {
	signals := make(chan (chan<- os.Signal), 1)
	f := startFake(t,
		grpc.UnaryInterceptor(func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			if txn, ok := r.(*pb.TxnRequest); ok && txn.Success[0].GetRequestDeleteRange() != nil {
				(<-signals) <- syscall.SIGINT
			}
			return handle(ctx, r)
		}),
		grpc.StreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			return handle(srv, endlessWatch{s})
		}))
	var stdout, stderr bytes.Buffer
	a := newApp(strings.NewReader(""), &stdout, &stderr, nil)
	a.notify = func(c chan<- os.Signal, _ ...os.Signal) { signals <- c }
	code := a.run([]string{"--endpoints", f.address, "make-mirror", f.address, "--rev", "30"})
	want := "Error: interrupted\nHint: to go on from there: --rev 43\n"
	if code != 130 || a.endedBy != syscall.SIGINT || stderr.String() != want {
		t.Errorf("exit code %d, want 130; standard error:\n%swant:\n%s", code, stderr.String(), want)
	}
}

// endlessWatch never ends a watch.
type endlessWatch struct{ grpc.ServerStream }

func (s endlessWatch) SendMsg(m any) error {
	if r, ok := m.(*pb.WatchResponse); ok && r.Canceled {
		<-s.Context().Done()
	}
	return s.ServerStream.SendMsg(m)
}
