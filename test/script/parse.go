package script

import (
	"fmt"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// statement is one request of a script and where it goes.
type statement struct {
	text    string // as written, for the output
	request any    // *pb.PutRequest, *pb.RangeRequest, *Stream, ...
	node    int    // distance from the node under test
	repeat  int    // 0: once
	line    string // of a repeated one, with #
}

// Stream is a RangeRequest to be sent through RangeStream.
type Stream struct{ *pb.RangeRequest }

// parser reads lines with revisions relative to base.
type parser struct {
	lines []string
	base  int64
}

func (p *parser) next() (line string, ok bool) {
	for len(p.lines) > 0 {
		line, p.lines = strings.TrimSpace(p.lines[0]), p.lines[1:]
		if line != "" && !strings.HasPrefix(line, "#") {
			return line, true
		}
	}
	return "", false
}

// statement parses the next request. ok is false at the end.
func (p *parser) statement() (s statement, ok bool, err error) {
	line, ok := p.next()
	if !ok {
		return s, false, nil
	}
	s.text = line
	defer func() {
		if err != nil {
			err = fmt.Errorf("%q: %w", s.text, err)
		}
	}()
	if rest, found := strings.CutPrefix(line, "@"); found {
		number, after, _ := strings.Cut(rest, " ")
		if s.node, err = strconv.Atoi(number); err != nil {
			return s, true, err
		}
		line = after
	}
	if rest, found := strings.CutPrefix(line, "many "); found {
		number, after, _ := strings.Cut(rest, " ")
		if s.repeat, err = strconv.Atoi(number); err != nil {
			return s, true, err
		}
		s.line = after
		line = strings.ReplaceAll(after, "#", "0")
	}
	if line == "txn" {
		s.request, err = p.txn()
	} else {
		s.request, err = p.request(line)
	}
	return s, true, err
}

// txn parses up to the matching end.
func (p *parser) txn() (*pb.TxnRequest, error) {
	txn := &pb.TxnRequest{}
	list := &txn.Success
	for {
		line, ok := p.next()
		if !ok {
			return nil, fmt.Errorf("txn without end")
		}
		count := 1
		var template string
		if rest, found := strings.CutPrefix(line, "many "); found {
			number, after, _ := strings.Cut(rest, " ")
			n, err := strconv.Atoi(number)
			if err != nil {
				return nil, err
			}
			count, template = n, after
		}
		for i := range count {
			if template != "" {
				line = strings.ReplaceAll(template, "#", strconv.Itoa(i))
			}
			switch {
			case line == "end":
				return txn, nil
			case line == "then":
				list = &txn.Success
			case line == "else":
				list = &txn.Failure
			case strings.HasPrefix(line, "if "):
				compare, err := p.compare(line)
				if err != nil {
					return nil, fmt.Errorf("%q: %w", line, err)
				}
				txn.Compare = append(txn.Compare, compare)
			default:
				op, err := p.op(line)
				if err != nil {
					return nil, fmt.Errorf("%q: %w", line, err)
				}
				*list = append(*list, op)
			}
		}
	}
}

func (p *parser) op(line string) (*pb.RequestOp, error) {
	switch line {
	case "empty":
		return &pb.RequestOp{}, nil
	case "txn":
		txn, err := p.txn()
		return &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: txn}}, err
	}
	request, err := p.request(line)
	if err != nil {
		return nil, err
	}
	switch r := request.(type) {
	case *pb.PutRequest:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: r}}, nil
	case *pb.RangeRequest:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestRange{RequestRange: r}}, nil
	case *pb.DeleteRangeRequest:
		return &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: r}}, nil
	default:
		return nil, fmt.Errorf("%T cannot be part of a txn", request)
	}
}

