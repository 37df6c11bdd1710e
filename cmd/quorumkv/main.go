// Command quorumkv runs one member of a QuorumKV cluster (serve.go) or a whole local cluster of such members
// (cluster.go).
//
// # Configuration
//
// settings.go lists every setting once; its name is a flag, two environment variables and a key of the configuration
// file. Each setting is taken from the strongest source that has it:
//
//	flag  >  QUORUMKV_*  >  ETCD_*  >  --config-file  >  default
//
// foreign.go lists the settings of etcd that we lack. They are known, so that none is passed over silently: a value that
// asks for what happens anyway is accepted, any other is an error that says what to do, or a warning where nobody can
// rely on it. Environment variables of unknown names are left alone; unknown flags and file keys are errors.
//
// # Process
//
// The line "ready to serve client requests" is logged once the member answers clients. SIGINT and SIGTERM stop it in
// order. Failures are one line on stderr. Exit status: 0 stopped as asked, 1 failed, 2 wrong configuration.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

func main() {
	args := slices.Clone(os.Args[1:])
	hideSecrets(os.Args)
	os.Exit(run(args, os.Stdout, os.Stderr))
}

// run executes a command line and returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetArgs(doubleDash(root.Flags(), args))
	err := root.Execute()
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "quorumkv: %s\n", oneLine(err))
	if _, usage := errors.AsType[usageError](err); usage {
		return 2
	}
	return 1
}
