package output

import "io"

// Report prints what is found in the files of a member: as text, or as one line of JSON.
type Report struct{ c Config }

// NewReport accepts the formats json and simple.
func NewReport(c Config) (Report, error) {
	return Report{c}, c.check("json", "simple")
}

// Print writes v as JSON, or calls text.
func (r Report) Print(v any, text func(io.Writer)) error {
	if r.c.Format == "json" {
		return jsonFormat(r).line(v)
	}
	text(r.c.Out)
	return nil
}
