package server

import (
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// sendFragments sends a response whole if it is smaller than limit bytes or has but one event, and otherwise in pieces
// below the limit, of which all but the last say that there are more. A single event may be larger.
func sendFragments(m *pb.WatchResponse, limit int, send func(*pb.WatchResponse) error) error {
	events := m.Events
	if len(events) < 2 || proto.Size(m) < limit {
		return send(m)
	}
	for len(events) > 0 {
		piece := &pb.WatchResponse{Header: m.Header, WatchId: m.WatchId, Fragment: true}
		size, n := proto.Size(piece), 0
		for n < len(events) {
			size += protowire.SizeTag(fieldEvents) + protowire.SizeBytes(proto.Size(events[n]))
			if n > 0 && size >= limit {
				break
			}
			n++
		}
		piece.Events, events = events[:n:n], events[n:]
		piece.Fragment = len(events) > 0
		if err := send(piece); err != nil {
			return err
		}
	}
	return nil
}
