package report

import (
	"cmp"
	"fmt"
	"html"
	"html/template"
	"slices"
	"strings"

	"github.com/quorumkv/quorumkv/internal/drill/history"
)

// The picture of a violation has a row for each client, of as many lanes as its labels need.
const (
	caseLane    = 26
	caseSpacing = 7 // between clients
	breakWidth  = 30
)

// drawCase draws the operations of a violation as bars from their begin to their end.
func (r *Report) drawCase(number int, v history.Violation, f frame) template.HTML {
	if len(v.Ops) == 0 {
		return ""
	}
	ops := slices.Clone(v.Ops)
	slices.SortStableFunc(ops, func(a, b history.Op) int {
		return cmp.Or(cmp.Compare(a.Client, b.Client), cmp.Compare(a.Begin, b.Begin))
	})
	left := 92.0
	if f.width < 500 {
		left = 62
	}
	c := &casePicture{frame: f, members: r.members(), key: sharedKey(v) == "", prefix: keyPrefix(v)}
	c.axis = newBrokenAxis(ops, left, f.width-f.right)
	for from := 0; from < len(ops); {
		to := from
		for to < len(ops) && ops[to].Client == ops[from].Client {
			to++
		}
		c.client(ops[from:to])
		from = to
	}
	c.edges()

	var out canvas
	id := fmt.Sprintf("case-%d-%s", number, f.name)
	out.mark(`<svg class="case `, f.name, `" role="img" aria-labelledby="`, id, `-title `, id, `-desc" viewBox="0 0 `,
		px(f.width), " ", px(c.y+34), `" xmlns="http://www.w3.org/2000/svg"><title id="`, id, `-title">`,
		html.EscapeString("Operations that show: "+Visible(v.Promise)), `</title><desc id="`, id, `-desc">`,
		html.EscapeString(Several(len(ops), "operation", "operations")+" as bars from request to answer, a row for each client. "+
			"The table below has the same."), `</desc>`, c.back.String(), c.String(), `</svg>`)
	return template.HTML(out.String())
}

type casePicture struct {
	canvas
	back    canvas
	frame   frame
	members members
	axis    brokenAxis
	key     bool   // labels name it,
	prefix  string // without this
	y       float64
}

// client draws the operations of one client: bars with what they asked for and got above them, in lanes in which nothing
// meets anything else.
func (c *casePicture) client(ops []history.Op) {
	c.y += caseSpacing
	top := c.y
	c.text("client-label", "start", 0, top+12, fmt.Sprintf("client %d", ops[0].Client))
	var full []float64 // how far each lane is taken
	for _, op := range ops {
		from, to := c.axis.interval(op)
		label := c.label(op)
		x := max(0, min(from, c.frame.width-textWidth(label)))
		lane := slices.IndexFunc(full, func(f float64) bool { return f+8 <= min(x, from) })
		if lane < 0 {
			lane = len(full)
			full = append(full, 0)
		}
		full[lane] = max(to, x+textWidth(label))
		y := top + float64(lane)*caseLane
		c.text("op-label", "start", x, y+12, label)
		c.rect("op "+outcomeClass(op)+" "+c.members.class(op.Member), from, y+16, to-from, 6)
	}
	c.y = top + float64(len(full))*caseLane
	c.back.line("grid", 0, c.y+caseSpacing/2+1, c.frame.width, c.y+caseSpacing/2+1)
}

// label is as much of an operation as has room; what an error said is in the table.
func (c *casePicture) label(op history.Op) string {
	op.Key, op.Error = strings.TrimPrefix(op.Key, c.prefix), ""
	text := fmt.Sprintf("#%d %s: %s → %s", op.ID, short(op.Member, 12), request(op, c.key), answer(op))
	return fit(text, c.frame.width-c.axis.start)
}

func outcomeClass(op history.Op) string {
	switch op.Outcome {
	case history.OK, history.Refused, history.Unknown:
		return string(op.Outcome)
	default:
		return string(history.Unknown)
	}
}

// edges writes when each busy time began and the last one ended, and marks the breaks.
func (c *casePicture) edges() {
	c.y += caseSpacing
	full := c.axis.start - 50
	for i, p := range c.axis.pieces {
		label := seconds(p.Begin) + " s"
		at := c.axis.at(p.Begin)
		c.back.line("grid upright", at, 0, at, c.y)
		if i > 0 {
			c.back.rect("break", at-breakWidth+3, 0, breakWidth-6, c.y)
		}
		if at >= full {
			x := min(at, c.frame.width-textWidth(label))
			c.text("tick", "start", x, c.y+14, label)
			full = x + textWidth(label) + 8
		}
	}
	last := c.axis.pieces[len(c.axis.pieces)-1].End
	if label := seconds(last) + " s"; c.frame.width-textWidth(label) >= full {
		c.text("tick", "end", c.frame.width, c.y+14, label)
	}
	c.line("axis", c.axis.start, c.y, c.axis.stop, c.y)
}
