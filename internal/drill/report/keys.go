package report

import (
	"strings"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// keysOf are the keys of a violation's operations and events, with repetitions.
func keysOf(v history.Violation) []string {
	var keys []string
	for _, op := range v.Ops {
		keys = append(keys, op.Key)
	}
	for _, e := range v.Events {
		keys = append(keys, e.Key)
	}
	return keys
}

// sharedKey is the key of all of a violation, if it is one.
func sharedKey(v history.Violation) string {
	keys := keysOf(v)
	for _, k := range keys {
		if k != keys[0] {
			return ""
		}
	}
	if len(keys) == 0 {
		return ""
	}
	return keys[0]
}

// keyPrefix is how all keys of a violation begin, up to a slash: it can be said once.
func keyPrefix(v history.Violation) string {
	keys := keysOf(v)
	if len(keys) == 0 {
		return ""
	}
	prefix := keys[0]
	for _, k := range keys {
		for !strings.HasPrefix(k, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return prefix[:strings.LastIndexByte(prefix, '/')+1]
}
