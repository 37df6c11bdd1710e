package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

const makeMirrorHelp = `Copy all keys, or those with a prefix, to another cluster, and every change of them from then on.

Values are copied, leases and histories are not. The changes of one revision reach the destination in one transaction,
unless there are more than --max-txn-ops of them. Every 30 seconds a line says how many keys were written or deleted.

The command runs until it is stopped or fails. It then says from which --rev on it can go on, if it has mirrored a change.`

type mirrorFlags struct {
	prefix       string
	rev          int64
	maxTxnOps    uint
	destPrefix   string
	noDestPrefix bool

	destination    clientv3.SecureConfig
	user, password string
}

func (f *mirrorFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.prefix, "prefix", "", "mirror only keys that begin with this")
	fs.Int64Var(&f.rev, "rev", 0, "copy nothing, and mirror the changes from this revision on (0: copy everything first)")
	fs.UintVar(&f.maxTxnOps, "max-txn-ops", 128, "at most this many changes in one transaction")
	fs.StringVar(&f.destPrefix, "dest-prefix", "", "write keys with this in place of --prefix (empty: --prefix)")
	fs.BoolVar(&f.noDestPrefix, "no-dest-prefix", false, "write keys without their --prefix")

	fs.StringVar(&f.destination.Cert, "dest-cert", "", "present this certificate file (PEM) to the destination")
	fs.StringVar(&f.destination.Key, "dest-key", "", "private key file (PEM) of --dest-cert")
	fs.StringVar(&f.destination.Cacert, "dest-cacert", "",
		"trust a destination whose certificate these authorities (PEM) signed")
	fs.BoolVar(&f.destination.InsecureTransport, "dest-insecure-transport", true,
		"talk without TLS to a destination without a scheme, unless another TLS flag for it is set")
	fs.StringVar(&f.user, "dest-user", "",
		"log in to the destination as name or name:password (asks for a missing password)")
	fs.StringVar(&f.password, "dest-password", "", "password of --dest-user, which then must not contain one")
}

func (a *app) newMakeMirror() *cobra.Command {
	var f mirrorFlags
	cmd := &cobra.Command{
		Use:   "make-mirror [options] <destination>",
		Short: "Copy keys and all their changes to another cluster",
		Long:  makeMirrorHelp,
		Example: `  quorumctl make-mirror 10.0.0.2:2379
  quorumctl make-mirror 10.0.0.2:2379 --prefix users/ --dest-prefix eu/users/
  quorumctl make-mirror 10.0.0.2:2379 --rev 1043`,
		GroupID:           groupUtility,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.register(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return failf(exitBadArgs, "make-mirror takes one destination argument").
				hint("for example: quorumctl make-mirror 10.0.0.2:2379; --endpoints says where the keys come from")
		}
		if f.noDestPrefix && f.destPrefix != "" {
			return failf(exitBadArgs, "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one")
		}
		_, source, err := connect(a, cmd, output.NewText)
		if err != nil {
			return err
		}
		defer source.Close()
		destination, err := f.connect(a, source.settings, args[0])
		if err != nil {
			return err
		}
		defer destination.Close()
		stop := a.untilSignal()
		defer stop.release()
		return newMirrorer(a, f, source, destination).run(stop)
	}
	return cmd
}

// connect makes a client for the destination. It has the limits of the source's, but nothing of its identity.
func (f *mirrorFlags) connect(a *app, s settings, destination string) (*session, error) {
	auth, err := a.login(f.user, f.password, "Destination Password")
	if err != nil {
		return nil, err
	}
	s.spec.Secure, s.spec.Auth = &f.destination, auth
	d, failed := s.open(strings.Split(destination, ","))
	if failed == nil {
		return d, nil
	}
	if failed.code == exitBadArgs {
		failed.hints = []string{"--dest-cert, --dest-key and --dest-cacert must name readable PEM files, and --dest-cert " +
			"and --dest-key belong together"}
	}
	return nil, failed
}