func (p *parser) request(line string) (any, error) {
	words, err := split(line)
	if err != nil {
		return nil, err
	}
	verb := words[0]
	var bytes [][]byte // positional
	options := map[string]string{}
	for _, w := range words[1:] {
		name, value, isOption := strings.Cut(w, "=")
		if _, known := optionNames[name]; known && (isOption || optionNames[name] == flagOption) {
			options[name] = value
			continue
		}
		b, err := word(w)
		if err != nil {
			return nil, err
		}
		bytes = append(bytes, b)
	}
	arg := func(i int) []byte {
		if i < len(bytes) {
			return bytes[i]
		}
		return nil
	}
	set := func(name string) bool { _, ok := options[name]; return ok }

	switch verb {
	case "put":
		r := &pb.PutRequest{Key: arg(0), Value: arg(1), PrevKv: set("prev_kv"), IgnoreValue: set("ignore_value"),
			IgnoreLease: set("ignore_lease")}
		if set("lease") {
			r.Lease, err = strconv.ParseInt(options["lease"], 10, 64)
		}
		return r, err
	case "del":
		return &pb.DeleteRangeRequest{Key: arg(0), RangeEnd: arg(1), PrevKv: set("prev_kv")}, nil
	case "compact":
		revision, err := p.revision(string(arg(0)))
		return &pb.CompactionRequest{Revision: revision, Physical: set("physical")}, err
	case "hash":
		revision, err := p.revision(string(arg(0)))
		return &pb.HashKVRequest{Revision: revision}, err
	case "range", "stream":
		r := &pb.RangeRequest{Key: arg(0), RangeEnd: arg(1), Serializable: set("serializable"),
			KeysOnly: set("keys_only"), CountOnly: set("count_only")}
		for name, field := range map[string]*int64{"limit": &r.Limit, "rev": &r.Revision, "min_mod": &r.MinModRevision,
			"max_mod": &r.MaxModRevision, "min_create": &r.MinCreateRevision, "max_create": &r.MaxCreateRevision} {
			if !set(name) {
				continue
			}
			if *field, err = p.revision(options[name]); err != nil {
				return nil, err
			}
		}
		if set("sort") {
			if err := sorting(r, options["sort"]); err != nil {
				return nil, err
			}
		}
		if verb == "stream" {
			return &Stream{r}, nil
		}
		return r, nil
	case "watch":
		r := &pb.WatchCreateRequest{Key: arg(0), RangeEnd: arg(1), PrevKv: set("prev_kv"), ProgressNotify: set("progress"),
			Fragment: set("fragment")}
		for i, filter := range []string{"noput", "nodelete"} {
			if set(filter) {
				r.Filters = append(r.Filters, pb.WatchCreateRequest_FilterType(i))
			}
		}
		if set("rev") {
			if r.StartRevision, err = p.revision(options["rev"]); err != nil {
				return nil, err
			}
		}
		if set("id") {
			r.WatchId, err = strconv.ParseInt(options["id"], 10, 64)
		}
		return r, err
	case "progress":
		return &pb.WatchProgressRequest{}, nil
	case "leases":
		return &pb.LeaseLeasesRequest{}, nil
	case "grant", "revoke", "ttl", "keepalive", "cancel":
		number, err := strconv.ParseInt(string(arg(0)), 10, 64)
		if err != nil {
			return nil, err
		}
		switch verb {
		case "revoke":
			return &pb.LeaseRevokeRequest{ID: number}, nil
		case "ttl":
			return &pb.LeaseTimeToLiveRequest{ID: number, Keys: set("keys")}, nil
		case "keepalive":
			return &pb.LeaseKeepAliveRequest{ID: number}, nil
		case "cancel":
			return &pb.WatchCancelRequest{WatchId: number}, nil
		}
		r := &pb.LeaseGrantRequest{TTL: number}
		if set("id") {
			r.ID, err = strconv.ParseInt(options["id"], 10, 64)
		}
		return r, err
	default:
		return nil, fmt.Errorf("unknown request %q", verb)
	}
}

const (
	flagOption  = 1 // stands alone
	valueOption = 2 // name=value
)

var optionNames = map[string]int{
	"prev_kv": flagOption, "ignore_value": flagOption, "ignore_lease": flagOption, "serializable": flagOption,
	"keys_only": flagOption, "count_only": flagOption, "physical": flagOption, "lease": valueOption, "limit": valueOption,
	"rev": valueOption, "sort": valueOption, "min_mod": valueOption, "max_mod": valueOption, "min_create": valueOption,
	"max_create": valueOption, "id": valueOption, "keys": flagOption, "progress": flagOption, "fragment": flagOption,
	"noput": flagOption, "nodelete": flagOption,
}

// sorting parses ORDER[:TARGET]; a bare number stands for itself, known or not.
func sorting(r *pb.RangeRequest, text string) error {
	order, target, _ := strings.Cut(text, ":")
	o, err := pick(orders, order)
	if err != nil {
		return err
	}
	t, err := pick(sortTargets, target)
	r.SortOrder, r.SortTarget = pb.RangeRequest_SortOrder(o), pb.RangeRequest_SortTarget(t)
	return err
}

// pick reads the name of an enum's value, or its bare number, known or not.
func pick(names map[string]int32, text string) (int32, error) {
	if v, ok := names[text]; ok {
		return v, nil
	}
	v, err := strconv.ParseInt(text, 10, 32)
	return int32(v), err
}

