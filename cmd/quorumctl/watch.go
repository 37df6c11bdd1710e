package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

const watchHelp = `Print every change of a key or a range of keys as it happens.

With a range end, the keys from <key> up to but not including <range_end> are watched. QUORUMCTL_WATCH_KEY and
QUORUMCTL_WATCH_RANGE_END (or ETCDCTL_...) take the place of the two arguments.

A command after -- is run for each change, one after another, with
  ETCD_WATCH_REVISION     the revision of the store
  ETCD_WATCH_EVENT_TYPE   "PUT" or "DELETE"
  ETCD_WATCH_KEY          the key
  ETCD_WATCH_VALUE        the value
in its environment, the last three in double quotes with Go's escapes. If the command fails, so does the watch.

With -i, standard input is read for lines "watch [options] <key> [range_end] [-- command]", each of which adds a watch,
and "progress", which makes the servers say up to which revision the watches are complete.`

// watchFlags are the flags of watch, on the command line and on a line of interactive input.
type watchFlags struct {
	prefix         bool
	rev            int64
	prevKV         bool
	progressNotify bool
	interactive    bool // means nothing on a line of interactive input
}

func (f *watchFlags) register(fs *pflag.FlagSet) {
	fs.BoolVar(&f.prefix, "prefix", false, "watch all keys that begin with <key>")
	fs.Int64Var(&f.rev, "rev", 0, "start with the changes of this revision, which may be in the past (0: from now on)")
	fs.BoolVar(&f.prevKV, "prev-kv", false, "also print the key and value before the change")
	fs.BoolVar(&f.progressNotify, "progress-notify", false,
		"also print now and then up to which revision the watch is complete")
	fs.BoolVarP(&f.interactive, "interactive", "i", false, "read what to watch from standard input")
}

func (a *app) newWatch() *cobra.Command {
	var f watchFlags
	cmd := &cobra.Command{
		Use:   "watch [options] [key] [range_end] [-- command [argument...]]",
		Short: "Print changes of keys as they happen",
		Long:  watchHelp,
		Example: `  quorumctl watch greeting
  quorumctl watch users/ --prefix --prev-kv
  quorumctl watch a m --rev 42 -w json
  quorumctl watch config -- sh -c 'echo "$ETCD_WATCH_EVENT_TYPE of $ETCD_WATCH_KEY"'
  quorumctl watch -i <<'EOF'
  watch greeting
  watch users/ --prefix --rev 42
  progress
  EOF`,
		GroupID:           groupKV,
		ValidArgsFunction: completeProgram,
	}
	f.register(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		env, err := a.watchEnviron()
		if err != nil {
			return err
		}
		if f.interactive {
			w, err := a.newWatcher(cmd)
			if err != nil {
				return err
			}
			defer w.close()
			return w.interact(a.stdin, env)
		}
		words := watchWords{keys: args}
		if dash := cmd.ArgsLenAtDash(); dash >= 0 {
			words = watchWords{keys: args[:dash], separator: true, command: args[dash:]}
		}
		request, err := f.request(words, env)
		if err != nil {
			return err
		}
		w, err := a.newWatcher(cmd)
		if err != nil {
			return err
		}
		defer w.close()
		if len(words.keys) > 2 {
			a.warnf("watch takes a key and a range end; with more arguments only %q is watched. A command needs -- before it",
				request.key)
		}
		last, err := w.follow(request, w.open(request))
		if err != nil {
			return err
		}
		return w.ended(last)
	}
	return cmd
}

// watcher prints what the watches of one client deliver.
type watcher struct {
	app     *app
	session *session
	ctx     context.Context // of all watches; ends with the watcher
	cancel  context.CancelFunc

	mu      sync.Mutex   // held by whoever uses the app's standard output or error while watches are followed
	printer output.Watch // under mu
	closed  bool         // under mu; nothing is printed any more
}

func (a *app) newWatcher(cmd *cobra.Command) (*watcher, error) {
	printer, s, err := connect(a, cmd, output.NewWatch)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(context.Background()))
	return &watcher{app: a, session: s, printer: printer, ctx: ctx, cancel: cancel}, nil
}

// close leaves the app's output to others, though watches may still be followed for a moment.
func (w *watcher) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.session.Close()
}

// open returns when the server knows of the watch.
func (w *watcher) open(r watchRequest) clientv3.WatchChan {
	return w.session.Watch(w.ctx, r.key, r.opts...)
}

// follow prints a watch until the server ends it, and returns the server's last response; or, when it cannot go on, why.
func (w *watcher) follow(r watchRequest, responses clientv3.WatchChan) (last clientv3.WatchResponse, err error) {
	for last = range responses {
		if err := w.print(&last); err != nil {
			return last, err
		}
		for _, ev := range last.Events {
			if err := w.execute(r.command, last.Header.GetRevision(), ev); err != nil {
				return last, err
			}
		}
	}
	return last, nil
}

// ended explains why the server ended a watch.
func (w *watcher) ended(last clientv3.WatchResponse) *failure {
	f := failf(exitInterrupted, "watch is canceled by the server")
	switch err := last.Err(); {
	case last.CompactRevision != 0:
		f.hint("older changes have been removed: start with --rev %d or later", last.CompactRevision)
	case strings.Contains(last.CancelReason, "range is empty"):
		f.hint("no key can match: the range end must sort after the key, byte by byte")
	case err != nil:
		f.hints = hints(err, w.session.reach())
	}
	return f
}

func (w *watcher) print(response *clientv3.WatchResponse) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	if response.Canceled {
		fmt.Fprintf(w.app.stderr, "watch was canceled (%v)\n", response.Err())
	}
	if response.IsProgressNotify() {
		fmt.Fprintf(w.app.stdout, "progress notify: %d\n", response.Header.GetRevision())
	}
	if err := w.printer.Watch(response); err != nil {
		return err
	}
	return w.app.stdout.Flush()
}

// execute runs the command of a watch, if it has one, for one change.
func (w *watcher) execute(command []string, revision int64, ev *clientv3.Event) error {
	if len(command) == 0 {
		return nil
	}
	cmd := w.app.program(command,
		fmt.Sprintf("ETCD_WATCH_REVISION=%d", revision),
		fmt.Sprintf("ETCD_WATCH_EVENT_TYPE=%q", ev.GetType()),
		fmt.Sprintf("ETCD_WATCH_KEY=%q", ev.GetKv().GetKey()),
		fmt.Sprintf("ETCD_WATCH_VALUE=%q", ev.GetKv().GetValue()))
	if err := cmd.Run(); err != nil {
		w.complain("command %q error (%v)", command, err)
		return &failure{code: exitError}
	}
	return nil
}

// completeProgram offers the names of files for a command after --, and nothing for keys.
func completeProgram(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	if cmd.ArgsLenAtDash() >= 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}
