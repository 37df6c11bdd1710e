package local

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
)

// Free ports are looked for below those that Linux and others give to outgoing connections: one of these would otherwise
// take the port of a node while it is down.
const (
	firstFreePort = 10_240
	lastFreePort  = 32_767
)

// ErrPortTaken means that somebody listens on a port that a node needs.
var ErrPortTaken = errors.New("is taken")

// FreeNodes returns the configuration of that many nodes n1, n2 ... on ports that nobody listens on, with the same settings
// each.
func FreeNodes(count int, settings map[string]string) ([]NodeConfig, error) {
	ports := make([]int, 0, 2*count)
	for tries := 0; len(ports) < cap(ports); tries++ {
		if tries == 1000 {
			return nil, fmt.Errorf("find ports for %d nodes: too few are free between %d and %d", count, firstFreePort, lastFreePort)
		}
		// Held until all are found, so that none is found twice.
		l, err := net.Listen("tcp", address(firstFreePort+rand.IntN(lastFreePort-firstFreePort+1)))
		if err != nil {
			continue
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	nodes := make([]NodeConfig, count)
	for i := range nodes {
		nodes[i] = NodeConfig{
			Name: "n" + strconv.Itoa(i+1), ClientPort: ports[2*i], PeerPort: ports[2*i+1], Settings: settings,
		}
	}
	return nodes, nil
}

// CheckPorts tries every port before anything starts: one clear line now rather than a half-started cluster. The error
// names the port; ErrPortTaken is the one that a user can mend.
func CheckPorts(nodes []NodeConfig) error {
	for _, n := range nodes {
		for _, p := range []struct {
			port int
			use  string
		}{{n.ClientPort, "clients"}, {n.PeerPort, "peers"}} {
			l, err := net.Listen("tcp", address(p.port))
			if errors.Is(err, syscall.EADDRINUSE) {
				return fmt.Errorf("port %d (%s of %s) %w", p.port, p.use, n.Name, ErrPortTaken)
			}
			if err != nil {
				return fmt.Errorf("listen on port %d (%s of %s): %w", p.port, p.use, n.Name, err)
			}
			if err := l.Close(); err != nil {
				return fmt.Errorf("close the trial listener on port %d: %w", p.port, err)
			}
		}
	}
	return nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
