package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorumkv/quorumkv/cmd/quorumctl/output"
)

func (a *app) newCheck() *cobra.Command {
	cmd := parent(&cobra.Command{
		Use:   "check",
		Short: "Check what a cluster can bear, or the files of a member",
		Long: "Check what a cluster can bear, by writing keys that are deleted again; or look for damage in the files of a " +
			"member\nthat does not run: `quorumctl check DIR` is `quorumctl check files DIR`, if DIR is a folder.",
		Example: `  quorumctl check perf
  quorumctl check n1.quorumkv`,
		GroupID: groupUtility,
	}, a.newCheckPerf(), a.newCheckDatascale(), a.newCheckFiles(), a.newCheckBbolt())
	orUnknown := cmd.RunE
	inFolder := offline(func(cmd *cobra.Command, args []string) error { return a.checkFiles(cmd, args[0]) })
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 && isFolder(args[0]) {
			return inFolder(cmd, args)
		}
		return orUnknown(cmd, args)
	}
	return cmd
}

// checkFlags are the flags of both checks.
type checkFlags struct {
	load        string
	prefix      string
	autoCompact bool
	autoDefrag  bool
}

func (f *checkFlags) register(fs *pflag.FlagSet, prefix, loads string) {
	fs.StringVar(&f.load, "load", "s", loads)
	fs.StringVar(&f.prefix, "prefix", prefix, "write keys that begin with this; there must be none")
	fs.BoolVar(&f.autoCompact, "auto-compact", false, "drop the history of all keys afterwards")
	fs.BoolVar(&f.autoDefrag, "auto-defrag", false,
		"have every server of --endpoints return free space to its disk afterwards")
}

// loadNames maps the values of --load to the short one.
var loadNames = map[string]string{
	"s": "s", "small": "s", "m": "m", "medium": "m", "l": "l", "large": "l", "xl": "xl", "xLarge": "xl",
}

// loadValues are what a shell offers for --load.
var loadValues = []string{"small", "medium", "large", "xLarge"}

func (f *checkFlags) loadName() (string, error) {
	name, ok := loadNames[f.load]
	if !ok {
		return "", badValue("unknown load option "+f.load, "load", f.load, "s, m, l, xl (or small, medium, large, xLarge)")
	}
	return name, nil
}

// check is one run: the clients that write, and what is to be cleaned up after them.
type check struct {
	app     *app
	flags   checkFlags
	clients []*session
	stop    *stopSignal
}

// openCheck makes so many clients, each with a connection of its own, and makes sure that no key is in the way. inTheWay
// is the error for that, with the prefix twice.
func (a *app) openCheck(cmd *cobra.Command, f checkFlags, clients int, inTheWay string) (*check, error) {
	_, s, err := prepare(a, cmd, output.NewText)
	if err != nil {
		return nil, err
	}
	c := &check{app: a, flags: f, stop: a.untilSignal()}
	for range clients {
		client, failed := s.open(s.spec.Endpoints)
		if failed != nil {
			c.close()
			return nil, failed
		}
		c.clients = append(c.clients, client)
	}
	if err := c.expectNoKeys(inTheWay); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *check) expectNoKeys(inTheWay string) error {
	ctx, cancel := c.clients[0].context()
	defer cancel()
	r, err := c.clients[0].Get(ctx, c.flags.prefix, clientv3.WithPrefix(), clientv3.WithLimit(1))
	if err != nil {
		return c.clients[0].explain(err)
	}
	if len(r.Kvs) > 0 {
		return failf(exitInvalidInput, inTheWay, c.flags.prefix, c.flags.prefix)
	}
	return nil
}

func (c *check) close() {
	c.stop.release()
	for _, client := range c.clients {
		client.Close()
	}
}

// write lets all clients write values of the given size under keys of the given size, one per token, until tokens is
// closed. It calls written after each.
func (c *check) write(keySize, valueSize int, tokens <-chan struct{}, written func()) *samples {
	s := newSamples()
	value := string(make([]byte, valueSize))
	var writers sync.WaitGroup
	for _, client := range c.clients {
		writers.Go(func() {
			key := make([]byte, keySize)
			for range tokens {
				rand.Read(key[:8])
				ctx, cancel := client.context()
				start := time.Now()
				_, err := client.Put(ctx, c.flags.prefix+string(key), value)
				s.add(time.Since(start), err)
				cancel()
				written()
			}
		})
	}
	writers.Wait()
	s.finish()
	return s
}

// cleanupTimeout bounds each request that cleans up: all of the keys go at once.
const cleanupTimeout = 30 * time.Second

// remove deletes the keys of the check and returns the revision of that.
func (c *check) remove() (int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	r, err := c.clients[0].Delete(ctx, c.flags.prefix, clientv3.WithPrefix())
	if err != nil {
		return 0, c.clients[0].explain(err)
	}
	return r.Header.Revision, nil
}

// tidy compacts and defragments, if the flags say so.
func (c *check) tidy(revision int64) error {
	if c.flags.autoCompact && revision > 0 {
		if err := c.compact(revision); err != nil {
			return err
		}
	}
	if c.flags.autoDefrag {
		for _, endpoint := range c.clients[0].Endpoints() {
			if err := c.defragment(endpoint); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *check) compact(revision int64) error {
	c.printf("Compacting with revision %d\n", revision)
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	if _, err := c.clients[0].Compact(ctx, revision, clientv3.WithCompactPhysical()); err != nil {
		return c.clients[0].explain(err)
	}
	c.printf("Compacted with revision %d\n", revision)
	return nil
}

// defragment passes over a server that does not know how.
func (c *check) defragment(endpoint string) error {
	c.printf("Defragmenting %q\n", endpoint)
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	_, err := c.clients[0].Defragment(ctx, endpoint)
	switch {
	case status.Code(err) == codes.Unimplemented:
		c.app.warnf("%s does not offer to be defragmented", endpoint)
		return nil
	case err != nil:
		return c.clients[0].explain(err)
	}
	c.printf("Defragmented %q\n", endpoint)
	return nil
}

// printf prints at once: a check takes long, and somebody may be waiting.
func (c *check) printf(format string, args ...any) {
	fmt.Fprintf(c.app.stdout, format, args...)
	c.app.stdout.Flush()
}

// printErrors reports the requests that failed, and whether there were any.
func (c *check) printErrors(s *samples) bool {
	if len(s.errors) == 0 {
		return false
	}
	c.printf("FAIL: too many errors\n")
	for _, text := range slices.Sorted(maps.Keys(s.errors)) {
		c.printf("FAIL: ERROR(%v) -> %d\n", text, s.errors[text])
	}
	return true
}

// interrupted is how a check ends that a signal stopped, after it has tried to clean up.
func interrupted(clean bool) error {
	f := failf(exitInterrupted, "interrupted")
	if clean {
		return f.hint("nothing can be said about the cluster; the keys of the check are deleted")
	}
	return f.hint("nothing can be said about the cluster; the keys of the check are still there")
}
