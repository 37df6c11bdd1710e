package determinism

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"strings"

	"golang.org/x/tools/go/analysis"
)

const directive = "//determinism:"

type line struct {
	file   string
	number int
}

func (c *checker) line(pos token.Pos) line {
	p := c.Fset.PositionFor(pos, false) // no //line comment moves an exception
	return line{p.Filename, p.Line}
}

// exception is a comment that lets one line pass.
type exception struct {
	at   *ast.Comment
	used bool
}

// readExceptions notes the exceptions of a file under the lines that they excuse.
func (c *checker) readExceptions(f *ast.File) error {
	name := c.Fset.File(f.Pos()).Name()
	text, err := c.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	for _, group := range f.Comments {
		for _, comment := range group.List {
			rest, ok := strings.CutPrefix(comment.Text, directive)
			if !ok {
				continue
			}
			verb, reason, _ := strings.Cut(rest, " ")
			reason, _, _ = strings.Cut(reason+" ", "// ") // a comment within the comment is no reason
			switch {
			case verb != "ok":
				c.complain(comment, "unknown directive %s%s: only %sok REASON is known", directive, verb, directive)
			case strings.TrimSpace(reason) == "":
				c.complain(comment, "exception without a reason")
			default:
				at := c.line(comment.Pos())
				if alone(text, c.Fset.File(f.Pos()).Offset(comment.Pos())) {
					at.number++
				}
				if c.exceptions[at] != nil {
					c.complain(comment, "second exception for one line")
				} else {
					c.exceptions[at] = &exception{at: comment}
				}
			}
		}
	}
	return nil
}

// alone says whether nothing but space precedes the offset on its line.
func alone(text []byte, offset int) bool {
	start := bytes.LastIndexByte(text[:offset], '\n') + 1
	return len(bytes.TrimSpace(text[start:offset])) == 0
}

func (c *checker) reportExceptions() {
	for _, e := range c.exceptions { // the driver sorts what it prints
		if !e.used {
			c.complain(e.at, "exception that excuses nothing")
		}
	}
}

// complain reports something about the exceptions themselves, which has no exception.
func (c *checker) complain(r analysis.Range, format string, args ...any) {
	c.ReportRangef(r, format, args...)
}
