// Package concurrency needs the scheduler.
package concurrency

import "context"

type events chan int // want `channel type`

type queue struct {
	in <-chan int // want `channel type`
}

func statements(e events, ctx context.Context) {
	go statements(nil, nil) // want `go statement`
	select {                // want `select statement`
	case <-e: // want `channel receive`
	case e <- 1: // want `channel send`
	default:
	}
	for range e { // want `range over a channel`
	}
	close(e)            // want `close of a channel`
	_ = len(e) + cap(e) // want `len of a channel` `cap of a channel`
	_ = make(events)    // want `make of a channel`
	_ = make(chan int)  // want `channel type`
	done := ctx.Done()  // want `call that gives a channel`
	_ = done
	func() {}()
	defer statements(nil, nil)
}

func generic[C ~chan int](c C) { // want `channel type`
	for range c { // want `range over a channel`
	}
}
