package script

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// Relative tells the revisions that a script writes with a sign: those that exist because of the script, and those that
// will. All others mean the same in every store.
func Relative(revision, base int64) bool {
	return revision > 0 && revision >= base-1 && revision < base+1<<40
}

// Print is the opposite of parsing: it writes a request as a script does, with revisions relative to base.
func Print(request any, base int64) string {
	var b strings.Builder
	printer{&b, base}.request(request, "")
	return b.String()
}

type printer struct {
	*strings.Builder
	base int64
}

func (p printer) request(request any, indent string) {
	p.WriteString(indent)
	switch r := request.(type) {
	case *pb.PutRequest:
		fmt.Fprintf(p, "put %s %s", bare(r.Key), bare(r.Value))
		if r.Lease != 0 {
			p.WriteString(" lease=" + strconv.FormatInt(r.Lease, 10))
		}
		p.flag("prev_kv", r.PrevKv)
		p.flag("ignore_value", r.IgnoreValue)
		p.flag("ignore_lease", r.IgnoreLease)
	case *pb.RangeRequest:
		p.rangeRequest("range", r)
	case *Stream:
		p.rangeRequest("stream", r.RangeRequest)
	case *pb.DeleteRangeRequest:
		p.WriteString("del " + bare(r.Key))
		p.end(r.RangeEnd)
		p.flag("prev_kv", r.PrevKv)
	case *pb.CompactionRequest:
		p.WriteString("compact " + p.revision(r.Revision))
		p.flag("physical", r.Physical)
	case *pb.HashKVRequest:
		p.WriteString("hash " + p.revision(r.Revision))
	case *pb.TxnRequest:
		p.txn(r, indent)
		return
	case *pb.LeaseGrantRequest:
		fmt.Fprintf(p, "grant %d", r.TTL)
		p.id(r.ID)
	case *pb.LeaseRevokeRequest:
		fmt.Fprintf(p, "revoke %d", r.ID)
	case *pb.LeaseTimeToLiveRequest:
		fmt.Fprintf(p, "ttl %d", r.ID)
		p.flag("keys", r.Keys)
	case *pb.LeaseKeepAliveRequest:
		fmt.Fprintf(p, "keepalive %d", r.ID)
	case *pb.LeaseLeasesRequest:
		p.WriteString("leases")
	case *pb.WatchCreateRequest:
		p.watch(r)
	case *pb.WatchCancelRequest:
		fmt.Fprintf(p, "cancel %d", r.WatchId)
	case *pb.WatchProgressRequest:
		p.WriteString("progress")
	default:
		fmt.Fprintf(p, "# %T %v", request, request)
	}
	p.WriteByte('\n')
}

func (p printer) rangeRequest(verb string, r *pb.RangeRequest) {
	p.WriteString(verb + " " + bare(r.Key))
	p.end(r.RangeEnd)
	if r.Limit != 0 {
		p.WriteString(" limit=" + absolute(r.Limit))
	}
	for _, option := range []struct {
		name     string
		revision int64
	}{
		{"rev", r.Revision}, {"min_mod", r.MinModRevision}, {"max_mod", r.MaxModRevision},
		{"min_create", r.MinCreateRevision}, {"max_create", r.MaxCreateRevision},
	} {
		if option.revision != 0 {
			p.WriteString(" " + option.name + "=" + p.revision(option.revision))
		}
	}
	if r.SortOrder != 0 || r.SortTarget != 0 {
		fmt.Fprintf(p, " sort=%s:%s", name(orders, int32(r.SortOrder)), name(sortTargets, int32(r.SortTarget)))
	}
	p.flag("serializable", r.Serializable)
	p.flag("keys_only", r.KeysOnly)
	p.flag("count_only", r.CountOnly)
}

func (p printer) watch(r *pb.WatchCreateRequest) {
	p.WriteString("watch " + bare(r.Key))
	p.end(r.RangeEnd)
	if r.StartRevision != 0 {
		p.WriteString(" rev=" + p.revision(r.StartRevision))
	}
	p.id(r.WatchId)
	p.flag("prev_kv", r.PrevKv)
	p.flag("progress", r.ProgressNotify)
	p.flag("fragment", r.Fragment)
	p.flag("noput", slices.Contains(r.Filters, pb.WatchCreateRequest_NOPUT))
	p.flag("nodelete", slices.Contains(r.Filters, pb.WatchCreateRequest_NODELETE))
}

