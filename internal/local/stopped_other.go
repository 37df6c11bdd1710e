//go:build unix && !linux

package local

// awaitStopped is for Linux alone: elsewhere a node may go on for a moment after Pause.
func awaitStopped(int) error { return nil }
