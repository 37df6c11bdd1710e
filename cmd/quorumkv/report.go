package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/quorumkv/quorumkv/internal/local"
)

// introduce prints where the nodes are and what to try.
func (s *supervisor) introduce(ctx context.Context) {
	leader := s.Leader(ctx)
	fmt.Fprintln(s.out)
	table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tPID\tROLE\tCLIENTS\tPEERS\tDATA\tLOG")
	var endpoints []string
	for _, n := range s.Nodes() {
		role := "follower"
		switch {
		case leader == nil:
			role = "unknown"
		case n == leader:
			role = "leader"
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", n.Name, n.PID(), role, n.ClientURL(), n.PeerURL(), n.Data, n.Log)
		endpoints = append(endpoints, n.ClientAddress())
	}
	table.Flush()

	all := shellWord(beside(s.command, "quorumctl")) + " --endpoints " + strings.Join(endpoints, ",")
	fmt.Fprintf(s.out, "\nTry in another terminal:\n")
	fmt.Fprintf(s.out, "  %s put greeting hello\n", all)
	fmt.Fprintf(s.out, "  %s get greeting\n", all)
	fmt.Fprintf(s.out, "  %s endpoint status -w table\n", all)
	if leader != nil {
		fmt.Fprintf(s.out, "  kill -9 %d    # the leader, %s: the others elect a new one, and the data is still there\n",
			leader.PID(), leader.Name)
	}
	if s.token != "" {
		// Not as a flag: other users of the machine see those.
		fmt.Fprintf(s.out, "  QUORUMCTL_DRILLS_TOKEN=%s %s drill split-brain\n", s.token, all)
	}
	fmt.Fprintf(s.out, "\nCtrl-C stops all nodes. The same command goes on with the same data.\n")
}

// beside is how to call a program that lies in the folder of the one called as command, if it does.
func beside(command, name string) string {
	if !strings.ContainsRune(command, filepath.Separator) {
		return name // found on the path, and so is its neighbour
	}
	path := filepath.Join(filepath.Dir(command), name)
	if _, err := os.Stat(path); err != nil {
		return name
	}
	return path
}

// reportDeath says which node ended and how, what that means, and how to start it again.
func (s *supervisor) reportDeath(e local.Exit, alive int) {
	n := e.Node
	fmt.Fprintf(s.out, "\n%s (pid %d) has ended: %s\n", n.Name, e.PID, e.Reason)
	fmt.Fprintf(s.out, "  last lines of %s:\n", n.Log)
	for _, line := range e.LastLines {
		fmt.Fprintf(s.out, "    %s\n", line)
	}
	meaning := "no majority: writes wait until a node is back"
	if alive > len(s.Nodes())/2 {
		meaning = "still a majority: the cluster goes on serving"
	}
	fmt.Fprintf(s.out, "  %d of %d nodes run, %s.\n", alive, len(s.Nodes()), meaning)
	fmt.Fprintf(s.out, "  Start it again in another terminal, where Ctrl-C stops it: %s --config-file %s\n",
		shellWord(s.command), shellWord(n.Config))
}

// shellWord quotes a path for a shell where it needs it.
func shellWord(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(plainRunes, r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

const plainRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-"
