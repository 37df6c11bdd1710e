package differential

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// answer is what a system said, without what may differ.
type answer struct {
	Error    string // code and text
	Message  proto.Message
	revision int64
	compact  int64
}

// endpoint is one node of a system.
type endpoint struct {
	kv          pb.KVClient
	maintenance pb.MaintenanceClient
}

// ask sends a request and returns what can be compared.
func (e endpoint) ask(ctx context.Context, request any) answer {
	var response interface {
		proto.Message
		GetHeader() *pb.ResponseHeader
	}
	var err error
	switch r := request.(type) {
	case *pb.PutRequest:
		response, err = e.kv.Put(ctx, r)
	case *pb.RangeRequest:
		response, err = e.kv.Range(ctx, r)
	case *streamRequest:
		response, err = e.stream(ctx, r.RangeRequest)
	case *pb.DeleteRangeRequest:
		response, err = e.kv.DeleteRange(ctx, r)
	case *pb.TxnRequest:
		response, err = e.kv.Txn(ctx, r)
	case *pb.CompactionRequest:
		response, err = e.kv.Compact(ctx, r)
	case hashRequest:
		response, err = e.maintenance.HashKV(ctx, &pb.HashKVRequest{Revision: r.revision})
	}
	if err != nil {
		s := status.Convert(err)
		return answer{Error: fmt.Sprintf("%s: %s", s.Code(), s.Message())}
	}
	a := answer{Message: response}
	if h := response.GetHeader(); h != nil {
		a.revision = h.Revision
		h.ClusterId, h.MemberId, h.RaftTerm = 0, 0, 0
	}
	if hash, ok := response.(*pb.HashKVResponse); ok {
		a.compact = hash.CompactRevision
	}
	untie(request, response)
	return a
}

// stream merges the chunks, as the API promises to be possible.
func (e endpoint) stream(ctx context.Context, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	chunks, err := e.kv.RangeStream(ctx, r)
	if err != nil {
		return nil, err
	}
	merged := &pb.RangeResponse{}
	for {
		chunk, err := chunks.Recv()
		if err == io.EOF {
			return merged, nil
		}
		if err != nil {
			return nil, err
		}
		proto.Merge(merged, chunk.GetRangeResponse())
	}
}

// untie takes away what an unstable sort decides: the order of pairs that tie and, when a limit cuts among them, which of
// them are shown. What was sorted by must still be equal, place by place.
func untie(request any, response proto.Message) {
	switch r := request.(type) {
	case *streamRequest:
		untie(r.RangeRequest, response)
	case *pb.RangeRequest:
		if answer, ok := response.(*pb.RangeResponse); ok && r.SortTarget != pb.RangeRequest_KEY {
			untieRange(r, answer)
		}
	case *pb.TxnRequest:
		answer, ok := response.(*pb.TxnResponse)
		if !ok {
			return
		}
		path := r.Failure
		if answer.Succeeded {
			path = r.Success
		}
		for i := range min(len(path), len(answer.Responses)) {
			switch op := path[i].Request.(type) {
			case *pb.RequestOp_RequestRange:
				untie(op.RequestRange, answer.Responses[i].GetResponseRange())
			case *pb.RequestOp_RequestTxn:
				untie(op.RequestTxn, answer.Responses[i].GetResponseTxn())
			}
		}
	}
}

func untieRange(r *pb.RangeRequest, answer *pb.RangeResponse) {
	if r.KeysOnly && r.SortTarget == pb.RangeRequest_VALUE {
		// What was sorted by is not in the answer.
		slices.SortFunc(answer.Kvs, func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) })
		if answer.More {
			answer.Kvs = nil
		}
		return
	}
	kvs := answer.Kvs
	for from := 0; from < len(kvs); {
		to := from + 1
		for to < len(kvs) && tie(r.SortTarget, kvs[from], kvs[to]) {
			to++
		}
		slices.SortFunc(kvs[from:to], func(a, b *mvccpb.KeyValue) int { return bytes.Compare(a.Key, b.Key) })
		if to == len(kvs) && answer.More {
			for _, kv := range kvs[from:to] { // the limit may have cut here
				*kv = mvccpb.KeyValue{}
			}
		}
		from = to
	}
}

func tie(target pb.RangeRequest_SortTarget, a, b *mvccpb.KeyValue) bool {
	switch target {
	case pb.RangeRequest_VERSION:
		return a.Version == b.Version
	case pb.RangeRequest_CREATE:
		return a.CreateRevision == b.CreateRevision
	case pb.RangeRequest_MOD:
		return a.ModRevision == b.ModRevision
	case pb.RangeRequest_VALUE:
		return bytes.Equal(a.Value, b.Value)
	default:
		return cmp.Compare(string(a.Key), string(b.Key)) == 0
	}
}
