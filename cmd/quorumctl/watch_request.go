package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// watchWords are the arguments of a watch without its flags.
type watchWords struct {
	keys      []string
	separator bool // there is a --
	command   []string
}

// watchEnviron are the arguments that the environment gives instead.
type watchEnviron struct{ key, rangeEnd string }

// watchRequest is what to watch, and the command to run for each change.
type watchRequest struct {
	key     string
	opts    []clientv3.OpOption
	command []string
}

func (a *app) watchEnviron() (watchEnviron, error) {
	env := watchEnviron{a.variable("WATCH_KEY"), a.variable("WATCH_RANGE_END")}
	if env.key == "" && env.rangeEnd != "" {
		return env, failf(exitBadArgs, "ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END=%q", env.rangeEnd)
	}
	return env, nil
}

const watchHint = "for example: quorumctl watch greeting; with a command: quorumctl watch greeting -- echo changed"

// request checks flags and words and makes the request of them. errRangeAndPrefix is the one error after which an
// interactive session goes on.
func (f *watchFlags) request(words watchWords, env watchEnviron) (watchRequest, error) {
	var r watchRequest
	if words.separator && len(words.command) == 0 {
		return r, failf(exitBadArgs, "bad number of arguments (found separator --, but no commands)").hint(watchHint)
	}
	keys := words.keys
	if env.key != "" {
		if len(keys) > 0 {
			return r, failf(exitBadArgs, "bad number of arguments (found conflicting environment key)").
				hint("the environment says to watch %q; leave out %q, or unset the variable", env.key, keys[0])
		}
		keys = []string{env.key}
		if env.rangeEnd != "" {
			keys = append(keys, env.rangeEnd)
		}
	}
	if len(keys) == 0 {
		return r, failf(exitBadArgs, "bad number of arguments").hint(watchHint)
	}
	r.key, r.command = keys[0], words.command
	r.opts = []clientv3.OpOption{clientv3.WithRev(f.rev)}
	if len(keys) == 2 {
		if f.prefix {
			return r, failf(exitBadArgs, "%w", errRangeAndPrefix).
				hint("leave out %q: --prefix already says where the range ends", keys[1])
		}
		r.opts = append(r.opts, clientv3.WithRange(keys[1]))
	}
	if f.prefix {
		r.opts = append(r.opts, clientv3.WithPrefix())
	}
	if f.prevKV {
		r.opts = append(r.opts, clientv3.WithPrevKV())
	}
	if f.progressNotify {
		r.opts = append(r.opts, clientv3.WithProgressNotify())
	}
	return r, nil
}

var errRangeAndPrefix = errors.New("`range_end` and `--prefix` are mutually exclusive")

// interact reads requests line by line and follows each beside the others. It ends with an error, at the end of the
// input at the latest. A read from standard input cannot be called off: the goroutine that does it is left behind.
func (w *watcher) interact(stdin io.Reader, env watchEnviron) error {
	lines := make(chan string)
	failed := make(chan error, 1) // the first failure, of the reader or of a watch; further ones are dropped
	go func() {
		input := bufio.NewReader(stdin)
		for {
			line, err := input.ReadString('\n')
			if err != nil {
				err = failf(exitInvalidInput, "error reading watch request line: %w", err).
					hint("the watches last as long as standard input does")
				offer(failed, err)
				return
			}
			select {
			case lines <- strings.TrimSuffix(line, "\n"):
			case <-w.ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case err := <-failed:
			return err
		case line := <-lines:
			if err := w.command(line, env, failed); err != nil {
				return err
			}
		}
	}
}

// command executes one line. A line that is none of ours is pointed out and passed over, as etcdctl does it.
func (w *watcher) command(line string, env watchEnviron, failed chan<- error) error {
	args, err := splitWords(line)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 0:
		w.complain("Invalid command: %s (watch and progress supported)", line)
	case args[0] == "watch" && len(args) == 1 && env.key == "":
		w.complain("Invalid command %s (command type or key is not provided)", line)
	case args[0] == "watch":
		request, err := parseWatchLine(args[1:], env)
		if errors.Is(err, errRangeAndPrefix) {
			w.complain("Invalid command %s (%v)", line, err)
		} else if err != nil {
			return err
		} else {
			responses := w.open(request) // before the next line is read: it may ask for progress
			go func() {
				if _, err := w.follow(request, responses); err != nil {
					offer(failed, err)
				}
			}()
		}
	case args[0] == "progress":
		if err := w.session.RequestProgress(w.ctx); err != nil {
			return w.session.explain(err)
		}
	default:
		w.complain("Invalid command %s (only support watch)", line)
	}
	return nil
}

// offer keeps err unless there is one already.
func offer(failed chan<- error, err error) {
	select {
	case failed <- err:
	default:
	}
}

func (w *watcher) complain(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	fmt.Fprintf(w.app.stderr, format+"\n", args...)
}

func parseWatchLine(args []string, env watchEnviron) (watchRequest, error) {
	var f watchFlags
	fs := pflag.NewFlagSet("watch", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	f.register(fs)
	if err := fs.Parse(args); err != nil {
		// Not wrapped: cobra would answer pflag.ErrHelp with a page of help.
		return watchRequest{}, failf(exitBadArgs, "%v", err).hint("`quorumctl watch --help` explains the flags")
	}
	words := watchWords{keys: fs.Args()}
	if dash := fs.ArgsLenAtDash(); dash >= 0 {
		words = watchWords{keys: fs.Args()[:dash], separator: true, command: fs.Args()[dash:]}
	}
	return f.request(words, env)
}
