package main

import (
	"strings"

	"github.com/spf13/pflag"
)

// doubleDash rewrites etcd's single-dash form (-data-dir x, -enable-pprof) to the double-dash one for long flags that
// exist. Values of flags stay as they are, whatever they look like.
func doubleDash(flags *pflag.FlagSet, args []string) []string {
	out := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(out, args[i:]...)
		}
		name, _, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		flag := flags.Lookup(name)
		if flag == nil || len(name) < 2 || !strings.HasPrefix(arg, "-") {
			out = append(out, arg)
			continue
		}
		if !strings.HasPrefix(arg, "--") {
			arg = "-" + arg
		}
		out = append(out, arg)
		if !hasValue && flag.NoOptDefVal == "" && i+1 < len(args) {
			i++
			out = append(out, args[i])
		}
	}
	return out
}

// secretFlag is the only flag whose value nobody may see.
const secretFlag = "drills-token"

// hideSecrets replaces the values of secretFlag in the process's arguments, which a member tells whoever asks for
// /debug/vars or /debug/pprof/cmdline. The operating system's list of processes has them all the same.
func hideSecrets(args []string) {
	const hidden = "(hidden)"
	for i, arg := range args {
		name, _, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch {
		case name != secretFlag || !strings.HasPrefix(arg, "-"):
		case hasValue:
			args[i] = "--" + secretFlag + "=" + hidden
		case i+1 < len(args):
			args[i+1] = hidden
		}
	}
}
