package env

import "sync"

// osLane is a Lane with a goroutine of its own, started by the first [OS.lane] call of its name and waited for by
// [OS.Close]. A panic in a job is not recovered: a lane that failed in an unknown way cannot be trusted with the disk.
type osLane struct {
	post func(func())

	mu      sync.Mutex
	waiting sync.Cond // on mu; signalled when queue stops being empty, and by close
	queue   []job
	closed  bool
}

// job is one call of [Lane.Do].
type job struct {
	work func() error
	done func(error)
}

func newLane(post func(func())) *osLane {
	l := &osLane{post: post}
	l.waiting.L = &l.mu
	return l
}

// Do queues a job. After close it does nothing.
func (l *osLane) Do(work func() error, done func(error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.queue = append(l.queue, job{work: work, done: done})
	if len(l.queue) == 1 {
		l.waiting.Signal()
	}
}

// run executes jobs in order until close; whatever was queued before close still runs.
func (l *osLane) run() {
	var batch []job
	for {
		l.mu.Lock()
		for len(l.queue) == 0 && !l.closed {
			l.waiting.Wait()
		}
		if len(l.queue) == 0 {
			l.mu.Unlock()
			return
		}
		batch, l.queue = l.queue, batch
		l.mu.Unlock()
		for i, j := range batch {
			batch[i] = job{}
			err := j.work()
			if j.done != nil {
				l.post(func() { j.done(err) })
			}
		}
		batch = batch[:0]
		if cap(batch) > batchKept {
			batch = nil
		}
	}
}

func (l *osLane) close() {
	l.mu.Lock()
	l.closed = true
	l.waiting.Broadcast()
	l.mu.Unlock()
}
