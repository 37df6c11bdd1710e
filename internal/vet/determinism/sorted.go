package determinism

import (
	"go/ast"
	"go/token"
	"go/types"
)

// sorts are the functions that sort their first argument.
var sorts = map[string]bool{
	"slices.Sort": true, "slices.SortFunc": true, "slices.SortStableFunc": true,
	"sort.Slice": true, "sort.SliceStable": true, "sort.Sort": true, "sort.Stable": true,
	"sort.Strings": true, "sort.Ints": true, "sort.Float64s": true,
}

// checkSorted demands that x, to which the loop appends, is a variable of the same function that is sorted, on every way
// out of the loop, before anything else looks at it.
func (l *mapLoop) checkSorted(x *types.Var, stack []ast.Node) {
	inner := len(stack) - 1
	for inner > 0 && !isFunc(stack[inner]) {
		inner--
	}
	if f := stack[inner]; !isFunc(f) || !within(f, x.Pos()) {
		l.fail(l.stmt, "appends to %s, which is no variable of this function", x.Name())
		return
	}
	for i := len(stack) - 2; i > inner; i-- {
		list := statements(stack[i])
		for at, s := range list {
			if !within(s, l.stmt.Pos()) {
				continue
			}
			for next := at + 1; next < len(list); next++ {
				if l.isSort(list[next], x) {
					l.checkUntilSorted(x, stack[inner], s, list[next])
					return
				}
			}
		}
	}
	l.fail(l.stmt, "appends to %s, which is not sorted afterwards", x.Name())
}

func isFunc(n ast.Node) bool {
	switch n.(type) {
	case *ast.FuncDecl, *ast.FuncLit:
		return true
	}
	return false
}

func statements(n ast.Node) []ast.Stmt {
	switch n := n.(type) {
	case *ast.BlockStmt:
		return n.List
	case *ast.CaseClause:
		return n.Body
	}
	return nil
}

// isSort says whether a statement is a call that sorts x.
func (l *mapLoop) isSort(s ast.Stmt, x *types.Var) bool {
	e, ok := s.(*ast.ExprStmt)
	if !ok {
		return false
	}
	call, ok := e.X.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return false
	}
	pkg, name := function(l.callee(call))
	if !sorts[pkg+"."+name] {
		return false
	}
	arg := ast.Unparen(call.Args[0])
	if conv, ok := arg.(*ast.CallExpr); ok && l.TypesInfo.Types[conv.Fun].IsType() {
		arg = ast.Unparen(conv.Args[0]) // sort.Sort(byName(x))
	}
	id, ok := arg.(*ast.Ident)
	return ok && l.TypesInfo.Uses[id] == x
}

// checkUntilSorted reports what may look at x between the loop, which lies inside the statement first, and the sort.
func (l *mapLoop) checkUntilSorted(x *types.Var, fun ast.Node, first, sort ast.Stmt) {
	afterLoop := func(n ast.Node) bool { return l.stmt.End() <= n.Pos() && n.Pos() < sort.Pos() }
	var stack []ast.Node
	ast.Inspect(fun, func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return true
		}
		switch n := n.(type) {
		case *ast.Ident:
			if l.TypesInfo.Uses[n] != x || within(l.stmt, n.Pos()) || n.Pos() >= sort.Pos() {
				break
			}
			// Before the loop x may be used freely, unless an outer loop comes back there, or somebody keeps it.
			kept := escapes(n, stack, l.stmt)
			if kept || (afterLoop(n) || within(first, n.Pos()) && looped(stack, l.stmt)) && !l.grows(n, stack) {
				l.fail(n, "uses %s before it is sorted", x.Name())
			}
		case *ast.BranchStmt:
			if afterLoop(n) && n.Tok != token.FALLTHROUGH {
				l.fail(n, "may pass by the sort of %s", x.Name())
			}
		case *ast.ReturnStmt:
			if afterLoop(n) && isResult(fun, x) {
				l.fail(n, "may pass by the sort of %s", x.Name())
			}
		}
		stack = append(stack, n)
		return true
	})
}

// escapes says whether the identifier above the stack is captured by a closure that does not hold the loop, or has its
// address taken.
func escapes(id *ast.Ident, stack []ast.Node, loop ast.Node) bool {
	for i, n := range stack {
		switch n := n.(type) {
		case *ast.FuncLit:
			if !within(n, loop.Pos()) {
				return true
			}
		case *ast.UnaryExpr:
			if n.Op == token.AND && i == len(stack)-1 && n.X == id {
				return true
			}
		}
	}
	return false
}

// looped says whether a loop on the stack holds the range over the map.
func looped(stack []ast.Node, loop ast.Node) bool {
	for _, n := range stack {
		switch n.(type) {
		case *ast.ForStmt, *ast.RangeStmt:
			if within(n, loop.Pos()) {
				return true
			}
		}
	}
	return false
}

// grows says whether the identifier above the stack is part of x = append(x, ...), which looks at nothing.
func (l *mapLoop) grows(id *ast.Ident, stack []ast.Node) bool {
	for i := len(stack) - 1; i >= 0 && i >= len(stack)-2; i-- {
		if a, ok := stack[i].(*ast.AssignStmt); ok {
			if len(a.Lhs) != 1 || !l.same(a.Lhs[0], id) {
				return false
			}
			_, ok := l.selfCall(a.Lhs[0], a.Rhs[0], "append")
			return ok
		}
	}
	return false
}

// isResult says whether x is a named result of the function.
func isResult(fun ast.Node, x *types.Var) bool {
	var t *ast.FuncType
	switch f := fun.(type) {
	case *ast.FuncDecl:
		t = f.Type
	case *ast.FuncLit:
		t = f.Type
	}
	return t.Results != nil && within(t.Results, x.Pos())
}
