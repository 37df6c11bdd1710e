package raftnode

import (
	"reflect"
	"unsafe"
)

// OnStateWrite puts itself between bbolt and the state file that is open now: an error of f is the result of a write.
func (n *Node) OnStateWrite(f func() error) {
	field := reflect.ValueOf(n.state.db).Elem().FieldByName("bolt").Elem().FieldByName("ops").FieldByName("writeAt")
	hook := (*func([]byte, int64) (int, error))(unsafe.Pointer(field.UnsafeAddr()))
	write := *hook
	*hook = func(p []byte, off int64) (int, error) {
		if err := f(); err != nil {
			return 0, err
		}
		return write(p, off)
	}
}

// Paces returns how many slices a tick takes of compactions with so many left, one after the other.
func Paces(left ...int) (paces []int) {
	var c compaction
	for _, slices := range left {
		c.done = slices == 0
		c.hurry(slices)
		paces = append(paces, c.pace)
	}
	return paces
}