func (p printer) id(id int64) {
	if id != 0 {
		fmt.Fprintf(p, " id=%d", id)
	}
}

func (p printer) txn(t *pb.TxnRequest, indent string) {
	p.WriteString("txn\n")
	for _, c := range t.Compare {
		fmt.Fprintf(p, "%sif %s %s", indent, name(targets, int32(c.Target)), bare(c.Key))
		if len(c.RangeEnd) > 0 {
			p.WriteString(" .." + bare(c.RangeEnd))
		}
		relation := name(relations, int32(c.Result))
		if relation[0] >= '0' && relation[0] <= '9' {
			relation = "?" + relation
		}
		p.WriteString(" " + relation + " " + p.operand(c) + "\n")
	}
	for _, list := range []struct {
		verb string
		ops  []*pb.RequestOp
	}{{"then", t.Success}, {"else", t.Failure}} {
		if len(list.ops) == 0 {
			continue
		}
		p.WriteString(indent + list.verb + "\n")
		for _, op := range list.ops {
			p.op(op, indent+"  ")
		}
	}
	p.WriteString(indent + "end\n")
}

func (p printer) op(op *pb.RequestOp, indent string) {
	switch o := op.Request.(type) {
	case *pb.RequestOp_RequestPut:
		p.request(o.RequestPut, indent)
	case *pb.RequestOp_RequestRange:
		p.request(o.RequestRange, indent)
	case *pb.RequestOp_RequestDeleteRange:
		p.request(o.RequestDeleteRange, indent)
	case *pb.RequestOp_RequestTxn:
		p.request(o.RequestTxn, indent)
	default:
		p.WriteString(indent + "empty\n")
	}
}

func (p printer) operand(c *pb.Compare) string {
	var kind, text string
	switch u := c.TargetUnion.(type) {
	case *pb.Compare_Version:
		kind, text = "version", absolute(u.Version)
	case *pb.Compare_CreateRevision:
		kind, text = "create", p.revision(u.CreateRevision)
	case *pb.Compare_ModRevision:
		kind, text = "mod", p.revision(u.ModRevision)
	case *pb.Compare_Value:
		kind, text = "value", bare(u.Value)
	case *pb.Compare_Lease:
		kind, text = "lease", absolute(u.Lease)
	default:
		return "unset"
	}
	if targets[kind] == int32(c.Target) {
		return text
	}
	return kind + ":" + text
}

func (p printer) end(end []byte) {
	if len(end) > 0 {
		p.WriteString(" " + bare(end))
	}
}

func (p printer) flag(name string, set bool) {
	if set {
		p.WriteString(" " + name)
	}
}

func (p printer) revision(r int64) string {
	if Relative(r, p.base) {
		return fmt.Sprintf("%+d", r-p.base)
	}
	return absolute(r)
}

func absolute(n int64) string {
	text := strconv.FormatInt(n, 10)
	if digits, negative := strings.CutPrefix(text, "-"); negative {
		return "minus" + digits
	}
	return text
}

// name finds the shortest way to write a value of an enum that is not empty.
func name(names map[string]int32, value int32) string {
	for text, v := range names {
		if v == value && text != "" {
			return text
		}
	}
	return strconv.Itoa(int(value))
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_/]+$`)

// bare writes a key, an end or a value as one word.
func bare(text []byte) string {
	if len(text) > 64 && strings.Trim(string(text), "x") == "" {
		return fmt.Sprintf("size(%d)", len(text))
	}
	if _, option := optionNames[string(text)]; option || !plain.Match(text) {
		return strconv.Quote(string(text))
	}
	return string(text)
}

// Parse reads one request.
func Parse(text string, base int64) (any, error) {
	p := &parser{lines: strings.Split(text, "\n"), base: base}
	s, ok, err := p.statement()
	if err == nil && !ok {
		err = fmt.Errorf("no request in %q", text)
	}
	return s.request, err
}
