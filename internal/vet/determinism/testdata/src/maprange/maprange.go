// Package maprange ranges over maps.
package maprange

import (
	"strings"
)

type item struct {
	n, size int
	f       float64
	tags    []string
	sub     map[string]int
}

type items = map[string]*item

type stats struct {
	count, bytes int
	byName       map[string]int
	whole        []stats
}

func folds(m items, s *stats) (n int, longest string) {
	var bits, prod uint
	var mask, parity int
	least, most, first := 1<<60, 0, "~"
	for k, v := range m {
		n++
		s.count += v.n
		s.count -= 2
		bits |= uint(v.n)
		prod *= 3
		parity ^= v.n
		mask &^= v.n
		mask &= v.size
		least = min(least, v.n, len(k))
		if v.size > most {
			most = v.size
		}
		if first > k {
			first = k
		}
		longest = max(longest, strings.ToUpper(k))
	}
	return n, longest
}

func inserts(m items, s *stats, live, dead map[string]bool) {
	set, groups, copies, sums := map[int]struct{}{}, map[string][]int{}, items{}, map[int]int{}
	for k, v := range m {
		set[v.n] = struct{}{}
		groups[k] = append(groups[k], v.n)
		copies[k] = v
		s.byName[k] += v.n
		s.byName[k] *= 2
		sums[v.n]++
		sums[v.size] -= v.n
		if !live[k] {
			delete(dead, k)
			dead[k] = true
		}
		clear(v.sub)
	}
	for k, v := range m {
		if v == nil {
			delete(m, k)
			continue
		}
		m[k] = &item{n: m[k].n}
	}
}

func shapes(m items, any map[string]any) (n, bytes int) {
	for range m {
		n++
	}
	for _, v := range m {
		var worst int
		for i, t := range v.tags {
			if i > 3 {
				break
			}
			worst = len(t)
		}
		if w, ok := v.sub["x"]; ok {
			worst = w
		} else if w > 3 {
			worst += w
		}
		switch {
		case worst > 3:
			n += worst
		default:
			n--
		}
		part := *v
		part.n = 7
		n += part.n
		for i := 0; i < 3; i++ {
			n += i
		}
		for _, x := range v.sub {
			n += x
		}
	}
	for _, v := range any {
		switch v := v.(type) {
		case int:
			bytes += v
		case string:
			bytes += len(v)
		}
	}
	var sum, other stats
	perName := map[string]stats{}
	for k, v := range map[string]stats{} {
		sum.bytes += v.bytes
		perName[k] = v
		_ = other.count
	}
	return n, bytes
}

func generic[M ~map[K]V, K comparable, V any](m M, f func(K)) int {
	n := 0
	for range m {
		n++
	}
	for k := range m { // want `order of the map may leave the loop: line \d+ f\(k\) may have an effect`
		f(k)
	}
	return n
}

func effects(m items, s *stats, log func(string)) (found bool, err error) {
	for k := range m { // want `log\(k\) may have an effect`
		log(k)
	}
	for k := range m { // want `leaves the loop early`
		_ = k
		break
	}
	for k := range m { // want `leaves the loop early`
		if k != "" {
			return true, nil
		}
	}
	for k := range m { // want `leaves a value of the last round in found`
		found = k == "x"
	}
	for k := range m { // want `has an effect`
		defer log(k)
	}
	for _, v := range m { // want `v.less\(nil\) may have an effect`
		if v.less(nil) {
			s.count++
		}
	}
	for _, v := range m { // want `strings.Map.* may have an effect`
		s.count += len(strings.Map(func(r rune) rune { s.count *= 2; return r }, v.tags[0]))
	}
	for _, v := range m { // want `append.* may have an effect`
		x := append(v.tags, "x")
		_ = x
	}
outer:
	for range m { // want `jumps to a label`
		for range m { // want `jumps to a label`
			continue outer
		}
	}
	return found, nil
}

func (i *item) less(*item) bool { return true }

func updates(m items, s *stats, p *int, nums []int) {
	var f float64
	var text, k2 string
	var n, best int
	var bestKey string
	var v2 *item
	for k2, v2 = range m { // want `leaves the last element in a variable`
		n++
	}
	for _, v := range m { // want `updates f by an operation whose order matters`
		f += v.f
	}
	for k := range m { // want `updates text by an operation`
		text += k
	}
	for _, v := range m { // want `updates n by an operation`
		n <<= v.n
	}
	for _, v := range m { // want `changes n by sum and by product`
		n += v.n
		n *= 2
	}
	for k, v := range m { // want `leaves a value of the last round in best`
		if v.n > best {
			best, bestKey = v.n, k
		}
	}
	for _, v := range m { // want `leaves a value of the last round in best`
		if v.n > best {
			best = v.size
		}
	}
	for _, v := range m { // want `changes best by max and by min`
		best = max(best, v.n)
		best = min(best, v.n)
	}
	for _, v := range m { // want `leaves a value of the last round in f`
		f = max(f, v.f)
	}
	for _, v := range m { // want `leaves a value of the last round in v.n`
		v.n = n
	}
	for range m { // want `leaves a value of the last round in nums\[0\]`
		nums[0] = n
	}
	for _, v := range m { // want `updates \*p by an operation`
		*p += v.n
	}
	for _, v := range m { // want `leaves a value of the last round in n`
		n, _ = v.sub["x"]
	}
	for _, v := range m { // want `leaves the last element in a variable`
		for _, n = range nums {
		}
		_ = v
	}
	for k := range map[int]int{} { // want `changes its key variable`
		k++
		_ = k
	}
	for k, v := range map[int]int{} { // want `leaves a value of the last round in k`
		k = v
		_ = k
	}
	_, _, _, _ = k2, v2, bestKey, f
}

func reads(m items, s *stats) {
	var n int
	rank, seen := map[string]int{}, map[string]bool{}
	for k := range m { // want `reads n, which other rounds change`
		n++
		rank[k] = n
	}
	for k := range m { // want `reads seen, which other rounds change`
		if len(seen) < 3 {
			seen[k] = true
		}
	}
	for k, v := range m { // want `reads seen, which other rounds change`
		if !seen[v.tags[0]] {
			seen[k] = true
		}
	}
	for _, v := range m { // want `reads count, which other rounds change`
		s.count++
		s.bytes += s.count
		_ = v
	}
	sums := map[string]stats{}
	for k := range m { // want `reads s, whose field count other rounds change`
		s.count++
		sums[k] = *s
	}
	for _, v := range m { // want `reads n, which other rounds change`
		v.n++
		rank["x"] += v.n
	}
	for k := range m { // want `reads m, which other rounds change`
		delete(m, k)
		n += len(m)
	}
	for _, v := range m { // want `changes the map that it ranges over`
		delete(m, v.tags[0])
	}
	for range m { // want `changes the map that it ranges over`
		clear(m)
	}
}

func insertsThatCollide(m items) {
	inverse, set, groups := map[int]string{}, map[int]bool{}, map[int][]string{}
	for k, v := range m { // want `inserts under a key that another round may use too`
		inverse[v.n] = k
	}
	for k, v := range m { // want `inserts under a key that another round may use too`
		groups[v.n] = append(groups[v.n], k)
	}
	for _, v := range m { // want `changes set by insert of true and by insert of false`
		set[v.n] = true
		set[v.size] = false
	}
	for _, v := range m { // want `changes set by insert of true and by delete`
		set[v.n] = true
		delete(set, v.size)
	}
	for k := range m { // want `inserts under a key`
		for k := range []byte(k) {
			inverse[k] = strings.Repeat("x", k)
		}
	}
}
