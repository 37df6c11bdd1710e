package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// introduce prints where the nodes are and what to try.
func (c *localCluster) introduce(ctx context.Context) {
	leader := c.leader(ctx)
	fmt.Fprintln(c.out)
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tPID\tROLE\tCLIENTS\tPEERS\tDATA\tLOG")
	var endpoints []string
	for _, n := range c.nodes {
		role := "follower"
		switch {
		case leader == nil:
			role = "unknown"
		case n == leader:
			role = "leader"
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", n.name, n.pid(), role, n.clientURL(), n.peerURL(), n.data, n.log)
		endpoints = append(endpoints, strings.TrimPrefix(n.clientURL(), "http://"))
	}
	table.Flush()

	all := shellWord(beside(c.command, "quorumctl")) + " --endpoints " + strings.Join(endpoints, ",")
	fmt.Fprintf(c.out, "\nTry in another terminal:\n")
	fmt.Fprintf(c.out, "  %s put greeting hello\n", all)
	fmt.Fprintf(c.out, "  %s get greeting\n", all)
	fmt.Fprintf(c.out, "  %s endpoint status -w table\n", all)
	if leader != nil {
		fmt.Fprintf(c.out, "  kill -9 %d    # the leader, %s: the others elect a new one, and the data is still there\n",
			leader.pid(), leader.name)
	}
	fmt.Fprintf(c.out, "\nCtrl-C stops all nodes. The same command goes on with the same data.\n")
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
func (c *localCluster) reportDeath(n *node, alive int) {
	fmt.Fprintf(c.out, "\n%s (pid %d) has ended: %s\n", n.name, n.pid(), n.exitReason())
	fmt.Fprintf(c.out, "  last lines of %s:\n", n.log)
	for _, line := range n.lastLines(5) {
		fmt.Fprintf(c.out, "    %s\n", line)
	}
	meaning := "no majority: writes wait until a node is back"
	if alive > len(c.nodes)/2 {
		meaning = "still a majority: the cluster goes on serving"
	}
	fmt.Fprintf(c.out, "  %d of %d nodes run, %s.\n", alive, len(c.nodes), meaning)
	fmt.Fprintf(c.out, "  Start it again in another terminal, where Ctrl-C stops it: %s --config-file %s\n",
		shellWord(c.command), shellWord(n.config))
}

// shellWord quotes a path for a shell where it needs it.
func shellWord(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(plainRunes, r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

const plainRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-"
