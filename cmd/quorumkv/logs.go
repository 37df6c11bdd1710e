package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/quorumkv/quorumkv/server"
	"google.golang.org/grpc/grpclog"
)

// logs is the process's logger and what it writes to.
type logs struct {
	hclog.Logger
	files  []*os.File
	stderr bool // stderr is among the outputs
}

func openLogs(cfg server.Config) (*logs, error) {
	l := &logs{}
	var outputs []io.Writer
	for _, name := range cfg.LogOutputs {
		switch name {
		case "stderr", "default":
			if !l.stderr {
				outputs = append(outputs, os.Stderr)
			}
			l.stderr = true
		case "stdout":
			outputs = append(outputs, os.Stdout)
		default:
			f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("open log-outputs: %w", err), l.Close())
			}
			l.files = append(l.files, f)
			outputs = append(outputs, f)
		}
	}
	l.Logger = hclog.New(&hclog.LoggerOptions{
		Name:       "quorumkv",
		Level:      hclog.LevelFromString(cfg.LogLevel),
		Output:     io.MultiWriter(outputs...),
		JSONFormat: cfg.LogFormat == server.LogFormatJSON,
	})
	return l, nil
}

// takeGRPC takes over what gRPC and the JSON gateway would write to stderr. Their errors are those of single clients, who
// hear of them: nobody else needs to.
func (l *logs) takeGRPC() {
	errors := l.Named("grpc").StandardWriter(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug})
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, errors))
}

func (l *logs) Close() error {
	var err error
	for _, f := range l.files {
		err = errors.Join(err, f.Close())
	}
	return err
}
