package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// client sends one request after the other.
type client struct {
	load    *Load
	id      int
	member  int           // whom it asks
	roams   bool          // after an error it asks the next one for the same
	only    history.Kind  // all that it asks for, if set
	timeout time.Duration // of a request
	rng     *rand.Rand
	writes  int
	seen    map[string]int64 // mod revision of a key, as last told
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
	case c.only != "":
		return c.only, key
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
	ctx, cancel := context.WithTimeout(context.Background(), c.timeout)
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

// do sends a request and fills in the answer. It does so on the bare connection: etcd's client would try again by itself, in
// its own time.
func do(ctx context.Context, c *clientv3.Client, op *history.Op) error {
	kv, key := pb.NewKVClient(c.ActiveConnection()), []byte(op.Key)
	switch op.Kind {
	case history.Put:
		r, err := kv.Put(ctx, &pb.PutRequest{Key: key, Value: []byte(op.Value), Lease: op.Lease})
		if err != nil {
			return err
		}
		answered(op, r.Header)
	case history.Get, history.Stale:
		r, err := kv.Range(ctx, &pb.RangeRequest{Key: key, Serializable: op.Kind == history.Stale})
		if err != nil {
			return err
		}
		answered(op, r.Header)
		found(op, r)
	case history.Delete:
		r, err := kv.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: key})
		if err != nil {
			return err
		}
		answered(op, r.Header)
		op.Applied = r.Deleted > 0
	case history.Swap:
		r, err := kv.Txn(ctx, swap(op))
		if err != nil {
			return err
		}
		answered(op, r.Header)
		if op.Applied = r.Succeeded; !r.Succeeded {
			found(op, r.Responses[0].GetResponseRange())
		}
	}
	return nil
}

// swap puts the value if the key's mod revision is as expected, and else reads the key.
func swap(op *history.Op) *pb.TxnRequest {
	key := []byte(op.Key)
	return &pb.TxnRequest{
		Compare: []*pb.Compare{{
			Key: key, Target: pb.Compare_MOD, Result: pb.Compare_EQUAL,
			TargetUnion: &pb.Compare_ModRevision{ModRevision: op.Expected},
		}},
		Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: key, Value: []byte(op.Value)}}}},
		Failure: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{RequestRange: &pb.RangeRequest{Key: key}}}},
	}
}

func answered(op *history.Op, h *pb.ResponseHeader) { op.Revision, op.Term = h.Revision, h.RaftTerm }

func found(op *history.Op, r *pb.RangeResponse) {
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
	case errors.Is(rpctypes.Error(err), rpctypes.ErrNoSpace), neverSent(err):
		return history.Refused
	}
	return history.Unknown
}

// neverSent reports whether gRPC had no connection to send a request on.
func neverSent(err error) bool {
	return status.Code(err) == codes.Unavailable && strings.Contains(strings.ToLower(err.Error()), "error while dialing")
}
