package report

import (
	"slices"
	"strconv"
)

// palette is how many colours page.css has for members; more members than that share them.
const palette = 8

// members gives everybody one colour throughout the page, in the cluster's order. Names that only the timeline knows
// come behind.
type members []string

func (r *Report) members() members {
	var m members
	add := func(name string) {
		if name != "" && !slices.Contains(m, name) {
			m = append(m, name)
		}
	}
	for _, c := range r.Cluster.Members {
		add(c.Name)
	}
	for _, s := range r.Timeline.Sides {
		add(s.Member)
	}
	for _, l := range r.Timeline.Leaders {
		add(l.Leader)
	}
	for _, v := range r.Violations {
		for _, op := range v.Ops {
			add(op.Member)
		}
	}
	return m
}

// class is the CSS class of a member's colour.
func (m members) class(name string) string {
	i := slices.Index(m, name)
	if i < 0 {
		return "nobody"
	}
	return "m" + strconv.Itoa(i%palette)
}
