package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quorumkv/quorumkv/internal/local"
	"github.com/quorumkv/quorumkv/server"
	"github.com/spf13/pflag"
)

// load puts a configuration together: flag > QUORUMKV_* > ETCD_* > --config-file > default, each setting by itself. It
// returns, beside the configuration, what should be logged as a warning.
func load(flags *pflag.FlagSet, environ []string) (server.Config, []string, error) {
	environment, warnings := readEnvironment(environ)
	fromFlags := readFlags(flags)
	var fromFile map[string]given
	if path := pick("config-file", fromFlags, environment); path.text != "" {
		var err error
		if fromFile, err = readFile(path.text); err != nil {
			return server.Config{}, nil, err
		}
	}

	cfg := server.DefaultConfig()
	set := map[string]bool{}
	for _, s := range settings {
		g := pick(s.name, fromFlags, environment, fromFile)
		if g.text == "" {
			continue
		}
		if err := s.bind(&cfg).Set(g.text); err != nil {
			return server.Config{}, nil, fmt.Errorf("%s: %q: %w", g.where, g.text, err)
		}
		set[s.name] = true
	}
	for _, f := range foreignSettings {
		g := pick(f.name, fromFlags, environment, fromFile)
		if g.text == "" {
			continue
		}
		warning, err := f.check(g.where, g.text)
		if err != nil {
			return server.Config{}, nil, err
		}
		if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	if err := derive(&cfg, set); err != nil {
		return server.Config{}, nil, err
	}
	return cfg, warnings, cfg.Validate()
}

// pick returns a setting from the first source that has it. An empty text in it means the default.
func pick(name string, sources ...map[string]given) given {
	for _, source := range sources {
		if g, ok := source[name]; ok {
			return g
		}
	}
	return given{}
}

func readFlags(flags *pflag.FlagSet) map[string]given {
	values := map[string]given{}
	flags.Visit(func(f *pflag.Flag) { values[f.Name] = given{f.Value.String(), "--" + f.Name} })
	return values
}

// readEnvironment returns the settings among the environment variables. An empty variable counts as not there, and
// variables of other names disturb nobody: Kubernetes makes ETCD_PORT and the like for a service called etcd. A misspelt
// name of ours is worth a warning.
func readEnvironment(environ []string) (map[string]given, []string) {
	variables := map[string]string{}
	for _, entry := range environ {
		if key, text, _ := strings.Cut(entry, "="); text != "" {
			variables[key] = text
		}
	}
	names := []string{"config-file"}
	for _, s := range settings {
		names = append(names, s.name)
	}
	for _, f := range foreignSettings {
		names = append(names, f.name)
	}

	values := map[string]given{}
	var known []string
	for _, name := range names {
		suffix := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		for _, prefix := range local.EnvPrefixes {
			variable := prefix + suffix
			known = append(known, variable)
			if _, found := values[name]; found || variables[variable] == "" {
				continue
			}
			values[name] = given{variables[variable], variable}
		}
	}
	var warnings []string
	for variable := range variables {
		if !strings.HasPrefix(variable, local.EnvPrefixes[0]) || slices.Contains(known, variable) {
			continue
		}
		if hint := suggestVariable(variable, known); hint != "" {
			warnings = append(warnings, fmt.Sprintf("the environment variable %s is not a setting%s", variable, hint))
		}
	}
	slices.Sort(warnings)
	return values, warnings
}

// suggestVariable compares without the prefix, which all have in common and which would make everything look alike.
func suggestVariable(variable string, known []string) string {
	var suffixes []string
	for _, k := range known {
		if suffix, ours := strings.CutPrefix(k, local.EnvPrefixes[0]); ours {
			suffixes = append(suffixes, suffix)
		}
	}
	return suggest(strings.TrimPrefix(variable, local.EnvPrefixes[0]), suffixes, local.EnvPrefixes[0]+"%s")
}

// derived are the settings whose defaults follow from others.
var derived = []string{"data-dir", "initial-advertise-peer-urls", "initial-cluster"}

// derive fills in the defaults of derived settings. set tells which settings the user gave.
func derive(c *server.Config, set map[string]bool) error {
	if set["listen-client-urls"] && !set["advertise-client-urls"] {
		return server.ErrAdvertiseClientURLs
	}
	if !set["data-dir"] {
		c.DataDir = c.Name + ".quorumkv"
	}
	if set["listen-peer-urls"] && !set["initial-advertise-peer-urls"] {
		c.AdvertisePeerURLs = slices.Clone(c.ListenPeerURLs)
		for i := range c.AdvertisePeerURLs {
			// Nobody can call a wildcard address. The loopback address serves a cluster of one; a larger one has an
			// --initial-cluster, and a difference to it is an error.
			if u := &c.AdvertisePeerURLs[i]; u.Hostname() == "0.0.0.0" || u.Hostname() == "::" {
				u.Host = "127.0.0.1:" + u.Port()
			}
		}
	}
	if !set["initial-cluster"] {
		c.InitialCluster = []server.InitialMember{{Name: c.Name, PeerURLs: slices.Clone(c.AdvertisePeerURLs)}}
	}
	return nil
}
