package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// client sends one request after the other.
type client struct {
	load   *Load
	id     int
	member int  // whom it asks
	roams  bool // after an error it asks the next one for the same
	rng    *rand.Rand
	writes int
	seen   map[string]int64 // mod revision of a key, as last told
}

func (c *client) run(ctx context.Context) {
	interval := c.load.cfg.Interval
	next := time.Now().Add(time.Duration(c.rng.Int64N(int64(interval))))
	for wait(ctx, time.Until(next)) {
		if c.request(ctx) {
			next = next.Add(interval)
			if late := time.Now(); next.Before(late) { // what was missed is not made up for
				next = late
			}
		} else {
			next = time.Now().Add(standBack)
		}
	}
}

// request sends one, or with a client that roams as many as it takes, and reports whether it was answered.
func (c *client) request(ctx context.Context) bool {
	kind, key := c.choose()
	begin := time.Now()
	for {
		ok := c.send(kind, key)
		if ok || !c.roams {
			return ok
		}
		c.member = (c.member + 1) % len(c.load.cfg.Targets)
		if time.Since(begin) > giveUp {
			c.load.rec.failed()
			return false
		}
		if !wait(ctx, standBack) {
			return false
		}
	}
}

func (c *client) choose() (history.Kind, string) {
	key := c.load.key(c.rng.IntN(keys))
	switch d := c.rng.IntN(100); {
	case d < 40:
		return history.Put, key
	case d < 60:
		return history.Get, key
	case d < 72:
		return history.Stale, key
	case d < 94:
		return history.Swap, key
	default:
		return history.Delete, key
	}
}

// send makes one request of one member. Its time limit does not depend on the drill: a request under way is answered, or
// ends in its own time, also when the drill is over.
func (c *client) send(kind history.Kind, key string) bool {
	t := c.load.cfg.Targets[c.member]
	op := &history.Op{Client: c.id, Member: t.Name, Kind: kind, Key: key}
	if kind == history.Put || kind == history.Swap {
		c.writes++
		op.Value = fmt.Sprintf("%d-%d", c.id, c.writes)
	}
	if kind == history.Swap {
		op.Expected = c.seen[key]
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.load.cfg.Timeout)
	defer cancel()
	c.load.rec.Begin(op)
	err := do(ctx, t.Client, op)
	op.Outcome = outcome(kind, err)
	if err != nil {
		op.Error = err.Error()
	}
	c.load.rec.End(op)
	c.learn(op)
	return err == nil
}

// learn remembers what the key is now, for the next swap.
func (c *client) learn(op *history.Op) {
	switch {
	case op.Outcome != history.OK || op.Kind == history.Stale:
	case op.Kind == history.Put, op.Kind == history.Swap && op.Applied:
		c.seen[op.Key] = op.Revision
	case op.Kind == history.Delete:
		c.seen[op.Key] = 0
	default:
		c.seen[op.Key] = op.ModRevision
	}
}

// do sends a request and fills in the answer.
func do(ctx context.Context, c *clientv3.Client, op *history.Op) error {
	switch op.Kind {
	case history.Put:
		var opts []clientv3.OpOption
		if op.Lease != 0 {
			opts = append(opts, clientv3.WithLease(clientv3.LeaseID(op.Lease)))
		}
		r, err := c.Put(ctx, op.Key, op.Value, opts...)
		if err != nil {
			return err
		}
		op.Revision, op.Term = r.Header.Revision, r.Header.RaftTerm
	case history.Get, history.Stale:
		var opts []clientv3.OpOption
		if op.Kind == history.Stale {
			opts = append(opts, clientv3.WithSerializable())
		}
		r, err := c.Get(ctx, op.Key, opts...)
		if err != nil {
			return err
		}
		op.Revision, op.Term = r.Header.Revision, r.Header.RaftTerm
		found(op, (*clientv3.GetResponse)(r))
	case history.Delete:
		r, err := c.Delete(ctx, op.Key)
		if err != nil {
			return err
		}
		op.Revision, op.Term, op.Applied = r.Header.Revision, r.Header.RaftTerm, r.Deleted > 0
	case history.Swap:
		r, err := c.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(op.Key), "=", op.Expected)).
			Then(clientv3.OpPut(op.Key, op.Value)).
			Else(clientv3.OpGet(op.Key)).
			Commit()
		if err != nil {
			return err
		}
		op.Revision, op.Term, op.Applied = r.Header.Revision, r.Header.RaftTerm, r.Succeeded
		if !r.Succeeded {
			found(op, (*clientv3.GetResponse)(r.Responses[0].GetResponseRange()))
		}
	}
	return nil
}

func found(op *history.Op, r *clientv3.GetResponse) {
	if len(r.Kvs) > 0 {
		op.Found, op.ModRevision = string(r.Kvs[0].Value), r.Kvs[0].ModRevision
	}
}

// outcome says what an error tells about a write. In doubt it may have taken effect, or may yet.
func outcome(kind history.Kind, err error) history.Outcome {
	switch {
	case err == nil:
		return history.OK
	case !kind.Writes():
		return history.Refused
	case rpctypes.Error(err) == rpctypes.ErrNoSpace, neverSent(err):
		return history.Refused
	}
	return history.Unknown
}

// neverSent reports whether gRPC had no connection to send a request on.
func neverSent(err error) bool {
	return status.Code(err) == codes.Unavailable && strings.Contains(strings.ToLower(err.Error()), "error while dialing")
}
