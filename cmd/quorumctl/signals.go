package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// patience is how long further signals are ignored after the first: programs such as timeout(1) send it twice. From then
// on one ends the process, whatever it is still giving back.
const patience = time.Second

// stopSignal is the wish of the user that a command end, told by SIGINT or SIGTERM.
type stopSignal struct {
	ctx    context.Context // ends with the signal
	got    os.Signal       // set before ctx ends; nil when release ended it
	cancel context.CancelFunc
	// again is closed by a signal that comes patience after the first, or later. Without it, such a signal ends the process.
	again chan struct{}

	released chan struct{} // closed by release
	watched  chan struct{} // closed when nobody waits for signals any more
}

func (a *app) untilSignal() *stopSignal { return a.watchSignals(nil) }

// untilSignals is for commands that take a second signal too, in the channel again.
func (a *app) untilSignals() *stopSignal { return a.watchSignals(make(chan struct{})) }

func (a *app) watchSignals(again chan struct{}) *stopSignal {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stopSignal{ctx: ctx, cancel: cancel, again: again, released: make(chan struct{}), watched: make(chan struct{})}
	signals := make(chan os.Signal, 1) // sent by the runtime, which drops what nobody takes
	a.notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with release
		defer close(s.watched)
		defer signal.Stop(signals)
		select {
		case s.got = <-signals:
			cancel()
		case <-s.released:
			return
		}
		select {
		case <-time.After(patience):
		case <-s.released:
		}
		if s.again == nil {
			return
		}
		select { // what came too soon
		case <-signals:
		default:
		}
		select {
		case <-signals:
			close(s.again)
		case <-s.released:
		}
	}()
	return s
}

// exitCode is that of a command that a signal has ended: what a shell says of one that died of it.
func (s *stopSignal) exitCode() int {
	code := 128
	if number, ok := s.got.(syscall.Signal); ok {
		code += int(number)
	}
	return code
}

// dieOf ends the process by a signal, as if it had not been waited for: a shell then ends its script, too.
func dieOf(s os.Signal) {
	signal.Reset(s)
	if self, err := os.FindProcess(os.Getpid()); err == nil && self.Signal(s) == nil {
		time.Sleep(patience) // it has come long before that
	}
}

// release ends ctx, if no signal did, and gives signals back their usual meaning.
func (s *stopSignal) release() {
	close(s.released)
	<-s.watched
	s.cancel()
}
