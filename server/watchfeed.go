package server

import (
	"context"

	"github.com/quorumkv/quorumkv/raftnode"
	"github.com/quorumkv/quorumkv/storage/watch"
)

// watchFeed is one stream of watchers as the goroutines of its handler see it: they reach it through the loop.
type watchFeed struct {
	post    func(func())
	stopped <-chan struct{} // closed when the loop runs no more functions
	stream  *watch.Stream   // used on the loop only
	// work is sent by the loop and received by the handler. One place is enough: no work is given before the last one was
	// reported.
	work chan *watch.Work
	// waiting answers do: the number of replies that the client has not been given.
	waiting chan int
}

// openWatchFeed opens a stream with open, which runs on the loop.
func openWatchFeed(
	ctx context.Context, post func(func()), stopped <-chan struct{}, open func(func(*watch.Work)) (*watch.Stream, error),
) (*watchFeed, error) {
	f := &watchFeed{post: post, stopped: stopped, work: make(chan *watch.Work, 1), waiting: make(chan int, 1)}
	opened := make(chan error, 1)
	post(func() {
		var err error
		f.stream, err = open(func(w *watch.Work) { f.work <- w })
		opened <- err
	})
	select {
	case err := <-opened:
		return f, err
	case <-ctx.Done():
		f.close() // behind the opening
		return nil, ctx.Err()
	case <-stopped:
		return nil, raftnode.ErrStopped
	}
}

// do runs an operation on the stream and returns how many replies wait. Only one goroutine may call it.
func (f *watchFeed) do(ctx context.Context, op func(*watch.Stream)) (waiting int, err error) {
	f.post(func() {
		op(f.stream)
		f.waiting <- f.stream.Waiting()
	})
	select {
	case n := <-f.waiting:
		return n, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-f.stopped:
		return 0, raftnode.ErrStopped
	}
}

// report gives work back and so asks for more.
func (f *watchFeed) report(w *watch.Work) { f.post(func() { f.stream.Done(w) }) }

// close ends the stream and its watchers.
func (f *watchFeed) close() {
	f.post(func() {
		if f.stream != nil {
			f.stream.Close()
		}
	})
}
