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
