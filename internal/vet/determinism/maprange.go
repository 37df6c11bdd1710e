package determinism

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
)

// checkMapRange reports a range over a map whose order may leave the loop.
func (c *checker) checkMapRange(r *ast.RangeStmt, stack []ast.Node) {
	if !may[*types.Map](c.TypesInfo.TypeOf(r.X)) {
		return
	}
	l := &mapLoop{checker: c, stmt: r, folds: map[types.Object]fold{},
		inElements: map[types.Object]bool{}, own: map[*ast.Ident]bool{}}
	l.check(stack)
	if l.bad != nil {
		c.report(r, "the order of the map may leave the loop: line %d %s",
			c.Fset.Position(l.bad.Pos()).Line, l.why)
	}
}

// mapLoop is one range over a map under examination.
type mapLoop struct {
	*checker
	stmt *ast.RangeStmt
	key  types.Object // the loop's key variable, or nil
	// folds are the variables and fields that outlive a round, and the operation that all rounds use on each.
	folds map[types.Object]fold
	// inElements are those of folds that were reached through a variable of the round, such as the loop's value.
	inElements map[types.Object]bool
	// own are the identifiers in folds' own operations; any other mention reads what other rounds wrote.
	own map[*ast.Ident]bool
	// collected are the slices that must be sorted after the loop, in the order of first mention.
	collected []*types.Var
	// bad is the first part that depends on the order, and why.
	bad ast.Node
	why string
}

// fold is an operation for which the order of the rounds does not matter, as long as it is the only one.
type fold string

const (
	foldAppend fold = "append"
	foldKeyed  fold = "entries under the loop's key" // each round has its own
	foldInsert fold = "insert"
	foldDelete fold = "delete"
	foldClear  fold = "clear"
)

// commutative maps the assignments on integers to classes of operations that may be mixed.
var commutative = map[token.Token]fold{
	token.ADD_ASSIGN: "sum", token.SUB_ASSIGN: "sum", token.INC: "sum", token.DEC: "sum",
	token.MUL_ASSIGN: "product", token.OR_ASSIGN: "or", token.XOR_ASSIGN: "xor",
	token.AND_ASSIGN: "and", token.AND_NOT_ASSIGN: "and",
}

func (l *mapLoop) fail(n ast.Node, format string, args ...any) {
	if l.bad == nil {
		l.bad, l.why = n, fmt.Sprintf(format, args...)
	}
}

func (l *mapLoop) check(stack []ast.Node) {
	for _, e := range []ast.Expr{l.stmt.Key, l.stmt.Value} {
		if id, ok := e.(*ast.Ident); e != nil && l.stmt.Tok == token.ASSIGN && !(ok && id.Name == "_") {
			l.fail(e, "leaves the last element in a variable")
		}
	}
	if id, ok := l.stmt.Key.(*ast.Ident); ok {
		l.key = l.TypesInfo.Defs[id]
	}
	l.block(l.stmt.Body, 0)
	l.checkReads()
	for _, x := range l.collected {
		l.checkSorted(x, stack)
	}
}

// block, list and statement walk the body; breakable counts the inner statements that a break may leave.
func (l *mapLoop) block(b *ast.BlockStmt, breakable int) { l.list(b.List, breakable) }

func (l *mapLoop) list(list []ast.Stmt, breakable int) {
	for _, s := range list {
		l.statement(s, breakable)
	}
}

