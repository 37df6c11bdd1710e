package sim

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Bounds of the cross-check: porcupine's search grows fast with operations that overlap, and unknown outcomes overlap
// with everything after them.
const (
	porcupineOperations = 120 // per key
	porcupineUnknown    = 6   // per key
	porcupineKeys       = 4
)

// crossCheck gives the histories of a few keys to porcupine, which knows nothing of revisions: so the fast checks, which
// rest on revisions, are themselves checked.
func (c *checker) crossCheck() {
	perKey := map[string][]*operation{}
	for _, o := range c.w.load.ops {
		if o.kind == opPut || o.kind == opDelete || o.kind == opSwap || o.kind == opGet || o.kind == opPast && !o.pastRefused() {
			perKey[o.key] = append(perKey[o.key], o)
		}
	}
	checked := 0
	for _, key := range slices.Sorted(maps.Keys(perKey)) {
		ops := perKey[key]
		unknown := 0
		for _, o := range ops {
			if !o.acked && o.kind != opGet {
				unknown++
			}
		}
		if len(ops) > porcupineOperations || unknown > porcupineUnknown || checked == porcupineKeys {
			continue
		}
		checked++
		c.w.count.PorcupineChecks++
		// The time limit only ends searches that would never end; an answer is the same whenever it comes.
		if porcupine.CheckOperationsTimeout(register, history(ops), 10*time.Second) == porcupine.Illegal {
			c.w.violation("porcupine finds no order for the %d operations on %s", len(ops), key)
			return
		}
	}
}

// outcome is what a client knows of an operation.
type outcome struct {
	known bool
	value string // found by a get, "" for nothing
	swap  bool   // a swap's compare held
}

func history(ops []*operation) []porcupine.Operation {
	var h []porcupine.Operation
	for _, o := range ops {
		end := int64(o.end)
		if !o.acked {
			if o.kind == opGet {
				continue // it saw nothing and changed nothing
			}
			end = math.MaxInt64 // it may take effect at any later time
		}
		h = append(h, porcupine.Operation{
			ClientId: o.client, Input: o, Call: int64(o.begin), Return: end,
			Output: outcome{known: o.acked, value: o.got, swap: o.swapped},
		})
	}
	return h
}

// register is one key: its value, or "" when it is not there. Values are unique, so a swap's outcome need not be modelled
// by revision: one that held wrote its value, one that did not changed nothing.
var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		value, op, out := state.(string), input.(*operation), output.(outcome)
		switch {
		case op.kind == opGet:
			return out.value == value, value
		case op.kind == opPut, op.kind == opPast:
			return true, op.value
		case op.kind == opDelete:
			return true, ""
		case !out.known || out.swap:
			return true, op.value
		}
		return true, value
	},
	Equal: func(a, b any) bool { return a == b },
	DescribeOperation: func(input, output any) string {
		op := input.(*operation)
		return fmt.Sprintf("%s %s=%s: %+v", op.kind, op.key, op.value, output)
	},
}
