package raftnode

import (
	"time"

	"github.com/quorumkv/quorumkv/storage/watch"
)

// Watch opens a stream of watchers on this node's own state. give is called on the loop with what the stream is to do
// next, one piece at a time; see package watch. It is not called any more once the node has stopped. Errors: ErrStopped,
// and ErrNotReady as long as the node has not applied what it knew before its restart.
func (n *Node) Watch(give func(*watch.Work)) (*watch.Stream, error) {
	switch {
	case n.stopped:
		return nil, ErrStopped
	case !n.published.Ready:
		return nil, ErrNotReady
	}
	return n.watches.Open(func(w *watch.Work) {
		if !n.stopped {
			give(w)
		}
	}), nil
}

// noticeInterval spreads the streams' progress notices, lest all come at once.
func (n *Node) noticeInterval() time.Duration {
	d := n.cfg.ProgressInterval
	return d + time.Duration(n.env.Rand.Int64N(max(1, int64(d/progressJitter))))
}