func (l *mapLoop) statement(s ast.Stmt, breakable int) {
	switch s := s.(type) {
	case nil, *ast.EmptyStmt:
	case *ast.BlockStmt:
		l.block(s, breakable)
	case *ast.IfStmt:
		l.statement(s.Init, breakable)
		if !l.extremeByIf(s) {
			l.pure(s.Cond)
			l.block(s.Body, breakable)
			l.statement(s.Else, breakable)
		}
	case *ast.SwitchStmt:
		l.statement(s.Init, breakable)
		l.pure(s.Tag)
		l.block(s.Body, breakable+1)
	case *ast.TypeSwitchStmt:
		l.statement(s.Init, breakable)
		switch a := s.Assign.(type) {
		case *ast.ExprStmt:
			l.pure(a.X)
		case *ast.AssignStmt:
			l.pure(a.Rhs...)
		}
		l.block(s.Body, breakable+1)
	case *ast.CaseClause:
		l.pure(s.List...)
		l.list(s.Body, breakable)
	case *ast.ForStmt:
		l.statement(s.Init, breakable)
		l.pure(s.Cond)
		l.statement(s.Post, breakable)
		l.block(s.Body, breakable+1)
	case *ast.RangeStmt:
		l.pure(s.X)
		if s.Tok == token.ASSIGN {
			l.fail(s, "leaves the last element in a variable")
		}
		if t := l.TypesInfo.TypeOf(s.X); may[*types.Signature](t) {
			l.fail(s, "calls an iterator")
		}
		l.block(s.Body, breakable+1)
	case *ast.BranchStmt:
		switch {
		case s.Label != nil, s.Tok == token.GOTO:
			l.fail(s, "jumps to a label")
		case s.Tok == token.BREAK && breakable == 0:
			l.fail(s, "leaves the loop early")
		}
	case *ast.ReturnStmt:
		l.fail(s, "leaves the loop early")
	case *ast.DeclStmt:
		for _, spec := range s.Decl.(*ast.GenDecl).Specs {
			if v, ok := spec.(*ast.ValueSpec); ok {
				l.pure(v.Values...)
			}
		}
	case *ast.IncDecStmt:
		l.update(s, s.X, s.Tok)
	case *ast.AssignStmt:
		l.assignment(s)
	case *ast.ExprStmt:
		l.call(s)
	default:
		l.fail(s, "has an effect")
	}
}

// pure demands expressions without effects.
func (l *mapLoop) pure(list ...ast.Expr) {
	for _, e := range list {
		if bad := l.impure(e); bad != nil {
			l.fail(bad, "%s may have an effect", types.ExprString(bad.(ast.Expr)))
		}
	}
}

func (l *mapLoop) assignment(s *ast.AssignStmt) {
	switch {
	case s.Tok == token.DEFINE:
		l.pure(s.Rhs...)
	case s.Tok != token.ASSIGN:
		l.pure(s.Rhs...)
		l.update(s, s.Lhs[0], s.Tok)
	case len(s.Lhs) == len(s.Rhs):
		for i, lhs := range s.Lhs {
			l.assign(s, lhs, s.Rhs[i])
		}
	default: // v, ok = m[k]
		l.pure(s.Rhs...)
		for _, lhs := range s.Lhs {
			if !l.local(lhs) {
				l.fail(s, "leaves a value of the last round in %s", types.ExprString(lhs))
			}
		}
	}
}

// assign examines lhs = rhs.
func (l *mapLoop) assign(s ast.Stmt, lhs, rhs ast.Expr) {
	lhs = ast.Unparen(lhs)
	if l.local(lhs) {
		if a, ok := l.selfCall(lhs, rhs, "append"); ok { // a slice that this round made; see local
			l.pure(a...)
		} else {
			l.pure(rhs)
		}
		return
	}
	if x, ok := lhs.(*ast.IndexExpr); ok && may[*types.Map](l.TypesInfo.TypeOf(x.X)) {
		l.insert(s, x, rhs)
		return
	}
	if x, ok := lhs.(*ast.Ident); ok {
		if args, ok := l.selfCall(lhs, rhs, "append"); ok {
			l.pure(args...)
			l.fold(s, x, foldAppend)
			l.ownUses(rhs.(*ast.CallExpr).Args[0])
			return
		}
		for _, name := range []string{"min", "max"} {
			if args, ok := l.selfCall(lhs, rhs, name); ok && l.ordered(x) {
				l.pure(args...)
				l.fold(s, x, fold(name))
				l.ownUses(rhs.(*ast.CallExpr).Args[0])
				return
			}
		}
	}
	l.fail(s, "leaves a value of the last round in %s", types.ExprString(lhs))
}

