package local_test

import (
	"errors"
	"net"
	"strconv"
	"testing"

	"github.com/quorumkv/quorumkv/internal/local"
)

func TestFreeNodes(t *testing.T) {
	nodes, err := local.FreeNodes(5, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for i, n := range nodes {
		seen[n.ClientPort], seen[n.PeerPort] = true, true
		if n.Name != "n"+strconv.Itoa(i+1) {
			t.Errorf("node %d is %s", i+1, n.Name)
		}
	}
	if len(seen) != 10 {
		t.Errorf("a port stands twice: %+v", nodes)
	}
	if err := local.CheckPorts(nodes); err != nil {
		t.Error(err)
	}

	taken, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(nodes[3].PeerPort)))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	want := "port " + strconv.Itoa(nodes[3].PeerPort) + " (peers of n4) is taken"
	if err := local.CheckPorts(nodes); !errors.Is(err, local.ErrPortTaken) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
