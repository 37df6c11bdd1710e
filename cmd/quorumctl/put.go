package main

import (
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

// putFlags are the flags of put, on the command line and on a line of a transaction.
type putFlags struct {
	lease       string
	prevKV      bool
	ignoreValue bool
	ignoreLease bool
}

func (f *putFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.lease, "lease", "0", "attach the key to the lease with this hexadecimal id (0: none)")
	fs.BoolVar(&f.prevKV, "prev-kv", false, "also print the key and value that were replaced")
	fs.BoolVar(&f.ignoreValue, "ignore-value", false, "keep the value of the key, which must exist")
	fs.BoolVar(&f.ignoreLease, "ignore-lease", false, "keep the lease of the key, which must exist")
}

func (a *app) newPut() *cobra.Command {
	var f putFlags
	cmd := &cobra.Command{
		Use:   "put [options] <key> <value> (without <value>: from standard input)",
		Short: "Store a value under a key",
		Long: "Store a value under a key.\n\nWithout a value, all of standard input is the value, a final line break " +
			"included.\nA value that begins with '-' needs '--' before it.",
		Example: `  quorumctl put greeting hello
  quorumctl put config < config.yaml
  quorumctl put offset -- -5
  quorumctl put session open --lease 694d8f1c0a2b3c01
  quorumctl put greeting --ignore-value --lease 0`,
		GroupID:           groupKV,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.register(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		key, value, opts, err := f.request(args, a.stdin)
		if err != nil {
			return err
		}
		printer, s, err := connect(a, cmd, output.NewKV)
		if err != nil {
			return err
		}
		defer s.Close()
		if len(args) > 2 {
			a.warnf("put takes one value; %q and what follows is ignored. Quote a value that contains spaces", args[2])
		}
		ctx, cancel := s.context()
		defer cancel()
		r, err := s.Put(ctx, key, value, opts...)
		if err != nil {
			return s.explainWrite(err)
		}
		return printer.Put(r)
	}
	return cmd
}

// request checks the arguments and makes the request of them. It may read the value from stdin.
func (f *putFlags) request(args []string, stdin io.Reader) (key, value string, opts []clientv3.OpOption, err error) {
	const usage = "put command needs 1 argument and input from stdin or 2 arguments"
	if len(args) == 0 {
		return "", "", nil, failf(exitBadArgs, usage).hint("for example: quorumctl put greeting hello")
	}
	if f.ignoreValue && len(args) > 1 {
		return "", "", nil, failf(exitBadArgs, "put command needs only 1 argument when 'ignore-value' is set").
			hint("leave out the value %q or the flag --ignore-value", args[1])
	}
	if !f.ignoreValue {
		if value, err = argOrStdin(args, stdin, 1); err != nil {
			return "", "", nil, failf(exitBadArgs, usage).
				hint("no value was given and standard input is empty; to store an empty value, write \"\"")
		}
	}
	lease, err := strconv.ParseInt(f.lease, 16, 64)
	if err != nil {
		return "", "", nil, failf(exitBadArgs, "bad lease ID (%w), expecting ID in Hex", err).
			hint("--lease is %q; allowed: a hexadecimal id such as 694d8f1c0a2b3c01, or 0 for none", f.lease)
	}
	if lease != 0 {
		opts = append(opts, clientv3.WithLease(clientv3.LeaseID(lease)))
	}
	if f.prevKV {
		opts = append(opts, clientv3.WithPrevKV())
	}
	if f.ignoreValue {
		opts = append(opts, clientv3.WithIgnoreValue())
	}
	if f.ignoreLease {
		opts = append(opts, clientv3.WithIgnoreLease())
	}
	return args[0], value, opts, nil
}
