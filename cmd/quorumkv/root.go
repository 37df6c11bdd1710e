package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/quorumkv/quorumkv/server"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	etcdversion "go.etcd.io/etcd/api/v3/version"
)

// version is set by the release build: -ldflags "-X main.version=1.2.3".
var version = "0.1.0-dev"

// usageError marks mistakes in flags, environment or configuration file, which starting again cannot mend.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// rawFlag keeps a flag's last text; load interprets it together with the other sources.
type rawFlag struct{ text, kind string }

func (f *rawFlag) Set(s string) error { f.text = s; return nil }
func (f *rawFlag) String() string     { return f.text }
func (f *rawFlag) Type() string       { return f.kind }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "quorumkv [flags]",
		Short: "Run one member of a QuorumKV cluster",
		Long: `quorumkv runs one member of a QuorumKV cluster: a replicated key-value store that speaks the etcd v3 API.
Without flags it is a cluster of one on http://127.0.0.1:2379 with its data in ./default.quorumkv.

Flags have etcd's names. Each may also be given in the environment (--data-dir as QUORUMKV_DATA_DIR or ETCD_DATA_DIR)
or as a key of a YAML file (--config-file). A flag goes before the environment, the environment before the file.
Flags of etcd that QuorumKV does not support are refused, with a hint what to do instead.

Exit status: 0 after SIGINT or SIGTERM, 2 when the configuration is wrong, 1 after any other failure.`,
		Example: `  # a single node in the current directory
  quorumkv

  # three nodes on this machine, with one command
  quorumkv cluster

  # the first of three machines
  quorumkv --name n1 --data-dir /var/lib/quorumkv \
    --listen-client-urls http://0.0.0.0:2379 --advertise-client-urls http://10.0.0.1:2379 \
    --listen-peer-urls http://10.0.0.1:2380 --initial-advertise-peer-urls http://10.0.0.1:2380 \
    --initial-cluster n1=http://10.0.0.1:2380,n2=http://10.0.0.2:2380,n3=http://10.0.0.3:2380

  # everything from a file, but more to read
  quorumkv --config-file /etc/quorumkv.yaml --log-level debug`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate(versionText())
	root.SetFlagErrorFunc(flagError)
	root.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		var commands []string
		for _, c := range cmd.Commands() {
			commands = append(commands, c.Name())
		}
		return usageError{fmt.Errorf("%q is neither a flag nor a command%s", args[0], suggest(args[0], commands, "%q"))}
	}
	root.RunE = func(cmd *cobra.Command, _ []string) error { return runServer(cmd.Flags(), os.Environ()) }
	addFlags(root.Flags())
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	addCompletions(root)
	root.AddCommand(newCluster())
	return root
}

func addFlags(flags *pflag.FlagSet) {
	flags.SortFlags = false
	add := func(name, kind, usage, def string) *pflag.Flag {
		f := &pflag.Flag{Name: name, Usage: usage, Value: &rawFlag{kind: kind}, DefValue: def}
		if kind == kindSwitch {
			f.NoOptDefVal = "true"
		}
		flags.AddFlag(f)
		return f
	}
	defaults := server.DefaultConfig()
	for _, s := range settings {
		def := s.bind(&defaults).String()
		if slices.Contains(derived, s.name) {
			def = ""
		}
		add(s.name, s.kind, s.usage, def)
	}
	add("config-file", "file", "YAML file with these settings; see above for what goes before what", "")
	for _, f := range foreignSettings {
		kind := "text"
		if f.bool {
			kind = kindSwitch
		}
		add(f.name, kind, "setting of etcd", "").Hidden = true
	}
}

func addCompletions(root *cobra.Command) {
	words := map[string][]string{
		"initial-cluster-state": {server.ClusterStateNew, server.ClusterStateExisting},
		"log-level":             {"debug", "info", "warn", "error"},
		"log-format":            {server.LogFormatJSON, server.LogFormatText},
	}
	err := errors.Join(root.MarkFlagDirname("data-dir"), root.MarkFlagFilename("config-file", "yaml", "yml", "json"))
	for name, choices := range words {
		err = errors.Join(err, root.RegisterFlagCompletionFunc(name,
			cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp)))
	}
	if err != nil {
		panic(fmt.Sprintf("completion for a flag that does not exist: %v", err))
	}
}

// flagError says what pflag found wrong in one line, with the flag that was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name := unknown.GetSpecifiedName()
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		return usageError{fmt.Errorf("unknown flag --%s%s", name, suggest(name, names, "--%s"))}
	}
	return usageError{err}
}

func versionText() string {
	text := fmt.Sprintf("quorumkv Version: %s\netcd Version: %s\n", version, etcdversion.Version)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				text += fmt.Sprintf("Git SHA: %s\n", s.Value)
			}
		}
	}
	return text + fmt.Sprintf("Go Version: %s\nGo OS/Arch: %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
