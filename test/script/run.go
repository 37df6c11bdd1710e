package script

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/proto"
)

// Node is where requests go.
type Node struct {
	KV          pb.KVClient
	Maintenance pb.MaintenanceClient // for hash
	Lease       pb.LeaseClient       // for leases
	MemberID    uint64
}

// Session runs script blocks one after another against a cluster.
type Session struct {
	nodes     []Node // nodes[0] is the one under test
	clusterID uint64
	base      int64 // what +0 stands for
	term      uint64
}

// requestTimeout is longer than any server's own, so that the server's error is seen.
const requestTimeout = 15 * time.Second

// NewSession empties the store and makes its revision the base of all others.
func NewSession(nodes []Node, clusterID uint64) (*Session, error) {
	s := &Session{nodes: nodes, clusterID: clusterID}
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	response, err := nodes[0].KV.DeleteRange(ctx, &pb.DeleteRangeRequest{Key: []byte{0}, RangeEnd: []byte{0}})
	if err != nil {
		return nil, fmt.Errorf("empty the store: %w", err)
	}
	s.base = response.Header.Revision
	return s, nil
}

// Run executes a block and returns what it printed. An error is the script's own fault, never the server's.
func (s *Session) Run(block string) (string, error) {
	var out strings.Builder
	p := &parser{lines: strings.Split(block, "\n"), base: s.base}
	for {
		st, ok, err := p.statement()
		if err != nil {
			return "", err
		}
		if !ok {
			return out.String(), nil
		}
		if st.repeat == 0 {
			fmt.Fprintf(&out, "%s: %s", st.text, s.call(st.node, st.request))
			continue
		}
		var last string
		for i := range st.repeat {
			request, err := p.request(strings.ReplaceAll(st.line, "#", strconv.Itoa(i)))
			if err != nil {
				return "", err
			}
			last = s.call(st.node, request)
			if strings.HasPrefix(last, "error") {
				break
			}
		}
		fmt.Fprintf(&out, "%s: last %s", st.text, last)
	}
}

// call sends one request and formats the answer.
func (s *Session) call(node int, request any) string {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	to := s.nodes[node%len(s.nodes)]
	var response interface{ GetHeader() *pb.ResponseHeader }
	var err error
	switch r := request.(type) {
	case *pb.PutRequest:
		response, err = to.KV.Put(ctx, r)
	case *pb.RangeRequest:
		response, err = to.KV.Range(ctx, r)
	case *Stream:
		response, err = stream(ctx, to.KV, r.RangeRequest)
	case *pb.DeleteRangeRequest:
		response, err = to.KV.DeleteRange(ctx, r)
	case *pb.TxnRequest:
		response, err = to.KV.Txn(ctx, r)
	case *pb.CompactionRequest:
		response, err = to.KV.Compact(ctx, r)
	case *pb.HashKVRequest:
		response, err = to.Maintenance.HashKV(ctx, r)
	case *pb.LeaseGrantRequest:
		response, err = to.Lease.LeaseGrant(ctx, r)
	case *pb.LeaseRevokeRequest:
		response, err = to.Lease.LeaseRevoke(ctx, r)
	case *pb.LeaseTimeToLiveRequest:
		response, err = to.Lease.LeaseTimeToLive(ctx, r)
	case *pb.LeaseLeasesRequest:
		response, err = to.Lease.LeaseLeases(ctx, r)
	case *pb.LeaseKeepAliveRequest:
		response, err = KeepAlive(ctx, to.Lease, r)
	default:
		return fmt.Sprintf("a session cannot send a %T\n", request)
	}
	if err != nil {
		return formatError(err)
	}
	return s.header(to, response.GetHeader()) + s.format(response, "  ")
}

// KeepAlive renews a lease once, on a stream of its own.
func KeepAlive(ctx context.Context, leases pb.LeaseClient, r *pb.LeaseKeepAliveRequest) (*pb.LeaseKeepAliveResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := leases.LeaseKeepAlive(ctx)
	if err != nil {
		return nil, err
	}
	if err := stream.Send(r); err != nil && err != io.EOF { // after an EOF, Recv has the error
		return nil, err
	}
	return stream.Recv()
}

// header checks what must be the same in every answer and prints the revision.
func (s *Session) header(from Node, h *pb.ResponseHeader) string {
	switch {
	case h == nil:
		return "no header!\n"
	case h.ClusterId != s.clusterID:
		return fmt.Sprintf("header has cluster id %x, want %x!\n", h.ClusterId, s.clusterID)
	case h.MemberId != from.MemberID:
		return fmt.Sprintf("header has member id %x, want %x!\n", h.MemberId, from.MemberID)
	case h.RaftTerm < max(s.term, 1):
		return fmt.Sprintf("header has raft term %d after %d!\n", h.RaftTerm, s.term)
	}
	s.term = h.RaftTerm
	return "rev=" + s.relative(h.Revision)
}

// stream merges the chunks and checks their form: disjoint keys, and header, more and count in the last one only.
func stream(ctx context.Context, kv pb.KVClient, r *pb.RangeRequest) (*pb.RangeResponse, error) {
	receive, err := kv.RangeStream(ctx, r)
	if err != nil {
		return nil, err
	}
	merged := &pb.RangeResponse{}
	finished := false
	for {
		chunk, err := receive.Recv()
		if err == io.EOF {
			if !finished {
				return nil, fmt.Errorf("the stream ended without a header")
			}
			return merged, nil
		}
		if err != nil {
			return nil, err
		}
		part := chunk.GetRangeResponse()
		if finished {
			return nil, fmt.Errorf("a chunk follows the one with the header")
		}
		finished = part.GetHeader() != nil
		if !finished && (part.GetMore() || part.GetCount() != 0) {
			return nil, fmt.Errorf("a chunk without a header has more or count")
		}
		if len(merged.Kvs) > 0 && len(part.GetKvs()) > 0 &&
			string(merged.Kvs[len(merged.Kvs)-1].Key) >= string(part.Kvs[0].Key) {
			return nil, fmt.Errorf("chunks overlap at %q", part.Kvs[0].Key)
		}
		proto.Merge(merged, part)
	}
}
