package apply

import (
	"fmt"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/storage/lease"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// A transaction runs in three passes, each over the whole tree of nested transactions:
//
//	decide  all compares of all levels against the state before the transaction: they choose one branch per level
//	check   the operations of the chosen branches, against the same state; the first error rejects the whole
//	run     the operations in order; each sees what those before it wrote
//
// The first two write nothing and are the same on every replica, so the third cannot fail half way but by damage.

// branch is the part of a transaction that its compares chose.
type branch struct {
	succeeded bool
	ops       []*pb.RequestOp
	// nested has the branch of each transaction among ops, in order.
	nested []branch
}

func (m *Machine) txn(req *pb.TxnRequest, want bool) (Response, error) {
	w := m.kv.Begin()
	defer m.finish(w)
	b, err := decide(w, req)
	if err != nil {
		return Response{}, err
	}
	if err := check(w, m.leases, &b); err != nil {
		return Response{}, err
	}
	resp, err := run(w, w, &b, want)
	if err != nil {
		return Response{}, fmt.Errorf("run checked transaction: %w", err)
	}
	if want {
		resp.Header.Revision = w.Revision()
	}
	return Response{Txn: resp, Revision: w.Revision()}, nil
}

// Txn answers a transaction that only reads from r.
func Txn(r mvcc.Reader, req *pb.TxnRequest) (*pb.TxnResponse, error) {
	if !TxnIsReadOnly(req) {
		return nil, ErrNotReadOnly
	}
	b, err := decide(r, req)
	if err != nil {
		return nil, err
	}
	if err := check(r, nil, &b); err != nil { // there is no put in it that could ask for a lease
		return nil, err
	}
	resp, err := run(r, nil, &b, true)
	if err != nil {
		return nil, err
	}
	resp.Header.Revision = r.Revision()
	return resp, nil
}

// TxnIsReadOnly reports whether both branches hold nothing but ranges, so that no log entry is needed. A nested
// transaction always goes through the log.
func TxnIsReadOnly(req *pb.TxnRequest) bool {
	return onlyRanges(req.GetSuccess(), false) && onlyRanges(req.GetFailure(), false)
}

// TxnIsSerializable reports whether a read-only transaction may be answered from local, possibly stale state: it has
// ranges, and all of them allow it. One without any operation never said that stale is fine, so it is linearizable.
func TxnIsSerializable(req *pb.TxnRequest) bool {
	return len(req.GetSuccess())+len(req.GetFailure()) > 0 &&
		onlyRanges(req.GetSuccess(), true) && onlyRanges(req.GetFailure(), true)
}

func onlyRanges(ops []*pb.RequestOp, serializable bool) bool {
	for _, op := range ops {
		if r := op.GetRequestRange(); r == nil || serializable && !r.GetSerializable() {
			return false
		}
	}
	return true
}

// decide evaluates the compares of req and of the transactions nested in the branch they choose. What is nested in the
// other branch is never looked at.
func decide(r mvcc.Reader, req *pb.TxnRequest) (branch, error) {
	succeeded, err := allHold(r, req.GetCompare())
	if err != nil {
		return branch{}, err
	}
	b := branch{succeeded: succeeded, ops: req.GetFailure()}
	if succeeded {
		b.ops = req.GetSuccess()
	}
	for _, op := range b.ops {
		t, ok := op.GetRequest().(*pb.RequestOp_RequestTxn)
		if !ok {
			continue
		}
		inner, err := decide(r, t.RequestTxn)
		if err != nil {
			return branch{}, err
		}
		b.nested = append(b.nested, inner)
	}
	return b, nil
}

func check(r mvcc.Reader, leases *lease.Set, b *branch) error {
	nested := b.nested
	for _, op := range b.ops {
		var err error
		switch o := op.GetRequest().(type) {
		case *pb.RequestOp_RequestRange:
			err = checkRevision(r, o.RequestRange.GetRevision())
		case *pb.RequestOp_RequestPut:
			err = checkPut(r, leases, o.RequestPut)
		case *pb.RequestOp_RequestTxn:
			err = check(r, leases, &nested[0])
			nested = nested[1:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkRevision decides whether a range within a transaction may read at a revision. Unlike in a range of its own, a
// negative one does not mean the newest: it is compared with the compacted revision like any other.
func checkRevision(r mvcc.Reader, revision int64) error {
	switch {
	case revision == 0:
		return nil
	case revision > r.Revision():
		return mvcc.ErrFutureRevision
	case revision < r.CompactRevision():
		return mvcc.ErrCompacted
	}
	return nil
}

// run carries out a branch that check has let pass. w is nil in a read-only transaction, else it is r. Without want the
// ranges are skipped and the response is nil. An error means damage: what was written before it may not be kept.
func run(r mvcc.Reader, w *mvcc.WriteTxn, b *branch, want bool) (*pb.TxnResponse, error) {
	var resp *pb.TxnResponse
	if want {
		resp = &pb.TxnResponse{
			// The caller fills the outermost revision. Inner ones stay zero, as in etcd.
			Header:    &pb.ResponseHeader{},
			Succeeded: b.succeeded,
			Responses: make([]*pb.ResponseOp, len(b.ops)),
		}
	}
	nested := b.nested
	for i, op := range b.ops {
		var answer *pb.ResponseOp
		if want {
			answer = &pb.ResponseOp{}
			resp.Responses[i] = answer
		}
		var err error
		switch o := op.GetRequest().(type) {
		case *pb.RequestOp_RequestRange:
			err = runRangeOp(r, o.RequestRange, answer)
		case *pb.RequestOp_RequestPut:
			err = runPutOp(w, o.RequestPut, answer)
		case *pb.RequestOp_RequestDeleteRange:
			err = runDeleteOp(w, o.RequestDeleteRange, answer)
		case *pb.RequestOp_RequestTxn:
			err = runTxnOp(r, w, &nested[0], answer)
			nested = nested[1:]
		}
		if err != nil {
			return nil, err
		}
	}
	return resp, nil
}

// The operations fill answer, which is nil when nobody wants it.

func runRangeOp(r mvcc.Reader, req *pb.RangeRequest, answer *pb.ResponseOp) error {
	if answer == nil {
		return nil
	}
	resp, err := Range(r, req)
	answer.Response = &pb.ResponseOp_ResponseRange{ResponseRange: resp}
	return err
}

// runPutOp reads the replaced pair again: the check saw the state before the transaction, and what counts here is what
// earlier operations left.
func runPutOp(w *mvcc.WriteTxn, req *pb.PutRequest, answer *pb.ResponseOp) error {
	previous, err := replaced(w, req, answer != nil)
	if err != nil {
		return err
	}
	resp := runPut(w, req, previous, answer != nil)
	if answer != nil {
		answer.Response = &pb.ResponseOp_ResponsePut{ResponsePut: resp}
	}
	return nil
}

func runDeleteOp(w *mvcc.WriteTxn, req *pb.DeleteRangeRequest, answer *pb.ResponseOp) error {
	resp, err := runDelete(w, req, answer != nil)
	if answer != nil {
		answer.Response = &pb.ResponseOp_ResponseDeleteRange{ResponseDeleteRange: resp}
	}
	return err
}

func runTxnOp(r mvcc.Reader, w *mvcc.WriteTxn, b *branch, answer *pb.ResponseOp) error {
	resp, err := run(r, w, b, answer != nil)
	if answer != nil {
		answer.Response = &pb.ResponseOp_ResponseTxn{ResponseTxn: resp}
	}
	return err
}
