package drill

import "sync"

// condition is what was done to a member and has to be undone.
type condition struct{ ruled, down, paused bool }

// conditions are those of all members: the drill changes them, and who shows it looks on.
type conditions struct {
	mu sync.Mutex
	of []condition
}

func (c *conditions) get(i int) condition {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[i]
}

func (c *conditions) set(i int, f func(*condition)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.of[i])
}
