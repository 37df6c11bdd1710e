package backend

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// guard runs f, which works on bbolt's mapping, and turns what rotten pages do to it into ErrDamaged: a fault on the
// mapping (the kernel could not read the sector, or the file is too short), an index out of bounds or a failed
// assertion inside bbolt, which are strings. Broken invariants of our own and panics that carry other values go on.
func guard(f func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		switch p := recover().(type) {
		case nil:
		case runtime.Error:
			err = fmt.Errorf("%w: panic: %w", ErrDamaged, p)
		case string:
			if strings.HasPrefix(p, "invariant violated") {
				panic(p)
			}
			err = fmt.Errorf("%w: panic: %s", ErrDamaged, p)
		default:
			panic(p)
		}
	}()
	return f()
}
