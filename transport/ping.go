package transport

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/internal/fault"
	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// ping measures the round trip, and cuts all streams to the peer when an answer stays out.
func (s *sender) ping(ctx context.Context, conn *grpc.ClientConn) error {
	client, every := peerpb.NewPeerClient(conn), s.t.timing.pingEvery
	for {
		start := time.Now()
		call, cancel := context.WithTimeout(ctx, s.t.timing.pingTimeout)
		err := s.pingOnce(call, client)
		cancel()
		switch {
		case err == nil:
			s.peer.metrics.roundTrip.Observe(time.Since(start).Seconds())
		case status.Code(err) == codes.DeadlineExceeded:
			err = fmt.Errorf("no answer to a ping for %s", s.t.timing.pingTimeout)
			s.peer.cut(err)
			return err
		default:
			return err
		}
		if !pause(ctx, every, nil) {
			return context.Cause(ctx)
		}
	}
}

func (s *sender) pingOnce(ctx context.Context, client peerpb.PeerClient) error {
	if err := s.t.awaitFaults(ctx, s.peer.id, fault.Out); err != nil {
		return err
	}
	_, err := client.Ping(metadata.AppendToOutgoingContext(ctx, keyFrom, label(s.t.cfg.MemberID)), &peerpb.PingRequest{})
	return err
}

// Ping answers at once, unless a drill has cut the link on which it came. Who calls is only of interest then, and need
// not be proved: members of older versions do not say it.
func (s *service) Ping(ctx context.Context, _ *peerpb.PingRequest) (*peerpb.PingResponse, error) {
	if s.t.cfg.Faults.Active() {
		md, _ := metadata.FromIncomingContext(ctx)
		from, _ := strconv.ParseUint(first(md, keyFrom), 16, 64) // 0, which is nobody, if it does not say
		if err := s.t.awaitFaults(ctx, from, fault.In); err != nil {
			return nil, err
		}
	}
	return &peerpb.PingResponse{}, nil
}
