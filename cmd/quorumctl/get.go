package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

// getFlags are the flags of get, on the command line and on a line of a transaction. How to print and how to ask
// (valueOnly, stream) has no meaning inside a transaction and is ignored there.
type getFlags struct {
	keys keyRange

	consistency string
	rev, limit  int64
	order       string
	sortBy      string
	keysOnly    bool
	countOnly   bool

	minCreateRev, maxCreateRev int64
	minModRev, maxModRev       int64

	valueOnly bool
	stream    bool
}

// sortOrders and sortTargets are the values of --order and --sort-by, in any case. Empty is the server's default.
var (
	sortOrders = map[string]clientv3.SortOrder{
		"": clientv3.SortNone, "ASCEND": clientv3.SortAscend, "DESCEND": clientv3.SortDescend,
	}
	sortTargets = map[string]clientv3.SortTarget{
		"": clientv3.SortByKey, "KEY": clientv3.SortByKey, "VERSION": clientv3.SortByVersion,
		"CREATE": clientv3.SortByCreateRevision, "MODIFY": clientv3.SortByModRevision, "VALUE": clientv3.SortByValue,
	}
)

func (f *getFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(&f.keys.prefix, "prefix", false, "all keys that begin with <key>")
	fs.BoolVar(&f.keys.fromKey, "from-key", false, "all keys that are equal to <key> or sort after it, byte by byte")
	fs.StringVar(&f.consistency, "consistency", "l", consistencyUsage)
	fs.Int64Var(&f.rev, "rev", 0, "read as of this revision (0: the newest)")
	fs.Int64Var(&f.limit, "limit", 0, "at most this many keys (0: all)")
	fs.StringVar(&f.order, "order", "", "ASCEND or DESCEND (empty: ascending)")
	fs.StringVar(&f.sortBy, "sort-by", "", "CREATE, KEY, MODIFY, VALUE or VERSION (empty: KEY)")
	fs.BoolVar(&f.keysOnly, "keys-only", false, "leave out the values")
	fs.BoolVar(&f.countOnly, "count-only", false, "only count the keys (with -w fields)")
	fs.Int64Var(&f.minCreateRev, "min-create-rev", 0, "only keys created at this revision or later")
	fs.Int64Var(&f.maxCreateRev, "max-create-rev", 0, "only keys created at this revision or earlier")
	fs.Int64Var(&f.minModRev, "min-mod-rev", 0, "only keys last changed at this revision or later")
	fs.Int64Var(&f.maxModRev, "max-mod-rev", 0, "only keys last changed at this revision or earlier")
	fs.BoolVar(&f.valueOnly, "print-value-only", false, "print values without their keys (with -w simple)")
	fs.BoolVar(&f.stream, "stream", false, "receive the answer in pieces, for very large ranges (server 3.7 or newer)")
}

func (a *app) newGet() *cobra.Command {
	var f getFlags
	cmd := &cobra.Command{
		Use:   "get [options] <key> [range_end]",
		Short: "Read a key or a range of keys",
		Long: "Read a key or a range of keys.\n\nWith a range end, the keys from <key> up to but not including " +
			"<range_end> are read.",
		Example: `  quorumctl get greeting
  quorumctl get greeting --print-value-only
  quorumctl get users/ --prefix --keys-only
  quorumctl get "" --prefix --count-only -w fields
  quorumctl get a m --limit 10 --sort-by MODIFY --order DESCEND
  quorumctl get greeting --rev 42 -w json
  quorumctl get greeting --consistency s`,
		GroupID:           groupKV,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.register(cmd.Flags())
	completeFlag(cmd, "consistency", "l", "s")
	completeFlag(cmd, "order", "ASCEND", "DESCEND")
	completeFlag(cmd, "sort-by", "CREATE", "KEY", "MODIFY", "VALUE", "VERSION")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		key, opts, err := f.request(args)
		if err != nil {
			return err
		}
		printer, s, err := connect(a, cmd, f.printer)
		if err != nil {
			return err
		}
		defer s.Close()
		if len(args) > 2 {
			a.warnf("get takes a key and a range end; %q and what follows is ignored", args[2])
		}
		r, err := f.send(s, key, opts)
		if err != nil {
			return s.explain(err)
		}
		return printer.Get(r)
	}
	return cmd
}

