package drill

import (
	"sync"

	"github.com/quorumkv/quorumkv/internal/drill/check"
	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// witness watches the history as it is recorded, and calls violated once, at the first broken promise.
type witness struct {
	live     *check.Live
	violated func()

	mu    sync.Mutex
	found *history.Violation
}

func (w *witness) Op(o *history.Op)                         { w.saw(w.live.Op(*o)) }
func (w *witness) Batch(on *history.Watch, b history.Batch) { w.saw(w.live.Batch(on, b)) }
func (w *witness) Closed(on *history.Watch)                 { w.live.Close(on) }
func (w *witness) Poll(p history.Poll)                      { w.saw(w.live.Poll(p)) }

func (w *witness) saw(v *history.Violation) {
	if v == nil {
		return
	}
	w.mu.Lock()
	first := w.found == nil
	if first {
		w.found = v
	}
	w.mu.Unlock()
	if first {
		w.violated()
	}
}

// violation is the first one, nil while there is none.
func (w *witness) violation() *history.Violation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.found
}
