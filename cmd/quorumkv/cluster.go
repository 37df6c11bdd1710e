package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorumkv/quorumkv/internal/local"
)

func newCluster() *cobra.Command {
	want := layout{Nodes: 3, Port: 2379}
	dir, drills := "cluster.quorumkv", false
	cmd := &cobra.Command{
		Use:   "cluster [flags]",
		Short: "Start a local cluster of 3 or 5 nodes, to try things out",
		Long: `cluster starts 3 or 5 quorumkv processes on 127.0.0.1, waits until all are healthy, and says where they are and
what to try. Node i serves clients on PORT+10000*(i-1) and its peers one port above. Ctrl-C stops all nodes in order.
Started again with the same folder, the cluster goes on with its data.`,
		Example: `  # three nodes on ports 2379, 12379 and 22379
  quorumkv cluster

  # five nodes on ports 3000, 13000, 23000, 33000 and 43000
  quorumkv cluster --nodes 5 --port 3000 --data-dir five

  # a cluster that quorumctl drill may cut in two
  quorumkv cluster --enable-drills`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("cluster takes flags only, not %q", args[0])}
			}
			if err := want.validate(); err != nil {
				return usageError{err}
			}
			flags := cmd.Flags()
			token := ""
			if drills {
				token = rand.Text()
			}
			return runCluster(dir, want, flags.Changed("nodes"), flags.Changed("port"), token, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVar(&want.Nodes, "nodes", want.Nodes, "number of nodes: 3 or 5")
	flags.StringVar(&dir, "data-dir", dir, "folder of the nodes' data, logs and configuration files")
	flags.IntVar(&want.Port, "port", want.Port, "port on which the first node serves clients")
	flags.BoolVar(&drills, "enable-drills", drills, "let quorumctl drill do harm to the nodes, with a token that is printed")
	if err := cmd.MarkFlagDirname("data-dir"); err != nil {
		panic(err)
	}
	return cmd
}

// runCluster runs until it is told to stop. Drills are admitted when there is a token for them.
func runCluster(dir string, want layout, nodesGiven, portGiven bool, token string, out io.Writer) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find --data-dir: %w", err)
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's file: %w", err)
	}
	l, err := chooseLayout(dir, want, nodesGiven, portGiven)
	if err != nil {
		return err
	}
	nodes := l.nodes(drillSettings(token))
	err = local.CheckPorts(nodes)
	if errors.Is(err, local.ErrPortTaken) {
		return fmt.Errorf("%w: stop the process that has it, or choose another --port", err)
	}
	if err != nil {
		return err
	}
	exits := make(chan local.Exit, len(nodes))
	cluster, err := local.New(local.Config{
		Dir: dir, Server: binary, Writer: "quorumkv cluster", Nodes: nodes,
		Died: func(e local.Exit) { exits <- e },
	})
	if err != nil {
		return err
	}
	if err := writeFolder(dir, l, cluster); err != nil {
		return errors.Join(err, cluster.Close())
	}
	stop, hurry, restore := stopSignals()
	defer restore()
	s := &supervisor{
		Cluster: cluster, exits: exits, command: os.Args[0], token: token, out: out,
		healthLimit: 2 * time.Minute, stopLimit: 10 * time.Second,
	}
	return errors.Join(s.run(stop, hurry), cluster.Close())
}

// drillSettings are what admits drills with a token; none without one.
func drillSettings(token string) map[string]string {
	if token == "" {
		return nil
	}
	return map[string]string{"enable-drills": "true", "drills-token": token}
}

// stopSignals returns a context that ends at the first Ctrl-C (or SIGTERM, or SIGHUP unless nohup had it ignored) and one
// that ends at the next, provided that signalGrace lies between.
func stopSignals() (stop, hurry context.Context, restore func()) {
	stop, cancelStop := context.WithCancel(context.Background())
	hurry, cancelHurry := context.WithCancel(context.Background())
	kinds := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		kinds = append(kinds, syscall.SIGHUP)
	}
	signals := make(chan os.Signal, 2) // the runtime sends; room for the two that count
	signal.Notify(signals, kinds...)
	go func() {
		var first time.Time
		for range signals {
			switch {
			case first.IsZero():
				first = time.Now()
				cancelStop()
			case time.Since(first) >= signalGrace:
				cancelHurry()
			}
		}
	}()
	return stop, hurry, func() {
		signal.Stop(signals)
		close(signals)
		cancelStop()
		cancelHurry()
	}
}
