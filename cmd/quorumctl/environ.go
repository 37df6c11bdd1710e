package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The prefixes of environment variables, the stronger first.
var environPrefixes = []string{"QUORUMCTL_", "ETCDCTL_"}

// notFlags are variables with those prefixes that are not flags of every command: the version switch that etcdctl 3.3
// needed, flags of `endpoint` and `drill`, and the arguments of `watch`.
var notFlags = []string{"API", "CLUSTER", drillTokenVariable, "WATCH_KEY", "WATCH_RANGE_END"}

// applyEnviron sets every flag that cmd inherits and the command line does not give from its variable. An empty
// variable counts as absent.
func (a *app) applyEnviron(cmd *cobra.Command) error {
	set := make(map[string]string)
	for _, kv := range a.environ {
		if name, value, ok := strings.Cut(kv, "="); ok {
			set[name] = value
		}
	}

	var err error
	var known []string
	cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		known = append(known, environName(f.Name))
		if f.Changed || err != nil {
			return
		}
		for _, prefix := range environPrefixes {
			name := prefix + environName(f.Name)
			value := set[name]
			if value == "" {
				continue
			}
			if setErr := cmd.Flags().Set(f.Name, value); setErr != nil {
				err = failf(exitBadArgs, "invalid environment variable %s: %w", name, setErr).
					hint("%s is %q; allowed: %s", name, value, allowedText(f.Value.Type()))
			}
			return
		}
	})
	if err != nil {
		return err
	}
	a.warnUnknown(known)
	return nil
}

// variable returns a variable that is no flag, or "" when it is absent or empty.
func (a *app) variable(name string) string {
	for _, prefix := range environPrefixes {
		for _, kv := range a.environ {
			if value, ok := strings.CutPrefix(kv, prefix+name+"="); ok && value != "" {
				return value
			}
		}
	}
	return ""
}

// getenv returns a variable that is not ours alone, or "".
func (a *app) getenv(name string) string {
	for _, kv := range a.environ {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

// warnUnknown points out variables that look like ours and do nothing: most often a misspelt name.
func (a *app) warnUnknown(known []string) {
	for _, kv := range a.environ {
		name, _, _ := strings.Cut(kv, "=")
		for _, prefix := range environPrefixes {
			suffix, ours := strings.CutPrefix(name, prefix)
			if !ours || slices.Contains(known, suffix) || slices.Contains(notFlags, suffix) {
				continue
			}
			if near := nearest(suffix, known); near != "" {
				a.warnf("unknown environment variable %s; did you mean %s%s?", name, prefix, near)
			} else {
				a.warnf("unknown environment variable %s", name)
			}
		}
	}
}

// logSettings writes the effective settings in the form in which the environment would set them, without secrets.
func (a *app) logSettings(cmd *cobra.Command) {
	cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) {
		value := f.Value.String()
		switch f.Name {
		case "password", "auth-jwt-token":
			if value != "" {
				value = "(hidden)"
			}
		case "user":
			if name, _, ok := strings.Cut(value, ":"); ok {
				value = name + ":(hidden)"
			}
		}
		fmt.Fprintf(a.stderr, "%s%s=%s\n", environPrefixes[0], environName(f.Name), value)
	})
}

func environName(flag string) string {
	return strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
