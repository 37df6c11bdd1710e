package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Ports come from below Linux's ephemeral range (32768 and up), so that no outgoing connection takes the port of a node
// while it is down.
const (
	firstPort = 20000
	lastPort  = 32000
)

// ReservePort returns a loopback port that nobody listens on. A lock file keeps other test binaries on this machine away
// from it until the test ends, also while the node that owns it is stopped.
func ReservePort(t T) int {
	t.Helper()
	dir := filepath.Join(os.TempDir(), "quorumkv-test-ports")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatalf("reserve port: %v", err)
	}
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		lock, err := lockFile(filepath.Join(dir, strconv.Itoa(port)), unix.LOCK_EX|unix.LOCK_NB)
		if err != nil {
			continue
		}
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			lock.Close()
			continue
		}
		listener.Close()
		t.Cleanup(func() { lock.Close() })
		return port
	}
	t.Fatalf("reserve port: none free between %d and %d", firstPort, lastPort)
	return 0
}
