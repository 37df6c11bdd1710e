// Package invariant holds the assertions that stay on in production: a node that finds itself contradicting its own
// rules stops, with the numbers, instead of going on wrong.
package invariant

import "fmt"

// Check panics with the message when ok is false. Use it for what only a bug in this program can break; damage from
// outside (disks, peers, clients) is an error value, never a failed check.
func Check(ok bool, format string, args ...any) {
	if !ok {
		panic("invariant violated: " + fmt.Sprintf(format, args...))
	}
}
