package transport

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// protocolVersion names the meaning of the messages as a whole. A change that an older member would misread raises it.
const protocolVersion = "1"

// Metadata keys of the handshake; the values are described in the package comment.
const (
	keyProtocol    = "quorumkv-protocol"
	keyCluster     = "quorumkv-cluster"
	keyFrom        = "quorumkv-from"
	keyTo          = "quorumkv-to"
	keyIncarnation = "quorumkv-incarnation"
	keyClass       = "quorumkv-class"
)

// hello is what the opening metadata of a stream says.
type hello struct {
	cluster, from, to uint64
	incarnation       [16]byte
	class             class
}

func (h hello) metadata() metadata.MD {
	return metadata.Pairs(
		keyProtocol, protocolVersion,
		keyCluster, label(h.cluster),
		keyFrom, label(h.from),
		keyTo, label(h.to),
		keyIncarnation, hex.EncodeToString(h.incarnation[:]),
		keyClass, h.class.String(),
	)
}

func parseHello(md metadata.MD) (h hello, err error) {
	if v := first(md, keyProtocol); v != protocolVersion {
		return h, fmt.Errorf("protocol version differs: the sender speaks %q, this member %q", v, protocolVersion)
	}
	for _, id := range []struct {
		key string
		to  *uint64
	}{{keyCluster, &h.cluster}, {keyFrom, &h.from}, {keyTo, &h.to}} {
		if *id.to, err = strconv.ParseUint(first(md, id.key), 16, 64); err != nil || *id.to == 0 {
			return h, fmt.Errorf("handshake field %s is %q, want an id in hex", id.key, first(md, id.key))
		}
	}
	if h.incarnation, err = parseIncarnation(md); err != nil {
		return h, err
	}
	var ok bool
	if h.class, ok = parseClass(first(md, keyClass)); !ok {
		return h, fmt.Errorf("handshake field %s is %q, which this member does not know", keyClass, first(md, keyClass))
	}
	return h, nil
}

func parseIncarnation(md metadata.MD) (inc [16]byte, err error) {
	text := first(md, keyIncarnation)
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(inc) {
		return inc, fmt.Errorf("handshake field %s is %q, want %d hex digits", keyIncarnation, text, 2*len(inc))
	}
	return [16]byte(b), nil
}

func first(md metadata.MD, key string) string {
	if values := md.Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// accept decides over an incoming stream. The error, if any, is the status that the sender gets.
func (t *Transport) accept(ctx context.Context) (hello, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	h, err := parseHello(md)
	if err == nil {
		err = t.admit(h)
	}
	if err != nil {
		return h, status.Error(codes.FailedPrecondition, err.Error())
	}
	return h, nil
}

func (t *Transport) admit(h hello) error {
	switch {
	case h.cluster != t.cfg.ClusterID:
		return fmt.Errorf("cluster id differs: the sender belongs to %x, this member to %x", h.cluster, t.cfg.ClusterID)
	case h.to != t.cfg.MemberID:
		return fmt.Errorf("wrong member: the sender wants %x, this is %x", h.to, t.cfg.MemberID)
	case h.from == t.cfg.MemberID:
		return fmt.Errorf("the sender has this member's own id %x", h.from)
	}
	return t.identify(h.from, h.incarnation)
}

// identify holds a member to one incarnation for as long as this process lives, and keeps removed members out.
func (t *Transport) identify(id uint64, inc [16]byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.removed[id] {
		return fmt.Errorf("member %x was removed from the cluster", id)
	}
	known, ok := t.incarnations[id]
	if !ok {
		t.incarnations[id] = inc
		return nil
	}
	if known != inc {
		return fmt.Errorf("member %x is of incarnation %x, but was known as %x: it lost its data directory and "+
			"must join under a new id", id, inc, known)
	}
	return nil
}
