package differential

import (
	"context"
	"fmt"
	"io"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/test/script"
)

// transport takes a request to one node of a system, as one of several clients.
type transport interface {
	nodes() int
	ask(node, client int, request any) answer
}

// system is one side of the comparison.
type system interface {
	transport
	restart(kill bool) // keeps the data
	renew()            // loses the data
	alive() bool       // no node has ended by itself
}

// clients is how many connections each node has.
const clients = 3

// requestTimeout is longer than any server's own, so that the server's error is seen.
const requestTimeout = 20 * time.Second

// answer is what a node said.
type answer struct {
	failure string        // code and text of an error
	message proto.Message // nil with an error
}

func (a answer) revision() int64 {
	if r, ok := a.message.(interface{ GetHeader() *pb.ResponseHeader }); ok {
		return r.GetHeader().GetRevision()
	}
	return 0
}

// endpoint is one connection to one node.
type endpoint struct {
	kv          pb.KVClient
	maintenance pb.MaintenanceClient
	lease       pb.LeaseClient
	watch       pb.WatchClient
}

// ask sends a request. Cluster id, member id and term of the answer are dropped (decision "header").
func (e endpoint) ask(request any) answer {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
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
	case *script.Stream:
		response, err = e.stream(ctx, r.RangeRequest)
	case *pb.DeleteRangeRequest:
		response, err = e.kv.DeleteRange(ctx, r)
	case *pb.TxnRequest:
		response, err = e.kv.Txn(ctx, r)
	case *pb.CompactionRequest:
		response, err = e.kv.Compact(ctx, r)
	case *pb.HashKVRequest:
		response, err = e.maintenance.HashKV(ctx, r)
	case *pb.LeaseGrantRequest:
		response, err = e.lease.LeaseGrant(ctx, r)
	case *pb.LeaseRevokeRequest:
		response, err = e.lease.LeaseRevoke(ctx, r)
	case *pb.LeaseTimeToLiveRequest:
		response, err = e.lease.LeaseTimeToLive(ctx, r)
	case *pb.LeaseLeasesRequest:
		response, err = e.lease.LeaseLeases(ctx, r)
	case *pb.LeaseKeepAliveRequest:
		response, err = script.KeepAlive(ctx, e.lease, r)
	default:
		panic(fmt.Sprintf("cannot send a %T", request))
	}
	if err != nil {
		s := status.Convert(err)
		return answer{failure: fmt.Sprintf("%s: %s", s.Code(), s.Message())}
	}
	if h := response.GetHeader(); h != nil {
		h.ClusterId, h.MemberId, h.RaftTerm = 0, 0, 0
	}
	return answer{message: response}
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

// changed tells whether an answer says that the store was changed.
func changed(response proto.Message) bool {
	switch r := response.(type) {
	case *pb.PutResponse:
		return true
	case *pb.DeleteRangeResponse:
		return r.Deleted > 0
	case *pb.TxnResponse:
		for _, op := range r.Responses {
			switch o := op.Response.(type) {
			case *pb.ResponseOp_ResponsePut:
				return true
			case *pb.ResponseOp_ResponseDeleteRange:
				if changed(o.ResponseDeleteRange) {
					return true
				}
			case *pb.ResponseOp_ResponseTxn:
				if changed(o.ResponseTxn) {
					return true
				}
			}
		}
	}
	return false
}
