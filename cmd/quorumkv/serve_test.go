package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/go-hclog"
	"github.com/quorumkv/quorumkv/server"
)

// fakeMember becomes ready and ends when the test says so.
type fakeMember struct {
	ready  chan struct{}
	fail   chan error // what Run returns although nobody asked it to stop
	closed error      // what Close returns
	order  []string
}

func (m *fakeMember) Ready() <-chan struct{} { return m.ready }
func (m *fakeMember) Close() error           { m.order = append(m.order, "close"); return m.closed }
func (m *fakeMember) Run(ctx context.Context) error {
	defer func() { m.order = append(m.order, "run") }()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-m.fail:
		return err
	}
}

func TestServe(t *testing.T) {
	broken := errors.New("fsync failed")
	for _, c := range []struct {
		name   string
		script func(m *fakeMember, stop func())
		open   error
		closed error
		want   string
		logged string // words of the log's messages, in order
	}{
		{name: "ready, stopped", script: func(m *fakeMember, stop func()) { close(m.ready); synctest.Wait(); stop() },
			logged: "starting ready stopping"},
		{name: "stopped before ready", script: func(_ *fakeMember, stop func()) { stop() }, logged: "starting stopping"},
		{name: "fails before ready", script: func(m *fakeMember, _ func()) { m.fail <- broken },
			want: "fsync failed", logged: "starting"},
		{name: "fails later", script: func(m *fakeMember, _ func()) { close(m.ready); synctest.Wait(); m.fail <- broken },
			want: "fsync failed", logged: "starting ready"},
		{name: "removed from the cluster", script: func(m *fakeMember, _ func()) { m.fail <- nil }, logged: "starting"},
		{name: "does not open", open: broken, want: "fsync failed", logged: "starting"},
		{name: "does not close", script: func(_ *fakeMember, stop func()) { stop() }, closed: broken, want: "close: fsync failed",
			logged: "starting stopping"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &fakeMember{ready: make(chan struct{}), fail: make(chan error), closed: c.closed}
				var log bytes.Buffer
				ctx, stop := context.WithCancel(context.Background())
				defer stop()
				if c.script != nil {
					go c.script(m, stop)
				}
				err := serve(ctx, server.DefaultConfig(), hclog.New(&hclog.LoggerOptions{Output: &log}),
					func(server.Config, hclog.Logger) (member, error) {
						if c.open != nil {
							return nil, c.open
						}
						return m, nil
					})
				if got := errorText(err); got != c.want {
					t.Errorf("error %q, want %q", got, c.want)
				}
				if order := strings.Join(m.order, " "); c.open == nil && order != "run close" {
					t.Errorf("order of the end: %s", order)
				}
				var words []string
				for line := range strings.Lines(log.String()) {
					_, message, _ := strings.Cut(line, "]  ")
					words = append(words, strings.Trim(strings.Fields(message)[0], ":"))
				}
				if got := strings.Join(words, " "); got != c.logged {
					t.Errorf("logged %q, want %q:\n%s", got, c.logged, log.String())
				}
				if strings.Contains(c.logged, "ready") != strings.Contains(log.String(), "ready to serve client requests") {
					t.Errorf("ready line:\n%s", log.String())
				}
			})
		})
	}
}

func TestExplain(t *testing.T) {
	cfg := server.DefaultConfig()
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("listen on 127.0.0.1:2379: %w", syscall.EADDRINUSE), "listen on 127.0.0.1:2379: address already in use " +
			"(another process has this address: stop it, or choose other --listen-*-urls)"},
		{fmt.Errorf("create wal: %w", &fs.PathError{Op: "mkdir", Path: "x", Err: syscall.EROFS}),
			"create wal: mkdir x: read-only file system (--data-dir default.quorumkv must be on a disk that can be written)"},
		{errors.Join(errors.New("a"), errors.New("b")), "a; b"},
	} {
		if got := oneLine(explain(c.err, cfg)); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestLogOutputs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for range 2 {
		cfg := server.DefaultConfig()
		cfg.LogOutputs, cfg.LogLevel = []string{path}, "warn"
		l, err := openLogs(cfg)
		if err != nil {
			t.Fatal(err)
		}
		l.Info("quiet")
		l.Warn("loud")
		if err := l.Close(); err != nil || l.stderr {
			t.Fatal(err, l.stderr)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), `"@message":"loud"`) != 2 || strings.Contains(string(text), "quiet") {
		t.Errorf("want two JSON lines, appended:\n%s", text)
	}
	cfg := server.DefaultConfig()
	cfg.LogOutputs = []string{filepath.Join(path, "below-a-file")}
	if _, err := openLogs(cfg); err == nil || !strings.HasPrefix(err.Error(), "open log-outputs: ") {
		t.Errorf("error %v", err)
	}
}
