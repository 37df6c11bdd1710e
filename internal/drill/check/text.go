package check

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// request names a request: "put k3=v17 (by n2 at 3.21 s)".
func request(op *history.Op) string {
	var b strings.Builder
	switch op.Kind {
	case history.Put:
		fmt.Fprintf(&b, "put %s=%s", op.Key, op.Value)
	case history.Swap:
		fmt.Fprintf(&b, "swap %s=%s if its revision is %d", op.Key, op.Value, op.Expected)
	case history.Delete:
		fmt.Fprintf(&b, "delete %s", op.Key)
	case history.Stale:
		fmt.Fprintf(&b, "serializable get %s", op.Key)
	default:
		fmt.Fprintf(&b, "get %s", op.Key)
	}
	fmt.Fprintf(&b, " (request %d, to %s, %s to %s)", op.ID, op.Member, seconds(op.Begin), seconds(op.End))
	return b.String()
}

// answered names a request with its answer.
func answered(op *history.Op) string {
	switch {
	case op.Outcome != history.OK:
		return request(op) + ", " + string(op.Outcome)
	case !changes(op) && op.Kind == history.Delete:
		return request(op) + fmt.Sprintf(", which found nothing at revision %d", op.Revision)
	case !changes(op):
		return request(op) + fmt.Sprintf(", which saw %s at revision %d", saw(op), op.Revision)
	}
	return request(op) + fmt.Sprintf(", acknowledged at revision %d", op.Revision)
}

// saw says what a request found.
func saw(op *history.Op) string {
	if op.ModRevision == 0 {
		return "no key"
	}
	return fmt.Sprintf("%s of revision %d", op.Found, op.ModRevision)
}

// change names a change of the store.
func change(e history.Event) string {
	if e.Deleted {
		return fmt.Sprintf("deletion of %s at revision %d", e.Key, e.Revision)
	}
	return fmt.Sprintf("put %s=%s at revision %d", e.Key, e.Value, e.Revision)
}

// full names all that is known of a change.
func full(e history.Event) string {
	if e.Deleted {
		return change(e)
	}
	return fmt.Sprintf("%s, created %d, version %d, lease %x", change(e), e.Created, e.Version, e.Lease)
}

// seconds is a time in the drill.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) + " s" }
