package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"
)

// perfLoad is how many writes a second a cluster must bear, and from how many clients.
type perfLoad struct{ rate, clients int }

// perfLoads are etcdctl's, whose results people compare with.
var perfLoads = map[string]perfLoad{"s": {150, 50}, "m": {1000, 200}, "l": {8000, 500}, "xl": {15000, 1000}}

// perfDuration is how long the load lasts; tests have less time.
var perfDuration = time.Minute

// What a cluster must do to pass.
const (
	perfShare     = 0.9 // of the load's rate
	perfSlowest   = 0.5 // seconds, the slowest request
	perfDeviation = 0.1 // seconds, the standard deviation
)

func (a *app) newCheckPerf() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "perf [options]",
		Short: "Check that a cluster is fast enough",
		Long: "Write small values for a minute, and check that the cluster keeps up: that it executes at least 90% of the " +
			"writes\nof the load, none in more than half a second. The keys are deleted again.",
		Example: `  quorumctl check perf
  quorumctl check perf --load m --auto-compact`,
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f.register(cmd.Flags(), "/etcdctl-check-perf/",
		"s, m, l or xl: 150, 1000, 8000 or 15000 writes a second from 50, 200, 500 or 1000 clients")
	completeFlag(cmd, "load", loadValues...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		name, err := f.loadName()
		if err != nil {
			return err
		}
		load := perfLoads[name]
		c, err := a.openCheck(cmd, f, load.clients, "prefix %q has keys. Delete with 'quorumctl del --prefix %s' first")
		if err != nil {
			return err
		}
		defer c.close()
		return c.perf(load)
	}
	return cmd
}

func (c *check) perf(load perfLoad) error {
	const keySize, valueSize = 256, 1024
	ctx, cancel := context.WithTimeout(c.stop.ctx, perfDuration)
	defer cancel()
	tokens := make(chan struct{}, load.clients)
	go c.pace(ctx, load.rate, tokens) // ends with the context; write waits for it
	s := c.write(keySize, valueSize, tokens, func() {})
	revision, err := c.remove()
	if err != nil {
		c.printf("FAIL: Cleanup failed during key deletion: ERROR(%v)\n", err)
	}
	if c.stop.ctx.Err() != nil {
		return interrupted(err == nil)
	}
	if err := c.tidy(revision); err != nil {
		return err
	}
	if c.judge(s, load.rate) {
		c.printf("PASS\n")
		return nil
	}
	c.printf("FAIL\n")
	return &failure{code: exitError}
}

// pace hands out tokens at a rate until ctx ends, and closes them. Time in which nobody takes one is lost, but for the
// hundredth of a second that a timer may be late.
func (c *check) pace(ctx context.Context, perSecond int, tokens chan<- struct{}) {
	defer close(tokens)
	bar := c.app.progress("seconds", int64(perfDuration.Seconds()))
	defer bar.Finish()
	start := time.Now()
	limit := rate.NewLimiter(rate.Limit(perSecond), max(1, perSecond/100))
	for limit.Wait(ctx) == nil {
		select {
		case tokens <- struct{}{}:
		case <-ctx.Done():
		}
		bar.SetCurrent(int64(time.Since(start).Seconds()))
	}
	bar.SetCurrent(int64(time.Since(start).Round(time.Second).Seconds()))
}

// judge prints the result, point by point, and says whether the cluster has passed.
func (c *check) judge(s *samples, perSecond int) bool {
	ok := !c.printErrors(s)
	point := func(passed bool, good, bad string, value any) {
		if !passed {
			ok, good = false, bad
		}
		c.printf(good+"\n", value)
	}
	point(s.rate()/float64(perSecond) > perfShare,
		"PASS: Throughput is %d writes/s", "FAIL: Throughput too low: %d writes/s", int(s.rate())+1)
	point(s.slowest() <= perfSlowest,
		"PASS: Slowest request took %fs", "Slowest request took too long: %fs", s.slowest())
	point(s.deviation() <= perfDeviation,
		"PASS: Stddev is %fs", "Stddev too high: %fs", s.deviation())
	return ok
}
