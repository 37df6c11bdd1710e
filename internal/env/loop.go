package env

// loop turns the crank behind [Env.Post].
type loop struct{ mail *mailbox[func()] }

func newLoop() *loop { return &loop{mail: newMailbox[func()]()} }

// post queues f. After stop it does nothing.
func (l *loop) post(f func()) { l.mail.put(f) }

// run executes posted functions in order until stop; whatever was posted before stop still runs.
func (l *loop) run() {
	for batch, ok := l.mail.take(nil); ok; batch, ok = l.mail.take(batch) {
		for i, f := range batch {
			batch[i] = nil // what f holds is garbage as soon as it has run, not when the batch ends
			f()
		}
	}
}

func (l *loop) stop() { l.mail.close() }
