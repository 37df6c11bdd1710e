// Package determinism is a vet check for the packages that production and the simulator share: equal seeds must give
// equal runs, bit for bit, so nothing in them may depend on the scheduler, the clock, the process's randomness, the
// operating system or the order of a map.
//
// Reported, outside of test files:
//
//   - go and select statements, channel types and channel operations
//   - imports of sync, sync/atomic, os, os/..., net, net/... and crypto/rand
//   - the functions of package time that read the clock or wait for it
//   - the functions of math/rand and math/rand/v2 that draw from the global source; constructors are fine
//   - a range over a map, unless the order of iteration cannot leave the loop (see below)
//   - maps.Keys, maps.Values and maps.All, unless they are the argument of slices.Sorted, SortedFunc or SortedStableFunc;
//     maps.DeleteFunc and maps.EqualFunc, unless their function only returns an expression
//
// # Ranges over maps
//
// The body of the loop may collect: append to a local slice whose next use is a sort, insert and delete under the loop's
// own key, insert a constant, delete, clear, and fold integers with one commutative operation for each variable, min and
// max included. Around these it may have conditions, switches, inner loops, continue and variables of its own. Everything
// else is reported: leaving the loop early (which element was it?), calls other than a few that are known to have no
// effect, sums of floats, and reading in one round what another round wrote.
//
// The check is about syntax and types, not about proof. It does not know that two maps, slices or pointers
// are the same one, or that a comparison function leaves ties.
//
// # Exceptions
//
// A comment on the line, or alone on the line above, lets one line pass and says why:
//
//	//determinism:ok the file that bbolt maps is a real one
//
// An exception without a reason, or one that excuses nothing, is reported too.
package determinism

import (
	"go/ast"
	"go/token"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/inspect"
	"golang.org/x/tools/go/ast/inspector"
)

// Analyzer reports what may make two runs of one seed differ. Which packages it applies to is the caller's choice.
var Analyzer = &analysis.Analyzer{
	Name:     "determinism",
	Doc:      "report what may make two runs from one seed differ",
	Requires: []*analysis.Analyzer{inspect.Analyzer},
	Run:      run,
}

// checker is the check of one package.
type checker struct {
	*analysis.Pass
	exceptions map[line]*exception
}

func run(pass *analysis.Pass) (any, error) {
	c := &checker{Pass: pass, exceptions: map[line]*exception{}}
	for _, f := range pass.Files {
		if c.exempt(f.Pos()) {
			continue
		}
		if err := c.readExceptions(f); err != nil {
			return nil, err
		}
	}
	in := pass.ResultOf[inspect.Analyzer].(*inspector.Inspector)
	in.WithStack(nil, func(n ast.Node, push bool, stack []ast.Node) bool {
		if !push || c.exempt(stack[0].Pos()) {
			return false
		}
		switch n := n.(type) {
		case *ast.ImportSpec:
			c.checkImport(n)
		case *ast.Ident:
			c.checkFunc(n, stack)
		case *ast.RangeStmt:
			c.checkMapRange(n, stack)
		}
		c.checkConcurrency(n)
		return true
	})
	c.reportExceptions()
	return nil, nil
}

// exempt says whether the file at pos is a test, or made by the go command, such as the main package around tests.
func (c *checker) exempt(pos token.Pos) bool {
	name := c.Fset.File(pos).Name()
	return strings.HasSuffix(name, "_test.go") || !strings.HasSuffix(name, ".go")
}

// report reports a violation unless its line is excepted.
func (c *checker) report(n ast.Node, format string, args ...any) {
	if e := c.exceptions[c.line(n.Pos())]; e != nil {
		e.used = true
		return
	}
	c.ReportRangef(n, format, args...)
}