var (
	orders      = map[string]int32{"none": 0, "ascend": 1, "descend": 2}
	sortTargets = map[string]int32{"": 0, "key": 0, "version": 1, "create": 2, "mod": 3, "value": 4}
	targets     = map[string]int32{"version": 0, "create": 1, "mod": 2, "value": 3, "lease": 4}
	relations   = map[string]int32{"=": 0, ">": 1, "<": 2, "!=": 3}
)

// compare parses `if TARGET KEY [..END] RESULT VALUE`.
func (p *parser) compare(line string) (*pb.Compare, error) {
	words, err := split(line)
	if err != nil {
		return nil, err
	}
	if len(words) < 5 {
		return nil, fmt.Errorf("a compare needs a target, a key, a relation and a value")
	}
	c := &pb.Compare{}
	if c.Key, err = word(words[2]); err != nil {
		return nil, err
	}
	rest := words[3:]
	if end, found := strings.CutPrefix(rest[0], ".."); found {
		if c.RangeEnd, err = word(end); err != nil {
			return nil, err
		}
		rest = rest[1:]
	}
	if len(rest) != 2 {
		return nil, fmt.Errorf("want =, !=, < or > and a value")
	}
	relation, err := pick(relations, strings.TrimPrefix(rest[0], "?"))
	if err != nil {
		return nil, fmt.Errorf("unknown relation %q", rest[0])
	}
	c.Result = pb.Compare_CompareResult(relation)
	target, err := pick(targets, words[1])
	if err != nil {
		return nil, fmt.Errorf("unknown target %q", words[1])
	}
	c.Target = pb.Compare_CompareTarget(target)
	return c, p.operand(c, target, rest[1])
}

// operand reads what a compare compares with; it may name another kind of value than the target.
func (p *parser) operand(c *pb.Compare, kind int32, text string) (err error) {
	if text == "unset" {
		return nil
	}
	if name, after, found := strings.Cut(text, ":"); found {
		if other, known := targets[name]; known {
			kind, text = other, after
		}
	}
	var value []byte
	var number int64
	if kind == targets["value"] {
		value, err = word(text)
	} else {
		number, err = p.revision(text)
	}
	switch pb.Compare_CompareTarget(kind) {
	case pb.Compare_VALUE:
		c.TargetUnion = &pb.Compare_Value{Value: value}
	case pb.Compare_VERSION:
		c.TargetUnion = &pb.Compare_Version{Version: number}
	case pb.Compare_CREATE:
		c.TargetUnion = &pb.Compare_CreateRevision{CreateRevision: number}
	case pb.Compare_MOD:
		c.TargetUnion = &pb.Compare_ModRevision{ModRevision: number}
	case pb.Compare_LEASE:
		c.TargetUnion = &pb.Compare_Lease{Lease: number}
	default:
		return fmt.Errorf("a compare of target %d names its kind of value, as in version:1", kind)
	}
	return err
}

// revision reads a number; with a sign it is relative to the base.
func (p *parser) revision(text string) (int64, error) {
	if digits, ok := strings.CutPrefix(text, "minus"); ok {
		return strconv.ParseInt("-"+digits, 10, 64)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err == nil && (text[0] == '+' || text[0] == '-') {
		n += p.base
	}
	return n, err
}

// word reads a key, an end or a value.
func word(text string) ([]byte, error) {
	if inner, ok := strings.CutPrefix(text, "prefix("); ok {
		key, err := word(strings.TrimSuffix(inner, ")"))
		return []byte(clientv3.GetPrefixRangeEnd(string(key))), err
	}
	if inner, ok := strings.CutPrefix(text, "size("); ok {
		n, err := strconv.Atoi(strings.TrimSuffix(inner, ")"))
		if err != nil {
			return nil, err
		}
		return []byte(strings.Repeat("x", n)), nil
	}
	if strings.HasPrefix(text, `"`) {
		s, err := strconv.Unquote(text)
		return []byte(s), err
	}
	return []byte(text), nil
}

// split cuts a line at spaces outside quotes.
func split(line string) (words []string, err error) {
	for rest := strings.TrimLeft(line, " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
		n := strings.IndexByte(rest, ' ')
		if n < 0 {
			n = len(rest)
		}
		if quote := strings.IndexByte(rest[:n], '"'); quote >= 0 {
			quoted, err := strconv.QuotedPrefix(rest[quote:])
			if err != nil {
				return nil, fmt.Errorf("word %s: %w", rest, err)
			}
			n = quote + len(quoted)
			if n < len(rest) && rest[n] == ')' {
				n++
			}
		}
		words = append(words, rest[:n])
		rest = rest[n:]
	}
	return words, nil
}
