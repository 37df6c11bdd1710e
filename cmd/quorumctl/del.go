package main

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

// rangeGrace is the time to interrupt a del of two arguments without --range: the second may have been meant as a key.
const rangeGrace = 2 * time.Second

// delFlags are the flags of del, on the command line and on a line of a transaction.
type delFlags struct {
	keys     keyRange
	prevKV   bool
	rangeSet bool
}

func (f *delFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(&f.keys.prefix, "prefix", false, "delete all keys that begin with <key>")
	fs.BoolVar(&f.keys.fromKey, "from-key", false,
		"delete all keys that are equal to <key> or sort after it, byte by byte")
	fs.BoolVar(&f.rangeSet, "range", false, "delete the range up to <range_end> at once, without a pause to interrupt")
	fs.BoolVar(&f.prevKV, "prev-kv", false, "also print the deleted keys and values")
}

func (a *app) newDel() *cobra.Command {
	var f delFlags
	cmd := &cobra.Command{
		Use:   "del [options] <key> [range_end]",
		Short: "Delete a key or a range of keys",
		Long: "Delete a key or a range of keys and print how many were deleted.\n\nWith a range end, the keys from <key> " +
			"up to but not including <range_end> are deleted.",
		Example: `  quorumctl del greeting
  quorumctl del users/ --prefix --prev-kv
  quorumctl del a m --range`,
		GroupID:           groupKV,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.register(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		key, opts, err := f.request(args, a)
		if err != nil {
			return err
		}
		printer, s, err := connect(a, cmd, output.NewKV)
		if err != nil {
			return err
		}
		defer s.Close()
		ctx, cancel := s.context()
		defer cancel()
		r, err := s.Delete(ctx, key, opts...)
		if err != nil {
			return s.explainWrite(err)
		}
		return printer.Delete(r)
	}
	return cmd
}

// request checks the arguments and makes the request of them. It pauses before a range that was not confirmed.
func (f *delFlags) request(args []string, a *app) (key string, opts []clientv3.OpOption, err error) {
	if len(args) == 0 || len(args) > 2 {
		return "", nil, failf(exitBadArgs, "del command needs one argument as key and an optional argument as range_end").
			hint("for example: quorumctl del greeting; several keys need one del each, or a txn")
	}
	key, opts, err = f.keys.request(args)
	if err != nil {
		return "", nil, err
	}
	if len(args) == 2 && !f.rangeSet {
		a.warnf("Keys between %q and %q will be deleted. Please interrupt the command within next 2 seconds to cancel. "+
			"You can provide `--range` flag to avoid the delay.", args[0], args[1])
		a.sleep(rangeGrace)
	}
	if f.prevKV {
		opts = append(opts, clientv3.WithPrevKV())
	}
	return key, opts, nil
}
