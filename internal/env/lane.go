package env

// osLane is a Lane with a goroutine of its own, started by the first [OS.lane] call of its name and waited for by
// [OS.Close]. A panic in a job is not recovered: a lane that failed in an unknown way cannot be trusted with the disk.
type osLane struct {
	post func(func())
	mail *mailbox[job]
}

// job is one call of [Lane.Do].
type job struct {
	work func() error
	done func(error)
}

func newLane(post func(func())) *osLane { return &osLane{post: post, mail: newMailbox[job]()} }

// Do queues a job. After close it does nothing.
func (l *osLane) Do(work func() error, done func(error)) { l.mail.put(job{work: work, done: done}) }

// run executes jobs in order until close; whatever was queued before close still runs.
func (l *osLane) run() {
	for batch, ok := l.mail.take(nil); ok; batch, ok = l.mail.take(batch) {
		for i, j := range batch {
			batch[i] = job{}
			err := j.work()
			if j.done != nil {
				l.post(func() { j.done(err) })
			}
		}
	}
}

func (l *osLane) close() { l.mail.close() }
