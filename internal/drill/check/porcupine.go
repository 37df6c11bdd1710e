package check

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/quorumkv/quorumkv/internal/drill/history"
	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// Bounds of the cross-check: porcupine's search grows fast with requests that overlap, and unknown outcomes overlap with
// everything after them.
const (
	sampleRequests = 2000
	sampleOfKey    = 250
	sampleUnknown  = 6 // per key
	sampleTime     = 5 * time.Second
)

// crossCheck gives the beginnings of the histories of some keys to porcupine, which knows nothing of revisions: so the other
// checks, which rest on them, are themselves checked. Keys that leases delete are left out: no request does that.
func (c *checker) crossCheck() {
	perKey, leased := map[string][]*history.Op{}, map[string]bool{}
	for i := range c.h.Ops {
		op := &c.h.Ops[i]
		if op.Lease != 0 {
			leased[op.Key] = true
		}
		if op.Kind != history.Stale && op.Outcome != history.Refused {
			perKey[op.Key] = append(perKey[op.Key], op)
		}
	}
	keys, requests, undecided := 0, 0, 0
	until := time.Now().Add(sampleTime)
	for _, key := range slices.Sorted(maps.Keys(perKey)) {
		if leased[key] {
			continue
		}
		ops := sample(perKey[key])
		if requests += len(ops); requests > sampleRequests {
			requests -= len(ops)
			break
		}
		keys++
		left := time.Until(until)
		if left <= 0 {
			undecided++
			continue
		}
		switch porcupine.CheckOperationsTimeout(register, ops, left) {
		case porcupine.Illegal:
			c.unordered(key, perKey[key])
		case porcupine.Unknown:
			undecided++
		}
	}
	c.look(CrossCheck, "%s requests of %s keys", report.Whole(requests), report.Whole(keys))
	if undecided > 0 {
		c.look(CrossCheck, "%s requests of %s keys; not decided within %v: %s keys", report.Whole(requests), report.Whole(keys), sampleTime,
			report.Whole(undecided))
	}
}

// unordered tells the shortest beginning of a key's history that has no order.
func (c *checker) unordered(key string, ops []*history.Op) {
	byEnd := slices.Clone(ops)
	slices.SortStableFunc(byEnd, func(a, b *history.Op) int { return cmp.Compare(a.End, b.End) })
	until := time.Now().Add(sampleTime)
	n, _ := slices.BinarySearchFunc(byEnd, porcupine.Illegal, func(op *history.Op, _ porcupine.CheckResult) int {
		left := max(time.Until(until), time.Millisecond)
		if porcupine.CheckOperationsTimeout(register, sampled(ops, op.End+1), left) == porcupine.Illegal {
			return 0
		}
		return -1
	})
	last := byEnd[min(n, len(byEnd)-1)]
	shown := []*history.Op{last}
	for i := n - 1; i >= 0 && len(shown) < most; i-- {
		shown = append(shown, byEnd[i])
	}
	c.broken(CrossCheck, shown, nil, "porcupine finds no order for the requests of %s up to %s", key, answered(last))
}

// sample is the beginning of a key's history, until it is too much.
func sample(ops []*history.Op) []porcupine.Operation {
	byBegin := slices.Clone(ops)
	slices.SortStableFunc(byBegin, func(a, b *history.Op) int { return cmp.Compare(a.Begin, b.Begin) })
	unknown := 0
	for i, op := range byBegin {
		if op.Outcome == history.Unknown && op.Kind.Writes() {
			unknown++
		}
		if i == sampleOfKey || unknown > sampleUnknown {
			return sampled(byBegin, op.Begin)
		}
	}
	return sampled(byBegin, forever)
}

// sampled is what was known at a moment: requests that were not answered by then may have been done, or not yet.
func sampled(ops []*history.Op, until time.Duration) []porcupine.Operation {
	var sample []porcupine.Operation
	for _, op := range ops {
		answered := op.Outcome == history.OK && op.End < until
		if op.Begin >= until || !answered && !op.Kind.Writes() {
			continue // it saw nothing and changed nothing
		}
		end := int64(math.MaxInt64)
		if answered {
			end = int64(op.End)
		}
		sample = append(sample, porcupine.Operation{Input: op, Call: int64(op.Begin), Return: end, Output: answered})
	}
	return sample
}

// register is one key: its value, "" when it is not there. Values are unique, so a swap needs no revisions: one that held
// wrote its value, one that did not saw what there was.
var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		value, op, answered := state.(string), input.(*history.Op), output.(bool)
		switch {
		case op.Kind == history.Put, op.Kind == history.Swap && (!answered || op.Applied):
			return true, op.Value
		case op.Kind == history.Delete:
			return !answered || op.Applied == (value != ""), ""
		}
		return op.Found == value, value
	},
	Equal: func(a, b any) bool { return a == b },
	DescribeOperation: func(input, _ any) string {
		return fmt.Sprint(answered(input.(*history.Op)))
	},
}
