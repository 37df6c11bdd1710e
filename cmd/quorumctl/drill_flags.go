package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quorumkv/quorumkv/internal/drill"
)

// drillTokenVariable is --drills-token's, after either prefix.
const drillTokenVariable = "DRILLS_TOKEN"

// drillFlags are the flags of `drill run` and of each drill by its name.
type drillFlags struct {
	local    int
	server   string
	keep     bool
	token    string
	rounds   int
	clients  int
	duration time.Duration
	seed     uint64
	report   string
	json     bool
}

func (f *drillFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.IntVar(&f.local, "local", 0, "drill a throw-away cluster of 3 or 5 members on this machine")
	fs.StringVar(&f.server, "server", "", "with --local: the members' program (default: quorumkv beside quorumctl, or in PATH)")
	fs.BoolVar(&f.keep, "keep", false, "with --local: keep the members' data")
	fs.StringVar(&f.token, "drills-token", "",
		"without --local: the servers' token for drills (or QUORUMCTL_DRILLS_TOKEN)")
	fs.IntVar(&f.rounds, "rounds", 0, "inject the fault so many times (default: as many as the drill's marks are for)")
	fs.IntVar(&f.clients, "clients", 0, "load the cluster with so many clients (default: the drill's)")
	fs.DurationVar(&f.duration, "duration", 0, "load the cluster for about so long in all (default: the drill's)")
	fs.Uint64Var(&f.seed, "seed", 0, "of all random choices, to repeat those of a report (default: drawn)")
	fs.StringVar(&f.report, "report", "", "new or empty folder for the report and all that was recorded "+
		"(default: drill-NAME-TIME)")
	fs.BoolVar(&f.json, "json", false, "print report.json, and the progress to standard error")

	completeFlag(cmd, "local", "3", "5")
	for _, name := range []string{"rounds", "clients", "duration", "seed", "drills-token"} {
		completeFlag(cmd, name)
	}
	if err := cmd.MarkFlagDirname("report"); err != nil {
		panic(err) // no such flag
	}
}

// check refuses values and combinations that mean nothing. It runs before the environment is applied: an endpoint there is
// no contradiction of --local.
func (f *drillFlags) check(flags *pflag.FlagSet, s drill.Scenario) error {
	given := flags.Changed
	for _, positive := range []struct {
		name string
		ok   bool
	}{{"rounds", f.rounds > 0}, {"clients", f.clients > 0}, {"duration", f.duration > 0}, {"seed", f.seed > 0}} {
		if given(positive.name) && !positive.ok {
			return fmt.Errorf("--%s is %s; it must be more than 0", positive.name, flags.Lookup(positive.name).Value)
		}
	}
	switch {
	case given("local") && f.local != 3 && f.local != 5:
		return fmt.Errorf("--local is %d; allowed: 3, 5", f.local)
	case given("local") && given("endpoints"):
		return fmt.Errorf("--local and --endpoints contradict each other: drill a cluster of your own or a running one")
	case given("local") && given("drills-token"):
		return fmt.Errorf("--drills-token is for running clusters: one of --local has a token of its own")
	case !given("local") && given("server"):
		return fmt.Errorf("--server goes with --local only: it is the program of the cluster's members")
	case !given("local") && given("keep"):
		return fmt.Errorf("--keep goes with --local only: it keeps the data of the cluster's members")
	case !given("local") && s.NeedsProcesses:
		return fmt.Errorf("%s stops or kills members, which works on a cluster of its own only: add --local 3", s.Name)
	case given("report") && f.report == "":
		return fmt.Errorf("--report is empty; name a folder that is new or empty, or leave it out")
	}
	return nil
}

// options draws a seed if there is none, so that the command in the report repeats it.
func (f *drillFlags) options(cmd *cobra.Command, s drill.Scenario) drill.Options {
	for f.seed == 0 {
		f.seed = rand.Uint64()
	}
	return drill.Options{Rounds: f.rounds, Clients: f.clients, Duration: f.duration, Seed: f.seed,
		Command: repeatDrill(cmd.Flags(), s.Name, f.seed), Version: buildVersion()}
}

// repeatDrill is the command line of a drill, without secrets, and without what changes only where its results go. The
// environment has been applied.
func repeatDrill(flags *pflag.FlagSet, name string, seed uint64) string {
	words := []string{"quorumctl", "drill", name}
	local := flags.Changed("local")
	flags.VisitAll(func(f *pflag.Flag) {
		value := f.Value.String()
		switch f.Name {
		case "report", "json", "keep", "seed", "drills-token", "password", "auth-jwt-token", "write-out", "debug", "help":
			return
		case "local", "server", "rounds", "clients", "duration":
		case "user":
			value, _, _ = strings.Cut(value, ":")
			fallthrough
		default:
			if local {
				return // a flag of connections, from the environment
			}
		}
		if !f.Changed {
			return
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			value = strings.Join(list.GetSlice(), ",")
		}
		if f.NoOptDefVal != "" {
			words = append(words, "--"+f.Name+"="+value)
		} else {
			words = append(words, "--"+f.Name, shellWord(value))
		}
	})
	return strings.Join(append(words, "--seed", strconv.FormatUint(seed, 10)), " ")
}

// shellWord quotes a word that a shell would not take as it is.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:,=@%+", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
