// Package iterators walks maps by package maps.
package iterators

import (
	"cmp"
	"maps"
	"slices"
)

func iterators(m map[int]int, total *int) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		println(k)
	}
	_ = slices.SortedFunc(maps.Values(m), func(a, b int) int { return cmp.Compare(b, a) })
	_ = slices.SortedStableFunc(maps.Keys(m), cmp.Compare[int])
	_ = maps.Clone(m)
	for k := range maps.Keys(m) { // want `maps.Keys without slices.Sorted`
		println(k)
	}
	_ = slices.Collect(maps.Values(m)) // want `maps.Values without`
	for k, v := range maps.All(m) {    // want `maps.All without`
		println(k, v)
	}
	keys := maps.Keys[map[int]int] // want `maps.Keys without`
	_ = slices.Sorted(keys(m))
	seq := maps.Keys(m) // want `maps.Keys without`
	_ = slices.Sorted(seq)

	maps.DeleteFunc(m, func(k, v int) bool { return k < v })
	maps.DeleteFunc(m, func(k, v int) bool { *total += v; return true }) // want `maps.DeleteFunc calls its function`
	_ = maps.EqualFunc(m, m, func(a, b int) bool { return effect(a) })   // want `maps.EqualFunc calls its function`
}

func effect(int) bool { println(); return true }
