package raftnode

import (
	"fmt"

	"github.com/hashicorp/go-hclog"
)

// raftLogger passes raft's own messages on, one level down: what an operator should hear of, the node says itself.
type raftLogger struct{ hclog.Logger }

func (l raftLogger) Debug(v ...any)              { l.Logger.Trace(fmt.Sprint(v...)) }
func (l raftLogger) Debugf(f string, v ...any)   { l.debugf(f, v) }
func (l raftLogger) Info(v ...any)               { l.Logger.Debug(fmt.Sprint(v...)) }
func (l raftLogger) Infof(f string, v ...any)    { l.infof(f, v) }
func (l raftLogger) Warning(v ...any)            { l.Logger.Info(fmt.Sprint(v...)) }
func (l raftLogger) Warningf(f string, v ...any) { l.Logger.Info(fmt.Sprintf(f, v...)) }
func (l raftLogger) Error(v ...any)              { l.Logger.Warn(fmt.Sprint(v...)) }
func (l raftLogger) Errorf(f string, v ...any)   { l.Logger.Warn(fmt.Sprintf(f, v...)) }
func (l raftLogger) Fatal(v ...any)              { panic(fmt.Sprint(v...)) }
func (l raftLogger) Fatalf(f string, v ...any)   { panic(fmt.Sprintf(f, v...)) }
func (l raftLogger) Panic(v ...any)              { panic(fmt.Sprint(v...)) }
func (l raftLogger) Panicf(f string, v ...any)   { panic(fmt.Sprintf(f, v...)) }

// debugf and infof format only what will be seen.
func (l raftLogger) debugf(f string, v []any) {
	if l.IsTrace() {
		l.Logger.Trace(fmt.Sprintf(f, v...))
	}
}

func (l raftLogger) infof(f string, v []any) {
	if l.IsDebug() {
		l.Logger.Debug(fmt.Sprintf(f, v...))
	}
}
