package env

import "sync"

// batchKept bounds the slices that a loop or a lane keeps for reuse, so that one burst does not pin its memory for ever.
const batchKept = 1 << 14

// loop is the queue behind [Env.Post] and the turn of the crank that runs it. It takes everything that waits in one
// swap: all that arrived during one turn is there, together, in the next. Batching everywhere above rests on this.
type loop struct {
	mu      sync.Mutex
	waiting sync.Cond // on mu; signalled when queue stops being empty, and by stop
	queue   []func()
	stopped bool
}

func newLoop() *loop {
	l := &loop{}
	l.waiting.L = &l.mu
	return l
}

// post queues f. After stop it does nothing: there is nobody left to run f.
func (l *loop) post(f func()) {
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		return
	}
	l.queue = append(l.queue, f)
	if len(l.queue) == 1 {
		l.waiting.Signal()
	}
	l.mu.Unlock()
}

// run executes posted functions in order until stop; whatever was posted before stop still runs.
func (l *loop) run() {
	var batch []func()
	for {
		l.mu.Lock()
		for len(l.queue) == 0 && !l.stopped {
			l.waiting.Wait()
		}
		if len(l.queue) == 0 {
			l.mu.Unlock()
			return
		}
		batch, l.queue = l.queue, batch
		l.mu.Unlock()
		for i, f := range batch {
			batch[i] = nil // what f holds is garbage as soon as it has run, not when the batch ends
			f()
		}
		batch = batch[:0]
		if cap(batch) > batchKept {
			batch = nil
		}
	}
}

func (l *loop) stop() {
	l.mu.Lock()
	l.stopped = true
	l.waiting.Broadcast()
	l.mu.Unlock()
}
