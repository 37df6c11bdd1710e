package e2e

import (
	"os"
	"testing"

	"github.com/quorumkv/quorumkv/test/cluster"
)

// quorumctlPath fails when the tool was not built: a test that nobody runs finds nothing. QUORUMCTL_SKIP=1 says that it
// is not wanted.
func quorumctlPath(t *testing.T) string {
	t.Helper()
	if os.Getenv("QUORUMCTL_SKIP") != "" {
		t.Skip("QUORUMCTL_SKIP is set")
	}
	return cluster.Quorumctl(t)
}
