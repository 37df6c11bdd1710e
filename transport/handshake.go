package transport

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/quorumkv/quorumkv/transport/peerpb"
)

// protocolVersion names the meaning of the messages as a whole. A change that an older member would misread raises it.
const protocolVersion = "3"

// Metadata keys of the handshake; the values are described in the package comment.
const (
	keyProtocol    = "quorumkv-protocol"
	keyCluster     = "quorumkv-cluster"
	keyFrom        = "quorumkv-from"
	keyTo          = "quorumkv-to"
	keyIncarnation = "quorumkv-incarnation"
	keyBoot        = "quorumkv-boot"
	keyLog         = "quorumkv-log"
	keyClass       = "quorumkv-class"
)

// disowned is the code of a refusal that is meant for good: it was not the call that was wrong, but who called. It is one
// that gRPC and proxies never make up themselves.
const disowned = codes.DataLoss

// hello is what the opening metadata of a stream says.
type hello struct {
	cluster, from, to uint64
	class             class
	run               peerpb.Hello
}

func (h hello) metadata() metadata.MD {
	return metadata.Join(metadata.Pairs(
		keyProtocol, protocolVersion,
		keyCluster, label(h.cluster),
		keyFrom, label(h.from),
		keyTo, label(h.to),
		keyClass, h.class.String(),
	), runMetadata(h.run))
}

// runMetadata is how a run of a member says which one it is, on both sides of the handshake.
func runMetadata(r peerpb.Hello) metadata.MD {
	last := "repairing"
	if !r.Repairing {
		last = label(r.Last)
	}
	runs := label(r.Epoch)
	for _, nonce := range r.Runs {
		runs += " " + label(nonce)
	}
	return metadata.Pairs(
		keyIncarnation, hex.EncodeToString(r.Incarnation[:]),
		keyBoot, runs,
		keyLog, label(r.Term)+" "+last,
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
	if h.run, err = parseRun(md); err != nil {
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

func parseRun(md metadata.MD) (r peerpb.Hello, err error) {
	if r.Incarnation, err = parseIncarnation(md); err != nil {
		return r, err
	}
	runs, err := parseNumbers(first(md, keyBoot))
	if err != nil || len(runs) < 2 || runs[0] == 0 {
		return r, fmt.Errorf("handshake field %s is %q, want two or more numbers in hex, the first not 0", keyBoot, first(md, keyBoot))
	}
	r.Epoch, r.Runs, r.Nonce = runs[0], runs[1:], runs[len(runs)-1]
	text, repairing := strings.CutSuffix(first(md, keyLog), " repairing")
	if r.Repairing = repairing; repairing {
		text += " 0"
	}
	log, err := parseNumbers(text)
	if err != nil || len(log) != 2 {
		return r, fmt.Errorf(`handshake field %s is %q, want a term in hex and an index in hex or "repairing"`, keyLog, first(md, keyLog))
	}
	r.Term, r.Last = log[0], log[1]
	return r, nil
}

func parseNumbers(text string) (numbers []uint64, err error) {
	for _, part := range strings.Split(text, " ") {
		n, err := strconv.ParseUint(part, 16, 64)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
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
		err = t.check(h)
	}
	if err != nil {
		return h, status.Error(codes.FailedPrecondition, err.Error())
	}
	return h, t.admit(ctx, h.from, h.run)
}

// admit asks the node whether a run may speak for a member. The error is a status.
func (t *Transport) admit(ctx context.Context, member uint64, r peerpb.Hello) error {
	err := t.cfg.Admit(ctx, member, r)
	var refusal peerpb.Refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal):
		return status.Error(disowned, err.Error())
	}
	return status.Error(codes.Unavailable, err.Error())
}

func (t *Transport) check(h hello) error {
	switch {
	case h.cluster != t.cfg.ClusterID:
		return fmt.Errorf("cluster id differs: the sender belongs to %x, this member to %x", h.cluster, t.cfg.ClusterID)
	case h.to != t.cfg.MemberID:
		return fmt.Errorf("wrong member: the sender wants %x, this is %x", h.to, t.cfg.MemberID)
	case h.from == t.cfg.MemberID:
		return fmt.Errorf("the sender has this member's own id %x", h.from)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.removed[h.from] {
		return fmt.Errorf("member %x was removed from the cluster", h.from)
	}
	return nil
}
