package wal

import "sort"

// terms knows the term of every entry in the log, and of the one before the first. Terms change rarely, so a handful of
// runs stands for any number of entries.
type terms struct {
	base uint64 // index before the first entry
	last uint64 // index of the last entry; base if there is none
	runs []termRun
}

// termRun says that entries from first up to the next run have this term. The first run starts at base.
type termRun struct{ first, term uint64 }

func newTerms(base, term uint64) terms {
	return terms{base: base, last: base, runs: []termRun{{base, term}}}
}

// at returns the term of an entry in [base, last].
func (t *terms) at(index uint64) (uint64, bool) {
	if index < t.base || index > t.last {
		return 0, false
	}
	return t.runs[t.run(index)].term, true
}

// run finds the run of an index that is at least base.
func (t *terms) run(index uint64) int {
	if n := len(t.runs) - 1; t.runs[n].first <= index {
		return n // nearly always
	}
	return sort.Search(len(t.runs), func(i int) bool { return t.runs[i].first > index }) - 1
}

func (t *terms) lastTerm() uint64 { return t.runs[len(t.runs)-1].term }

// truncate drops everything behind index, which is in [base, last].
func (t *terms) truncate(index uint64) {
	t.runs = t.runs[:t.run(index)+1]
	t.last = index
}

// push sets the entry at index, which is in (base, last+1], and drops everything behind it.
func (t *terms) push(index, term uint64) {
	if index <= t.last {
		t.truncate(index - 1)
	}
	if t.lastTerm() != term {
		t.runs = append(t.runs, termRun{index, term})
	}
	t.last = index
}

// compact moves base up to index, which is in [base, last].
func (t *terms) compact(index uint64) {
	i := t.run(index)
	t.runs = append(t.runs[:0], t.runs[i:]...)
	t.runs[0].first = index
	t.base = index
}
