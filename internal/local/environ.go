package local

import (
	"slices"
	"strings"
)

// EnvPrefixes are the beginnings of the environment variables that configure a server, the stronger first. The second
// lets what was written for etcd go on working.
var EnvPrefixes = []string{"QUORUMKV_", "ETCD_"}

// nodeEnvironment leaves out settings of the surrounding shell, which would go before the node's file.
func nodeEnvironment(environ []string) []string {
	var kept []string
	for _, entry := range environ {
		if !slices.ContainsFunc(EnvPrefixes, func(prefix string) bool { return strings.HasPrefix(entry, prefix) }) {
			kept = append(kept, entry)
		}
	}
	return kept
}
