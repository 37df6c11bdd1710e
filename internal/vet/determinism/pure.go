package determinism

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"
)

// pureBuiltins have no effect. Append is not among them: it may write into an array that others see.
var pureBuiltins = map[string]bool{"len": true, "cap": true, "min": true, "max": true, "make": true, "new": true}

// purePackages have functions without effects, but for those named Append... and those that call back.
var purePackages = map[string]bool{
	"bytes": true, "cmp": true, "math": true, "math/bits": true, "path": true, "strconv": true, "strings": true,
	"unicode": true, "unicode/utf8": true,
}

// pureFuncs are single functions of packages that have others.
var pureFuncs = map[string]bool{
	"maps.Clone": true, "maps.Equal": true,
	"slices.BinarySearch": true, "slices.Clone": true, "slices.Compare": true, "slices.Contains": true,
	"slices.Equal": true, "slices.Index": true, "slices.Max": true, "slices.Min": true,
}

// impure returns the first part of an expression that may have an effect, or nil.
func (c *checker) impure(e ast.Expr) (bad ast.Node) {
	if e == nil {
		return nil
	}
	ast.Inspect(e, func(n ast.Node) bool {
		if bad != nil {
			return false
		}
		switch n := n.(type) {
		case *ast.FuncLit:
			bad = n
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				bad = n
			}
		case *ast.CallExpr:
			if !c.pureCall(n) {
				bad = n
			}
		}
		return bad == nil
	})
	return bad
}

// pureCall says whether a call is known to have no effect, its arguments apart.
func (c *checker) pureCall(call *ast.CallExpr) bool {
	if c.TypesInfo.Types[call.Fun].IsType() {
		return true // a conversion
	}
	if name := c.builtin(call); name != "" {
		return pureBuiltins[name]
	}
	for _, a := range call.Args {
		if t := c.TypesInfo.TypeOf(a); t != nil {
			if _, ok := t.Underlying().(*types.Signature); ok {
				return false
			}
		}
	}
	pkg, name := function(c.callee(call))
	return purePackages[pkg] && !strings.HasPrefix(name, "Append") || pureFuncs[pkg+"."+name]
}
