package main

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/internal/drill"
	"github.com/quorumkv/quorumkv/internal/drill/history"
	drillreport "github.com/quorumkv/quorumkv/internal/drill/report"
	"github.com/quorumkv/quorumkv/internal/fault"
	"github.com/quorumkv/quorumkv/server/drillpb"
)

// fakeMember is a member of a cluster whose members are all at one address each, and takes part in drills when it has a
// token.
type fakeMember struct {
	pb.UnimplementedClusterServer
	pb.UnimplementedMaintenanceServer
	drillpb.UnimplementedDrillServer

	id      uint64
	members []*pb.Member
	token   string
	got     chan *drillpb.SetFaultsRequest // room for one
}

// startFakeMembers starts two members b and a, the second of which lists an address of its own that leads nowhere.
func startFakeMembers(t *testing.T, token string) (addresses []string, members []*fakeMember) {
	list := []*pb.Member{{ID: 0xb, Name: "b"}, {ID: 0xa, Name: "a", ClientURLs: []string{"http://" + deadAddress(t)}}}
	for i := range list {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		m := &fakeMember{id: list[i].ID, members: list, token: token, got: make(chan *drillpb.SetFaultsRequest, 1)}
		if i == 0 {
			list[0].ClientURLs = []string{"http://" + l.Addr().String()}
		}
		server := grpc.NewServer()
		pb.RegisterClusterServer(server, m)
		pb.RegisterMaintenanceServer(server, m)
		if token != "" {
			drillpb.RegisterDrillServer(server, m)
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			server.Serve(l)
		}()
		t.Cleanup(func() {
			server.Stop()
			<-served
		})
		addresses, members = append(addresses, l.Addr().String()), append(members, m)
	}
	return addresses, members
}

func (m *fakeMember) MemberList(context.Context, *pb.MemberListRequest) (*pb.MemberListResponse, error) {
	return &pb.MemberListResponse{Header: fakeHeader(), Members: m.members}, nil
}

func (m *fakeMember) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return &pb.StatusResponse{Header: &pb.ResponseHeader{MemberId: m.id}}, nil
}

func (m *fakeMember) SetFaults(ctx context.Context, r *drillpb.SetFaultsRequest) (*drillpb.SetFaultsResponse, error) {
	if got := metadata.ValueFromIncomingContext(ctx, drillpb.TokenKey); len(got) != 1 || got[0] != m.token {
		return nil, status.Error(codes.PermissionDenied, "no")
	}
	m.got <- r
	return &drillpb.SetFaultsResponse{}, nil
}

// TestReachMembers runs a drill on members that are found through endpoints: those that are named are spoken to
// there, the others where they say that they are, and faults reach the member that they are for.
func TestReachMembers(t *testing.T) {
	addresses, members := startFakeMembers(t, "secret")
	for name, test := range map[string]struct {
		args []string
		want string // on standard error, "": no error
	}{
		"one of them": {[]string{"--endpoints", addresses[1], "--drills-token", "secret"}, ""},
		"good":        {[]string{"--endpoints", strings.Join(addresses, ","), "--drills-token", "secret"}, ""},
		"wrong token": {[]string{"--endpoints", strings.Join(addresses, ","), "--drills-token", "guess"},
			"does not accept the drill token"},
		"no token": {[]string{"--endpoints", strings.Join(addresses, ",")}, "it wants its drill token"},
		"unreachable": {[]string{"--endpoints", addresses[0] + "," + deadAddress(t), "--command-timeout", "1s"},
			"refused the connection"},
		"nobody there": {[]string{"--endpoints", deadAddress(t), "--command-timeout", "1s"}, "refused the connection"},
		"no endpoint":  {[]string{"--endpoints", ""}, "name at least one server"},
		"bad files":    {[]string{"--cacert", "nosuch.pem"}, "must name readable PEM files"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stderr := drillMembers(t, test.args, members)
			if test.want == "" && code != 0 || test.want != "" && code != exitNoDrill {
				t.Errorf("exit code %d\n%s", code, stderr)
			}
			var errors []string
			for line := range strings.Lines(stderr) {
				if !strings.HasPrefix(line, "[") {
					errors = append(errors, line)
				}
			}
			if test.want != "" && (len(errors) != 1 || !strings.Contains(errors[0], test.want)) {
				t.Errorf("want one line with %q:\n%s", test.want, stderr)
			}
		})
	}
}

// TestReachMembersWithoutDrills has servers that were not started for drills.
func TestReachMembersWithoutDrills(t *testing.T) {
	addresses, members := startFakeMembers(t, "")
	args := []string{"--endpoints", strings.Join(addresses, ","), "--drills-token", "secret"}
	code, stderr := drillMembers(t, args, members)
	if code != exitNoDrill || !strings.Contains(stderr, "start it with --enable-drills") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

// TestReachOtherCluster names endpoints of two clusters.
func TestReachOtherCluster(t *testing.T) {
	one, members := startFakeMembers(t, "")
	other, others := startFakeMembers(t, "")
	others[1].id = 0xc
	code, stderr := drillMembers(t, []string{"--endpoints", one[0] + "," + other[1]}, members)
	if code != exitNoDrill || !strings.Contains(stderr, "name endpoints of one cluster") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

// drillMembers runs a drill that stalls the disk of the second member, b.
func drillMembers(t *testing.T, args []string, members []*fakeMember) (code int, stderr string) {
	var out, errs bytes.Buffer
	a := newApp(strings.NewReader(""), &out, &errs, nil)
	a.drills = fakeDrills{}.engine(t, nil)
	a.drills.reach = reachMembers
	a.drills.run = func(ctx context.Context, c drill.Cluster, s drill.Scenario, o drill.Options, _ drill.Observer) (
		*drillreport.Report, *history.History, error) {
		got := c.Members()
		if len(got) != 2 || got[0].Name != "a" || got[0].ID != 0xa || got[1].Name != "b" || c.Processes() != nil {
			t.Errorf("members %v", got)
		}
		if err := c.SetFaults(ctx, 1, fault.Rules{Disk: fault.DiskStall}, time.Second); err != nil {
			return nil, nil, err
		}
		if r := <-members[0].got; r.Rules.GetDisk() != drillpb.Disk_STALL || r.TtlNs != int64(time.Second) {
			t.Errorf("got %v", r)
		}
		for i, m := range c.Members() {
			if _, err := c.Client(i).Status(ctx, m.Endpoint); err != nil {
				t.Errorf("%s: %v", m.Name, err)
			}
		}
		return fakeReport(s, o, drillreport.Passed), fakeHistory(), nil
	}
	t.Chdir(t.TempDir())
	code = a.run(append([]string{"drill", "failover"}, args...))
	return code, errs.String()
}
