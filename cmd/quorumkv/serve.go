package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/quorumkv/quorumkv/internal/heapbound"
	"github.com/quorumkv/quorumkv/server"
	"github.com/spf13/pflag"
)

// member is what this command needs of a server that has been opened.
type member interface {
	// Run serves until ctx is cancelled, which is not an error, or the member cannot go on.
	Run(ctx context.Context) error
	// Ready is closed once clients are answered.
	Ready() <-chan struct{}
	// Close releases files and ports once Run has returned.
	Close() error
}

// signalGrace is how long after a signal further ones count as the same request: timeout(1) and others send a signal to
// the process and again to its group.
const signalGrace = time.Second

// readyMessage is what scripts and test frameworks wait for.
const readyMessage = "ready to serve client requests"

// Waits are sampled for the profiles: one for each second of a goroutine's waiting, and one of a hundred of those for locks.
const (
	blockSampling = time.Second
	mutexSampling = 100
)

func runServer(flags *pflag.FlagSet, environ []string) error {
	cfg, warnings, err := load(flags, environ)
	if err != nil {
		return usageError{err}
	}
	logs, err := openLogs(cfg)
	if err != nil {
		return err
	}
	defer logs.Close()
	logs.takeGRPC()
	for _, w := range warnings {
		logs.Warn(w)
	}
	loaded := heapbound.Set()
	if cfg.EnablePprof {
		runtime.SetBlockProfileRate(int(blockSampling))
		runtime.SetMutexProfileFraction(mutexSampling)
	}
	ctx, restore := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer restore()
	// The first signal starts an orderly stop. Once the grace has passed, another one ends the process at once.
	context.AfterFunc(ctx, func() { time.AfterFunc(signalGrace, restore) })

	open := func(cfg server.Config, logger hclog.Logger) (member, error) {
		defer loaded()
		return openServer(cfg, logger)
	}
	if err := serve(ctx, cfg, logs, open); err != nil {
		err = explain(err, cfg)
		if !logs.stderr {
			logs.Error("stopped by a failure", "error", err)
		}
		return err
	}
	logs.Info("stopped")
	return nil
}

// serve carries one member through its life: open, run, tell when it is ready, close.
func serve(ctx context.Context, cfg server.Config, logger hclog.Logger,
	open func(server.Config, hclog.Logger) (member, error)) error {
	logger.Info("starting", "version", version, "name", cfg.Name, "data-dir", cfg.DataDir)
	m, err := open(cfg, logger)
	if err != nil {
		return err
	}
	ended := make(chan error, 1) // Run's answer, sent once by the goroutine below
	go func() { ended <- m.Run(ctx) }()
	// A channel that has told its news is set to nil, which never answers again.
	for ready, stopping, running := m.Ready(), ctx.Done(), true; running; {
		select {
		case <-ready:
			logger.Info(readyMessage, "name", cfg.Name, "client-urls", urlsValue{&cfg.AdvertiseClientURLs}.String())
			ready = nil
		case <-stopping:
			logger.Info("stopping", "reason", context.Cause(ctx))
			stopping = nil
		case err = <-ended:
			running = false
		}
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	if closeErr := m.Close(); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("close: %w", closeErr))
	}
	return err
}
