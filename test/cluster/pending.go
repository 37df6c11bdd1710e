package cluster

import (
	"os"
	"slices"
)

// pending are the services that QuorumKV does not have yet. Tests of them are skipped, unless pendingEnv is set; etcd has
// to pass them always. A service leaves the list with the commit that brings it.
var pending []string

const pendingEnv = "QUORUMKV_TEST_PENDING"

// Has reports whether the program has all of some services.
func (p Program) Has(services ...string) bool {
	if p.IsEtcd() || os.Getenv(pendingEnv) != "" {
		return true
	}
	return !slices.ContainsFunc(services, func(s string) bool { return slices.Contains(pending, s) })
}

// Need skips a test whose server lacks one of some services.
func Need(t interface {
	Helper()
	Skipf(format string, args ...any)
}, p Program, services ...string) {
	t.Helper()
	if !p.Has(services...) {
		t.Skipf("%s has not all of %q yet; %s=1 tests it anyway", p.Name, services, pendingEnv)
	}
}
