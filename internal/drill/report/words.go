package report

import (
	"fmt"
	"strings"
)

// result is the verdict as a word and a sentence: "VIOLATED", "2 promises were broken".
func (r *Report) result() (word, sentence string) {
	word = strings.ToUpper(Visible(string(r.Verdict)))
	switch r.Verdict {
	case Passed:
		return word, r.held()
	case Violated:
		n := len(r.broken())
		if n == 1 {
			return word, "1 promise was broken"
		}
		return word, fmt.Sprintf("%d promises were broken", n)
	case Missed:
		n := len(r.missed())
		if n == 1 {
			return word, "1 figure is beyond its mark"
		}
		return word, fmt.Sprintf("%d figures are beyond their marks", n)
	case Interrupted:
		return word, "nothing was broken so far"
	default:
		return word, ""
	}
}

func (r *Report) held() string {
	var parts []string
	if n := len(r.Checks); n > 0 {
		parts = append(parts, Several(n, "promise held", "promises held"))
	}
	if n := len(r.Marks); n > 0 {
		parts = append(parts, Several(n, "figure within its mark", "figures within their marks"))
	}
	if len(parts) == 0 {
		return "nothing was broken"
	}
	return strings.Join(parts, ", ")
}

// broken are the promises that were broken, each once, the most telling first.
func (r *Report) broken() []string {
	var names []string
	seen := map[string]bool{}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, v := range r.Violations {
		add(v.Promise)
	}
	for _, c := range r.Checks {
		if c.Violations > 0 {
			add(c.Promise)
		}
	}
	return names
}

func (r *Report) missed() []Mark {
	var missed []Mark
	for _, m := range r.Marks {
		if !m.Kept {
			missed = append(missed, m)
		}
	}
	return missed
}
