package watch

import "slices"

// ranges finds the groups that a key concerns. Single keys and prefixes, which is what clients watch, are found by
// looking up the key and its beginnings; other ranges are compared one by one.
type ranges struct {
	keys     map[string]*group
	prefixes map[string]*group
	lengths  []prefixLength // of prefixes, shortest first
	others   []*group
}

type prefixLength struct{ length, groups int }

// group is all watchers of one range.
type group struct {
	key, end string
	watchers int
	// last is the newest revision with an event in the range since the group exists.
	last int64
	// idle are those watchers that have been given everything, each with its place here in slot.
	idle []*watcher
}

func newRanges() ranges {
	return ranges{keys: map[string]*group{}, prefixes: map[string]*group{}}
}

// at returns the group of a range, made if need be.
func (r *ranges) at(k, e string) *group {
	switch g := r.find(k, e); {
	case g != nil:
		return g
	case e == "":
		g = &group{key: k}
		r.keys[k] = g
		return g
	case e == prefixEnd(k):
		g = &group{key: k, end: e}
		r.prefixes[k] = g
		i, ok := r.length(len(k))
		if !ok {
			r.lengths = slices.Insert(r.lengths, i, prefixLength{length: len(k)})
		}
		r.lengths[i].groups++
		return g
	default:
		g = &group{key: k, end: e}
		r.others = append(r.others, g)
		return g
	}
}

func (r *ranges) find(k, e string) *group {
	switch e {
	case "":
		return r.keys[k]
	case prefixEnd(k):
		return r.prefixes[k]
	}
	for _, g := range r.others {
		if g.key == k && g.end == e {
			return g
		}
	}
	return nil
}

func (r *ranges) length(n int) (int, bool) {
	return slices.BinarySearchFunc(r.lengths, n, func(l prefixLength, n int) int { return l.length - n })
}

// remove forgets a group without watchers.
func (r *ranges) remove(g *group) {
	switch g.end {
	case "":
		delete(r.keys, g.key)
	case prefixEnd(g.key):
		delete(r.prefixes, g.key)
		i, _ := r.length(len(g.key))
		if r.lengths[i].groups--; r.lengths[i].groups == 0 {
			r.lengths = slices.Delete(r.lengths, i, i+1)
		}
	default:
		r.others = slices.DeleteFunc(r.others, func(o *group) bool { return o == g })
	}
}

// visit calls f for every group whose range has the key.
func (r *ranges) visit(key []byte, f func(g *group)) {
	if g := r.keys[string(key)]; g != nil {
		f(g)
	}
	for _, l := range r.lengths {
		if l.length > len(key) {
			break
		}
		if g := r.prefixes[string(key[:l.length])]; g != nil {
			f(g)
		}
	}
	for _, g := range r.others {
		if contains(g.key, g.end, key) {
			f(g)
		}
	}
}

// contains reports whether a range, given as in a request, has the key.
func contains[K ~string | ~[]byte](from, end string, key K) bool {
	if end == "" {
		return from == string(key)
	}
	return from <= string(key) && (end == "\x00" || string(key) < end)
}

// prefixEnd is the end of the range of all keys that begin with a prefix: "\x00", no end, when all its bytes are 0xff.
// The empty prefix is not watched as such: clients name it as the range from "\x00" on.
func prefixEnd(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return "\x00"
}
