package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"

	etcdversion "go.etcd.io/etcd/api/v3/version"
)

// version is set by the build of a release: -ldflags "-X main.version=1.2.3".
var version string

func (a *app) newVersion() *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		Short:             "Show the version of quorumctl and of the API it speaks",
		Long:              "Show the version of quorumctl and of the etcd API it speaks. No server is asked.",
		Example:           `  quorumctl version`,
		GroupID:           groupUtility,
		ValidArgsFunction: cobra.NoFileCompletions,
		Run: func(*cobra.Command, []string) {
			fmt.Fprintln(a.stdout, "quorumctl version:", buildVersion())
			fmt.Fprintln(a.stdout, "API version:", etcdversion.APIVersion)
		},
	}
}

// buildVersion falls back to what the Go toolchain knows about a build that is not a release.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