// insert examines m[i] = rhs.
func (l *mapLoop) insert(s ast.Stmt, x *ast.IndexExpr, rhs ast.Expr) {
	l.pure(x.X, x.Index)
	switch {
	case l.isKey(x.Index):
		if args, ok := l.selfCall(x, rhs, "append"); ok {
			l.pure(args...)
		} else {
			l.pure(rhs)
		}
		l.fold(s, x.X, foldKeyed)
	case l.constant(rhs):
		l.fold(s, x.X, foldInsert+fold(" of "+types.ExprString(rhs)))
	default:
		l.fail(s, "inserts under a key that another round may use too")
	}
}

// update examines x++ and x op= y.
func (l *mapLoop) update(s ast.Stmt, x ast.Expr, op token.Token) {
	x = ast.Unparen(x)
	if l.local(x) {
		return
	}
	class, ok := commutative[op]
	integer := is(l.TypesInfo.TypeOf(x), types.IsInteger)
	switch x := x.(type) {
	case *ast.IndexExpr:
		l.pure(x.X, x.Index)
		if isMap := may[*types.Map](l.TypesInfo.TypeOf(x.X)); isMap && l.isKey(x.Index) {
			l.fold(s, x.X, foldKeyed)
			return
		}
		if ok && integer {
			l.fold(s, x.X, class)
			return
		}
	case *ast.Ident, *ast.SelectorExpr:
		l.pure(x)
		if ok && integer {
			l.fold(s, x, class)
			return
		}
	}
	l.fail(s, "updates %s by an operation whose order matters", types.ExprString(x))
}

// extremeByIf accepts `if y > x { x = y }` and its like for ordered values without ties that can be told apart.
func (l *mapLoop) extremeByIf(s *ast.IfStmt) bool {
	cond, ok := ast.Unparen(s.Cond).(*ast.BinaryExpr)
	if !ok || s.Else != nil || len(s.Body.List) != 1 {
		return false
	}
	a, ok := s.Body.List[0].(*ast.AssignStmt)
	if !ok || a.Tok != token.ASSIGN || len(a.Lhs) != 1 || len(a.Rhs) != 1 {
		return false
	}
	x, ok := a.Lhs[0].(*ast.Ident)
	if !ok || l.local(x) || !l.ordered(x) {
		return false
	}
	y, limit, greater := cond.X, cond.Y, false
	switch cond.Op {
	case token.GTR, token.GEQ:
		greater = true
	case token.LSS, token.LEQ:
	default:
		return false
	}
	if l.same(x, y) {
		y, limit, greater = limit, y, !greater
	}
	if !l.same(x, limit) || types.ExprString(y) != types.ExprString(a.Rhs[0]) {
		return false
	}
	l.pure(y)
	class := fold("min")
	if greater {
		class = "max"
	}
	l.fold(a, x, class)
	l.ownUses(limit)
	return true
}

// call examines a call as a statement.
func (l *mapLoop) call(s *ast.ExprStmt) {
	call, ok := ast.Unparen(s.X).(*ast.CallExpr)
	if !ok {
		l.fail(s, "has an effect")
		return
	}
	name := l.builtin(call)
	if name != "delete" && name != "clear" {
		l.fail(s, "%s may have an effect", types.ExprString(call))
		return
	}
	l.pure(call.Args...)
	switch {
	case name == "delete" && l.isKey(call.Args[1]):
		l.fold(s, call.Args[0], foldKeyed)
	case name == "delete":
		l.fold(s, call.Args[0], foldDelete)
	case name == "clear":
		l.fold(s, call.Args[0], foldClear)
	}
}
