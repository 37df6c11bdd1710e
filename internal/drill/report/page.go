package report

import (
	"bytes"
	_ "embed"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// The page needs nothing but itself: its policy forbids the browser to load anything.
var (
	//go:embed page.html
	pageText string
	//go:embed page.css
	pageStyle string
	//go:embed page.js
	pageScript string

	pageTemplate = template.Must(template.New(PageName).Funcs(template.FuncMap{
		"answer":  answer,
		"fields":  strings.Fields,
		"request": func(op history.Op) string { return request(op, false) },
		"span":    span,
		"seconds": seconds,
		"several": Several,
		"short":   func(s string) string { return short(s, mostOfValue) },
		"visible": Visible,
		"whole":   Whole[int],
		"after":   func(prefix, key string) string { return short(strings.TrimPrefix(key, prefix), mostOfValue) },
	}).Parse(pageText))
)

// page is what the template shows beyond the report itself.
type page struct {
	*Report
	members
	Style        template.CSS
	Script       template.JS
	Word, Result string
	Class        string // of the verdict
	Broken       []string
	MissedMarks  []Mark
	Started      string
	Timelines    []timeline
	Steps        series
	Windows      []fault
	Cases        []violation
}

// who is a member as it is written everywhere: with its colour.
type who struct{ Name, Colour string }

// Who is a member of that name, nobody if it is empty.
func (m members) Who(name string) who { return who{name, m.class(name)} }

// timeline is the picture in one size.
type timeline struct {
	Frame    string
	SVG      template.HTML
	Numbered bool          // faults have numbers instead of words
	Merged   time.Duration // how long its columns are, 0 when they are the steps of the report
}

// fault is a row of the table of faults.
type fault struct {
	history.Fault
	Struck string // members
}

// violation is a broken promise with its pictures.
type violation struct {
	history.Violation
	members
	Key      string // of all its operations and events, if they have one
	Prefix   string // of all their keys
	Pictures []template.HTML
}

// HTML writes the report as one self-contained page.
func (r *Report) HTML(w io.Writer) error {
	p := page{
		Report:      r,
		Style:       template.CSS(pageStyle),
		Script:      template.JS(pageScript),
		Class:       "unknown",
		Broken:      r.broken(),
		MissedMarks: r.missed(),
		Started:     r.Started.Format("Mon 2 January 2006, 15:04:05 MST"),
		Steps:       merge(r.Timeline, rowsOfTimeline),
		members:     r.members(),
	}
	p.Word, p.Result = r.result()
	switch r.Verdict {
	case Passed, Violated, Missed, Interrupted:
		p.Class = string(r.Verdict)
	}
	for _, f := range frames {
		if d := r.draw(f); d != nil {
			p.Timelines = append(p.Timelines, timeline{f.name, d.svg(), d.numbered, d.series.merged()})
		}
	}
	for _, f := range r.Timeline.Faults {
		p.Windows = append(p.Windows, fault{f, strings.Join(f.Members, ", ")})
	}
	for i, v := range r.Violations {
		c := violation{Violation: v, members: p.members, Key: sharedKey(v), Prefix: keyPrefix(v)}
		for _, f := range frames {
			if svg := r.drawCase(i+1, v, f); svg != "" {
				c.Pictures = append(c.Pictures, svg)
			}
		}
		p.Cases = append(p.Cases, c)
	}
	// A template fails halfway: nothing is written then.
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}
