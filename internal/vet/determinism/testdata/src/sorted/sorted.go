// Package sorted collects from maps and sorts, or does not.
package sorted

import (
	"slices"
	"sort"
)

type set map[string]int

type byLength []string

func (b byLength) Len() int           { return len(b) }
func (b byLength) Less(i, j int) bool { return b[i] < b[j] }
func (b byLength) Swap(i, j int)      { b[i], b[j] = b[j], b[i] }

func plain(m set) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func values(m set) (keys []string, nums []int) {
	for k, v := range m {
		if v > 3 {
			keys = append(keys, k, k+"x")
		}
		nums = append(nums, v)
	}
	sort.Sort(byLength(keys))
	sort.Slice(nums, func(i, j int) bool { return nums[i] < nums[j] })
	return keys, nums
}

func deeper(m set, more []set) []string {
	var keys []string
	keys = append(keys, "first")
	_ = len(keys)
	for _, m := range more {
		keys = append(keys, "next")
		if m != nil {
			for k := range m {
				keys = append(keys, k)
			}
		}
	}
	for k := range m {
		for range m {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return len(a) - len(b) })
	return keys
}

func each(ms []set) {
	for _, m := range ms {
		var keys []string
		for k := range m {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		println(keys[0])
	}
}

func closure(m set) func() []string {
	return func() []string {
		var keys []string
		for k := range m {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		return keys
	}
}

func never(m set) []string {
	var keys []string
	for k := range m { // want `appends to keys, which is not sorted afterwards`
		keys = append(keys, k)
	}
	return keys
}

func sometimes(m set, yes bool) []string {
	var keys []string
	for k := range m { // want `appends to keys, which is not sorted afterwards`
		keys = append(keys, k)
	}
	if yes {
		slices.Sort(keys)
	}
	return keys
}

func tooLate(m set) []string {
	var keys []string
	for k := range m { // want `uses keys before it is sorted`
		keys = append(keys, k)
	}
	println(keys[0])
	slices.Sort(keys)
	return keys
}

func comesBack(ms []set) []string {
	var keys []string
	for _, m := range ms {
		if len(keys) > 0 {
			println(keys[0])
		}
		for k := range m { // want `uses keys before it is sorted`
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func passesBy(ms []set) []string {
	var keys []string
	for _, m := range ms {
		for k := range m { // want `may pass by the sort of keys`
			keys = append(keys, k)
		}
		if m == nil {
			break
		}
		slices.Sort(keys)
	}
	return keys
}

func returns(m set) (keys []string) {
	for k := range m { // want `may pass by the sort of keys`
		keys = append(keys, k)
	}
	if len(m) > 3 {
		return
	}
	slices.Sort(keys)
	return
}

func returnsOther(m set) ([]string, bool) {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	if len(m) > 3 {
		return nil, false
	}
	slices.Sort(keys)
	return keys, true
}

func captured(m set, later func()) []string {
	var keys []string
	show := func() { println(keys[0]) }
	for k := range m { // want `uses keys before it is sorted`
		keys = append(keys, k)
	}
	show()
	slices.Sort(keys)
	return keys
}

func addressed(m set) []string {
	var keys []string
	p := &keys
	for k := range m { // want `uses keys before it is sorted`
		keys = append(keys, k)
	}
	println((*p)[0])
	slices.Sort(keys)
	return keys
}

var global []string

type holder struct{ keys []string }

func elsewhere(m set, h *holder) {
	for k := range m { // want `appends to global, which is no variable of this function`
		global = append(global, k)
	}
	slices.Sort(global)
	for k := range m { // want `leaves a value of the last round in h.keys`
		h.keys = append(h.keys, k)
	}
	slices.Sort(h.keys)
	var keys, other []string
	for k := range m { // want `leaves a value of the last round in keys`
		keys = append(other, k)
	}
	slices.Sort(keys)
	for k := range m { // want `reads other, which other rounds change`
		other = append(other, k)
		println2 := len(other)
		_ = println2
	}
	slices.Sort(other)
}
