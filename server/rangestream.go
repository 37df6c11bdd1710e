package server

import (
	"bytes"
	"context"
	"errors"
	"math"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/quorumkv/quorumkv/storage/apply"
	"github.com/quorumkv/quorumkv/storage/mvcc"
)

// firstChunkKeys is small so that the first keys arrive early; the size of a key is not known yet.
const firstChunkKeys = 10

// RangeStream answers a Range in pieces that, merged, are the answer that Range would have given: all of one revision,
// with header, more and count in the last one.
//
// No view is held between pieces: that would keep the memory of a whole stream's time. Each piece is read from the
// newest view, at the revision of the first; a compaction that passes this revision ends the stream.
func (k *kvServer) RangeStream(r *pb.RangeRequest, out grpc.ServerStreamingServer[pb.RangeStreamResponse]) error {
	if err := checkRangeStream(r); err != nil {
		return err
	}
	s := rangeStream{api: k.api, ctx: out.Context(), rest: proto.CloneOf(r), send: out.Send}
	return toStatus(k.reportDamage(s.run(r)))
}

// rangeStream is one call of RangeStream.
type rangeStream struct {
	*api
	ctx  context.Context
	send func(*pb.RangeStreamResponse) error

	rest     *pb.RangeRequest // what is still to be read
	revision int64            // the store's when the first piece was read; goes into the header
	sent     int64            // keys so far
	limit    int64            // keys at most
}

func (s *rangeStream) run(r *pb.RangeRequest) error {
	view, err := s.view(s.ctx, r.Serializable)
	if err != nil {
		return err
	}
	if r.CountOnly || r.SortTarget != pb.RangeRequest_KEY {
		// Nothing to cut, or (a target without an order, which sorts all the same) no way to cut it in key order.
		return s.whole(view)
	}
	if s.limit = r.Limit; s.limit <= 0 {
		s.limit = math.MaxInt64
	}
	s.rest.Limit = min(firstChunkKeys, s.limit)
	for {
		chunk, err := s.read(view)
		if err != nil {
			return err
		}
		s.sent += int64(len(chunk.Kvs))
		last := !chunk.More || s.sent == s.limit
		size, err := s.sendChunk(chunk, last)
		if err != nil || last {
			return err
		}
		s.advance(chunk, size)
		if view, err = s.view(s.ctx, true); err != nil {
			return err
		}
	}
}

// read reads the next piece. The first one fixes the revision of all others.
func (s *rangeStream) read(view *apply.View) (*pb.RangeResponse, error) {
	for {
		chunk, err := apply.Range(view.KV, s.rest)
		if err == nil {
			if s.revision == 0 {
				s.revision = chunk.Header.Revision
				if s.rest.Revision <= 0 {
					s.rest.Revision = s.revision
				}
			}
			return chunk, nil
		}
		if !errors.Is(err, mvcc.ErrStaleView) {
			return nil, err
		}
		if view, err = s.view(s.ctx, true); err != nil {
			return nil, err
		}
	}
}

// sendChunk sends a piece and returns its size.
func (s *rangeStream) sendChunk(chunk *pb.RangeResponse, last bool) (size int, err error) {
	piece := &pb.RangeResponse{Kvs: chunk.Kvs}
	if last {
		piece.Header = s.header.identify(&pb.ResponseHeader{Revision: s.revision})
		piece.More = chunk.More
		// A piece counts all keys from its first one to the end of the range.
		piece.Count = s.sent - int64(len(chunk.Kvs)) + chunk.Count
	}
	return proto.Size(piece), s.send(&pb.RangeStreamResponse{RangeResponse: piece})
}

// advance moves on behind chunk and chooses how many keys to read next, so that a piece comes near the largest request
// that a client may send. Sizes between half and twice of that are left alone, or the number would never settle.
func (s *rangeStream) advance(chunk *pb.RangeResponse, size int) {
	s.rest.Key = append(bytes.Clone(chunk.Kvs[len(chunk.Kvs)-1].Key), 0)
	switch target := s.limits.RequestBytes; {
	case size < target/2:
		s.rest.Limit *= 2
	case size > target*2:
		s.rest.Limit = max(1, s.rest.Limit/2)
	}
	s.rest.Limit = min(s.rest.Limit, s.limit-s.sent)
}

// whole sends everything in one piece.
func (s *rangeStream) whole(view *apply.View) error {
	resp, err := s.read(view)
	if err != nil {
		return err
	}
	resp.Header = s.header.identify(resp.Header)
	return s.send(&pb.RangeStreamResponse{RangeResponse: resp})
}
