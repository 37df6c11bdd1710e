package determinism

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
)

// fold notes that x, a variable or field that outlives the round, is changed by an operation of this class.
func (l *mapLoop) fold(s ast.Node, x ast.Expr, class fold) {
	id := name(x)
	obj, ok := l.object(id).(*types.Var)
	if !ok {
		l.fail(s, "changes %s, which has no name of its own", types.ExprString(x))
		return
	}
	if was, ok := l.folds[obj]; ok && was != class {
		l.fail(s, "changes %s by %s and by %s", obj.Name(), was, class)
	}
	l.folds[obj] = class
	l.inElements[obj] = l.inElements[obj] || l.inElement(x)
	l.own[id] = true
	if class == foldAppend && !slices.Contains(l.collected, obj) {
		l.collected = append(l.collected, obj)
	}
}

// ownUses marks the mention of a variable inside its own fold.
func (l *mapLoop) ownUses(e ast.Expr) {
	if id := name(e); id != nil {
		l.own[id] = true
	}
}

// checkReads reports mentions of what other rounds change.
func (l *mapLoop) checkReads() {
	if x := l.object(name(l.stmt.X)); x != nil && l.folds[x] != "" && l.folds[x] != foldKeyed {
		l.fail(l.stmt, "changes the map that it ranges over, other than under the loop's key")
	}
	if l.key != nil && l.folds[l.key] != "" {
		l.fail(l.stmt, "changes its key variable")
	}
	var stack []ast.Node
	ast.Inspect(l.stmt.Body, func(n ast.Node) bool {
		if n == nil {
			stack = stack[:len(stack)-1]
			return true
		}
		if id, ok := n.(*ast.Ident); ok && !l.own[id] {
			obj := l.object(id)
			switch class := l.folds[obj]; {
			case class == "":
				l.checkWhole(id, obj, stack)
			case !l.inElements[obj] && fieldOf(stack, id) != nil && l.inElement(fieldOf(stack, id)):
				// sum.bytes += v.bytes: the same field of something else
			case class != foldKeyed || !l.underKey(id, stack):
				l.fail(id, "reads %s, which other rounds change", id.Name)
			}
		}
		stack = append(stack, n)
		return true
	})
}

// fieldOf returns the expression whose field the identifier above the stack selects, or nil.
func fieldOf(stack []ast.Node, id *ast.Ident) ast.Expr {
	if len(stack) > 0 {
		if s, ok := stack[len(stack)-1].(*ast.SelectorExpr); ok && s.Sel == id {
			return s.X
		}
	}
	return nil
}

// inElement says whether e starts from a variable of the round.
func (l *mapLoop) inElement(e ast.Expr) bool {
	for {
		switch x := ast.Unparen(e).(type) {
		case *ast.Ident:
			obj := l.object(x)
			return obj != nil && within(l.stmt, obj.Pos())
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.TypeAssertExpr:
			e = x.X
		default:
			return false
		}
	}
}

// underKey says whether id, on top of the stack, names the map m of an m[key].
func (l *mapLoop) underKey(id *ast.Ident, stack []ast.Node) bool {
	var e ast.Expr = id
	for i := len(stack) - 1; i >= 0; i-- {
		switch n := stack[i].(type) {
		case *ast.SelectorExpr:
			if n.Sel == id {
				e = n
				continue
			}
		case *ast.IndexExpr:
			return n.X == e && l.isKey(n.Index)
		}
		return false
	}
	return false
}

// checkWhole reports the mention of a whole struct, one of whose fields other rounds change.
func (l *mapLoop) checkWhole(id *ast.Ident, obj types.Object, stack []ast.Node) {
	v, ok := obj.(*types.Var)
	if !ok || len(stack) == 0 {
		return
	}
	t := v.Type().Underlying()
	switch parent := stack[len(stack)-1].(type) {
	case *ast.SelectorExpr:
		if parent.X == id {
			return
		}
	case *ast.StarExpr:
		if p, ok := t.(*types.Pointer); ok {
			t = p.Elem().Underlying()
		}
	}
	s, ok := t.(*types.Struct)
	if !ok {
		return
	}
	for f := range s.Fields() {
		if l.folds[f] != "" && (l.inElements[f] || !l.inElement(id)) {
			l.fail(id, "reads %s, whose field %s other rounds change", id.Name, f.Name())
		}
	}
}

