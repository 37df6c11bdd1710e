package sim

import (
	"fmt"
	"io"
	"time"

	"github.com/cespare/xxhash/v2"
)

// trace is the fingerprint of a run, and with an output its story: each line is hashed, and written when somebody
// listens.
type trace struct {
	digest *xxhash.Digest
	out    io.Writer // nil: hash only
	buf    []byte
	events int
}

func newTrace(out io.Writer) *trace { return &trace{digest: xxhash.New(), out: out} }

// event records what happened to a node (0: the world) as words and numbers.
func (t *trace) event(now time.Duration, node int, kind string, numbers ...uint64) {
	t.events++
	b := append(t.buf[:0], kind...)
	b = appendUint64(b, uint64(now))
	b = appendUint64(b, uint64(node))
	for _, n := range numbers {
		b = appendUint64(b, n)
	}
	t.buf = b
	t.digest.Write(b)
	if t.out != nil {
		fmt.Fprintf(t.out, "%12.6f  node %d  %s %v\n", now.Seconds(), node, kind, numbers)
	}
}

// note writes a line for the reader only.
func (t *trace) note(now time.Duration, format string, args ...any) {
	if t.out != nil {
		fmt.Fprintf(t.out, "%12.6f  %s\n", now.Seconds(), fmt.Sprintf(format, args...))
	}
}

func (t *trace) hash() uint64 { return t.digest.Sum64() }

func appendUint64(b []byte, v uint64) []byte {
	return append(b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24), byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56))
}
