package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// seedRange is FIRST..LAST/STEP, or a single number. A missing LAST is no end.
type seedRange struct{ first, last, step uint64 }

func (r *seedRange) String() string {
	if r.step == 0 {
		return ""
	}
	return fmt.Sprintf("%d..%d/%d", r.first, r.last, r.step)
}

func (r *seedRange) Set(s string) (err error) {
	s, step, stepped := strings.Cut(s, "/")
	first, last, many := strings.Cut(s, "..")
	out := seedRange{step: 1}
	if out.first, err = strconv.ParseUint(first, 10, 64); err != nil {
		return fmt.Errorf("%q is no seed: want a whole number", first)
	}
	switch {
	case !many:
		out.last = out.first
	case last == "":
		out.last = math.MaxUint64
	default:
		if out.last, err = strconv.ParseUint(last, 10, 64); err != nil {
			return fmt.Errorf("%q is no seed: want a whole number", last)
		}
	}
	if stepped {
		if out.step, err = strconv.ParseUint(step, 10, 64); err != nil || out.step == 0 {
			return fmt.Errorf("%q is no step: want a number from 1 on", step)
		}
	}
	if out.last < out.first {
		return fmt.Errorf("%s ends before it begins", s)
	}
	*r = out
	return nil
}

// part is the i-th of n interleaved shares.
func (r seedRange) part(i, n uint64) seedRange {
	return seedRange{first: r.first + i*r.step, last: r.last, step: r.step * n}
}

func (r seedRange) one() bool { return r.first == r.last }