// local says whether an assignment to x ends with the round: x is a variable of the body, or a part of one without any
// pointer, slice or map on the way.
func (l *mapLoop) local(x ast.Expr) bool {
	switch x := ast.Unparen(x).(type) {
	case *ast.Ident:
		if x.Name == "_" {
			return true
		}
		obj := l.object(x)
		return obj != nil && obj != l.key && within(l.stmt, obj.Pos())
	case *ast.SelectorExpr:
		_, isStruct := l.TypesInfo.TypeOf(x.X).Underlying().(*types.Struct)
		sel := l.TypesInfo.Selections[x]
		return isStruct && sel != nil && !sel.Indirect() && l.local(x.X)
	case *ast.IndexExpr:
		_, isArray := l.TypesInfo.TypeOf(x.X).Underlying().(*types.Array)
		return isArray && l.local(x.X)
	}
	return false
}

// selfCall returns the other arguments when rhs is a call of the builtin on lhs itself: lhs = append(lhs, ...).
func (l *mapLoop) selfCall(lhs, rhs ast.Expr, builtin string) ([]ast.Expr, bool) {
	call, ok := rhs.(*ast.CallExpr)
	if !ok || l.builtin(call) != builtin || len(call.Args) == 0 || !l.same(lhs, call.Args[0]) {
		return nil, false
	}
	return call.Args[1:], true
}

// same says whether two expressions without effects are spelled alike.
func (l *mapLoop) same(a, b ast.Expr) bool {
	return types.ExprString(ast.Unparen(a)) == types.ExprString(ast.Unparen(b)) && l.object(name(a)) == l.object(name(b))
}

// isKey says whether e is the loop's key, which no two rounds share.
func (l *mapLoop) isKey(e ast.Expr) bool {
	id, ok := ast.Unparen(e).(*ast.Ident)
	return ok && l.key != nil && l.TypesInfo.Uses[id] == l.key
}

// constant says whether e is the same in all rounds and all runs: a constant, nil or an empty composite.
func (l *mapLoop) constant(e ast.Expr) bool {
	if tv := l.TypesInfo.Types[e]; tv.Value != nil || tv.IsNil() {
		return true
	}
	lit, ok := e.(*ast.CompositeLit)
	if !ok || len(lit.Elts) != 0 {
		return false
	}
	_, isStruct := l.TypesInfo.TypeOf(lit).Underlying().(*types.Struct)
	return isStruct
}

// ordered says whether equal values of x are the same value, so that min and max have no ties.
func (l *mapLoop) ordered(x ast.Expr) bool {
	return is(l.TypesInfo.TypeOf(x), types.IsInteger|types.IsString)
}

func is(t types.Type, info types.BasicInfo) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&info != 0
}

func within(n ast.Node, pos token.Pos) bool { return n.Pos() <= pos && pos < n.End() }

// name returns the identifier that names the variable or field that e is, if it has one.
func name(e ast.Expr) *ast.Ident {
	switch x := ast.Unparen(e).(type) {
	case *ast.Ident:
		return x
	case *ast.SelectorExpr:
		return x.Sel
	}
	return nil
}

// object returns what an identifier means, also for the fields of instantiated generic types.
func (l *mapLoop) object(id *ast.Ident) types.Object {
	if id == nil {
		return nil
	}
	return origin(l.TypesInfo.ObjectOf(id))
}

func origin(obj types.Object) types.Object {
	if v, ok := obj.(*types.Var); ok {
		return v.Origin()
	}
	return obj
}