func (f *getFlags) send(s *session, key string, opts []clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := s.context()
	defer cancel()
	if !f.stream {
		return s.Get(ctx, key, opts...)
	}
	pieces, err := s.GetStream(ctx, key, opts...)
	if err != nil {
		return nil, err
	}
	return clientv3.GetStreamToGetResponse(pieces)
}

// printer refuses the formats that cannot honour the flags.
func (f *getFlags) printer(c output.Config) (output.KV, error) {
	if _, err := output.NewKV(c); err != nil {
		return nil, err
	}
	if f.countOnly && c.Format != "fields" {
		return nil, failf(exitBadArgs, "--count-only is only for `--write-out=fields`").hint("add -w fields")
	}
	if f.valueOnly && c.Format != "simple" {
		return nil, failf(exitBadArgs, "print-value-only is only for `--write-out=simple`").hint("leave out -w %s", c.Format)
	}
	c.ValueOnly = f.valueOnly
	return output.NewKV(c)
}

// request checks the flags and arguments and makes the request of them.
func (f *getFlags) request(args []string) (key string, opts []clientv3.OpOption, err error) {
	if len(args) == 0 {
		return "", nil, failf(exitBadArgs, "get command needs one argument as key and an optional argument as range_end").
			hint("for example: quorumctl get greeting; for every key: quorumctl get \"\" --prefix")
	}
	if f.keysOnly && f.countOnly {
		return "", nil, failf(exitBadArgs, "`--keys-only` and `--count-only` cannot be set at the same time, choose one")
	}
	key, opts, err = f.keys.request(args)
	if err != nil {
		return "", nil, err
	}
	serializable, err := parseConsistency(f.consistency)
	if err != nil {
		return "", nil, err
	}
	if serializable {
		opts = append(opts, clientv3.WithSerializable())
	}
	order, ok := sortOrders[strings.ToUpper(f.order)]
	if !ok {
		return "", nil, badValue("bad sort order "+f.order, "order", f.order, "ASCEND, DESCEND")
	}
	target, ok := sortTargets[strings.ToUpper(f.sortBy)]
	if !ok {
		return "", nil, badValue("bad sort target "+f.sortBy, "sort-by", f.sortBy, "CREATE, KEY, MODIFY, VALUE, VERSION")
	}
	opts = append(opts, clientv3.WithSort(target, order), clientv3.WithLimit(f.limit))
	if f.rev > 0 {
		opts = append(opts, clientv3.WithRev(f.rev))
	}
	if f.keysOnly {
		opts = append(opts, clientv3.WithKeysOnly())
	}
	if f.countOnly {
		opts = append(opts, clientv3.WithCountOnly())
	}
	filters, err := f.filters()
	return key, append(opts, filters...), err
}

func (f *getFlags) filters() ([]clientv3.OpOption, error) {
	if f.maxCreateRev > 0 && f.minCreateRev > f.maxCreateRev {
		return nil, emptyFilter("Create", "create", f.minCreateRev, f.maxCreateRev)
	}
	if f.maxModRev > 0 && f.minModRev > f.maxModRev {
		return nil, emptyFilter("Mod", "mod", f.minModRev, f.maxModRev)
	}
	var opts []clientv3.OpOption
	for _, filter := range []struct {
		rev    int64
		option func(int64) clientv3.OpOption
	}{
		{f.minCreateRev, clientv3.WithMinCreateRev},
		{f.maxCreateRev, clientv3.WithMaxCreateRev},
		{f.minModRev, clientv3.WithMinModRev},
		{f.maxModRev, clientv3.WithMaxModRev},
	} {
		if filter.rev > 0 {
			opts = append(opts, filter.option(filter.rev))
		}
	}
	return opts, nil
}

func emptyFilter(name, flag string, low, high int64) error {
	return failf(exitBadFeature, "getMin%sRev(=%d) > getMax%sRev(=%d)", name, low, name, high).
		hint("no key can match: --min-%s-rev %d is above --max-%s-rev %d", flag, low, flag, high)
}

const consistencyUsage = "l: linearizable, agreed with a majority; s: serializable, what the server has, perhaps stale"

func parseConsistency(value string) (serializable bool, err error) {
	switch value {
	case "l":
		return false, nil
	case "s":
		return true, nil
	default:
		return false, badValue(fmt.Sprintf("unknown consistency flag %q", value), "consistency", value, "l, s")
	}
}
