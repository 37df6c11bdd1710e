package apply

import (
	"errors"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/quorumkv/quorumkv/storage/mvcc"
)

func TestTxnRefusesWrites(t *testing.T) {
	r := newRig(t, RequestID{Member: 1, Epoch: 1})
	put := &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: &pb.PutRequest{Key: []byte("k")}}}
	// The branch that is not taken counts, too.
	for _, req := range []*pb.TxnRequest{{Success: []*pb.RequestOp{put}}, {Failure: []*pb.RequestOp{put}}} {
		if _, err := Txn(r.m.View().KV, req); !errors.Is(err, ErrNotReadOnly) {
			t.Errorf("%v: %v", req, err)
		}
	}
}

// A reader that fails shows which errors are taken for answers.
type failingReader struct {
	mvcc.Reader
	err error
}

func (f failingReader) Range(_, _ []byte, _ mvcc.RangeOptions) (mvcc.RangeResult, error) {
	return mvcc.RangeResult{}, f.err
}

// A compare that cannot read must not pass for one that is false: etcd's does.
func TestReadErrorsAreNotAnswers(t *testing.T) {
	r := failingReader{Reader: newRig(t, RequestID{}).m.View().KV, err: errors.New("broken page")}
	compare := &pb.TxnRequest{Compare: []*pb.Compare{{Key: []byte("k")}}}
	nested := &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestTxn{RequestTxn: compare}}}}
	inside := &pb.TxnRequest{Success: []*pb.RequestOp{{Request: &pb.RequestOp_RequestRange{
		RequestRange: &pb.RangeRequest{Key: []byte("k")},
	}}}}
	if _, err := decide(r, compare); !errors.Is(err, r.err) {
		t.Errorf("compare: %v", err)
	}
	if _, err := decide(r, nested); !errors.Is(err, r.err) {
		t.Errorf("nested compare: %v", err)
	}
	if _, err := Txn(r, inside); !errors.Is(err, r.err) {
		t.Errorf("range: %v", err)
	}
	if err := checkPut(r, nil, &pb.PutRequest{Key: []byte("k"), IgnoreValue: true}); !errors.Is(err, r.err) {
		t.Errorf("put: %v", err)
	}
	if code, ok := outcomeOf(r.err); ok {
		t.Errorf("a read error is outcome %d", code)
	}
}
