package determinism

import (
	"go/ast"
	"go/token"
	"go/types"
	"strconv"
	"strings"
)

// bannedImport names what an import brings in, or "".
func bannedImport(path string) string {
	switch first, _, _ := strings.Cut(path, "/"); {
	case path == "sync", path == "sync/atomic":
		return "needs more than one goroutine"
	case first == "os":
		return "reaches the operating system; use env"
	case first == "net":
		return "reaches the network; use env"
	case path == "crypto/rand":
		return "is not seeded; use env.Rand"
	}
	return ""
}

func (c *checker) checkImport(s *ast.ImportSpec) {
	path, err := strconv.Unquote(s.Path.Value)
	if err != nil {
		return // no program that compiles
	}
	if why := bannedImport(path); why != "" {
		c.report(s, "import of %s, which %s", path, why)
	}
}

// clock are the functions of package time that read the clock or wait for it.
var clock = map[string]bool{
	"Now": true, "Since": true, "Until": true, "Sleep": true, "After": true, "AfterFunc": true, "Tick": true,
	"NewTimer": true, "NewTicker": true,
}

// checkFunc looks at every mention of a function, called or not.
func (c *checker) checkFunc(id *ast.Ident, stack []ast.Node) {
	pkg, name := function(c.TypesInfo.Uses[id])
	switch pkg {
	case "time":
		if clock[name] {
			c.report(id, "time.%s depends on the real clock; use env.Clock", name)
		}
	case "math/rand", "math/rand/v2":
		if !strings.HasPrefix(name, "New") {
			c.report(id, "rand.%s draws from the global source; use env.Rand", name)
		}
	case "maps":
		switch name {
		case "Keys", "Values", "All":
			if !c.sortedAtOnce(stack) {
				c.report(id, "maps.%s without slices.Sorted around it yields in the order of the map", name)
			}
		case "DeleteFunc", "EqualFunc":
			if !c.callsPureFunc(stack) {
				c.report(id, "maps.%s calls its function in the order of the map", name)
			}
		}
	}
}

// function returns the package and the name of a package-level function.
func function(obj types.Object) (pkg, name string) {
	f, ok := obj.(*types.Func)
	if !ok || f.Pkg() == nil || f.Signature().Recv() != nil {
		return "", ""
	}
	return f.Pkg().Path(), f.Name()
}

// callAround returns the call whose function is the identifier on top of the stack, and the stack above the call.
func callAround(stack []ast.Node) (*ast.CallExpr, []ast.Node) {
	fun := stack[len(stack)-1]
	for i := len(stack) - 2; i >= 0; i-- {
		switch n := stack[i].(type) {
		case *ast.SelectorExpr, *ast.ParenExpr:
			fun = n
			continue
		case *ast.CallExpr:
			if n.Fun == fun {
				return n, stack[:i]
			}
		}
		break
	}
	return nil, nil
}

// sortedAtOnce says whether the call of the function on top of the stack is what a slices.Sorted... collects.
func (c *checker) sortedAtOnce(stack []ast.Node) bool {
	call, above := callAround(stack)
	if call == nil || len(above) == 0 {
		return false
	}
	outer, ok := above[len(above)-1].(*ast.CallExpr)
	if !ok || len(outer.Args) == 0 || outer.Args[0] != call {
		return false
	}
	pkg, name := function(c.callee(outer))
	return pkg == "slices" && strings.HasPrefix(name, "Sorted")
}

// callsPureFunc says whether the last argument of the call is a function that only returns an expression.
func (c *checker) callsPureFunc(stack []ast.Node) bool {
	call, _ := callAround(stack)
	if call == nil || len(call.Args) == 0 {
		return false
	}
	f, ok := ast.Unparen(call.Args[len(call.Args)-1]).(*ast.FuncLit)
	if !ok || len(f.Body.List) != 1 {
		return false
	}
	ret, ok := f.Body.List[0].(*ast.ReturnStmt)
	return ok && len(ret.Results) == 1 && c.impure(ret.Results[0]) == nil
}

// callee returns the function, method, builtin or type that a call names, or nil.
func (c *checker) callee(call *ast.CallExpr) types.Object {
	fun := ast.Unparen(call.Fun)
	if x, ok := fun.(*ast.IndexExpr); ok { // an instantiated function
		fun = x.X
	} else if x, ok := fun.(*ast.IndexListExpr); ok {
		fun = x.X
	}
	switch f := fun.(type) {
	case *ast.Ident:
		return c.TypesInfo.Uses[f]
	case *ast.SelectorExpr:
		return c.TypesInfo.Uses[f.Sel]
	}
	return nil
}

// builtin returns the name of the builtin that a call calls, or "".
func (c *checker) builtin(call *ast.CallExpr) string {
	if b, ok := c.callee(call).(*types.Builtin); ok {
		return b.Name()
	}
	return ""
}

func (c *checker) checkConcurrency(n ast.Node) {
	switch n := n.(type) {
	case *ast.GoStmt:
		c.report(n, "go statement: the loop is the only goroutine")
	case *ast.SelectStmt:
		c.report(n, "select statement: its choice is random")
	case *ast.ChanType:
		c.report(n, "channel type")
	case *ast.SendStmt:
		c.report(n, "channel send")
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			c.report(n, "channel receive")
		}
	case *ast.RangeStmt:
		if may[*types.Chan](c.TypesInfo.TypeOf(n.X)) {
			c.report(n, "range over a channel")
		}
	case *ast.CallExpr:
		switch name := c.builtin(n); {
		case name == "" && may[*types.Chan](c.TypesInfo.TypeOf(n)):
			c.report(n, "call that gives a channel")
		case name == "make" && !mentionsChan(n.Args[0]) && may[*types.Chan](c.TypesInfo.TypeOf(n)):
			c.report(n, "make of a channel")
		case (name == "close" || name == "len" || name == "cap") && may[*types.Chan](c.TypesInfo.TypeOf(n.Args[0])):
			c.report(n, "%s of a channel", name)
		}
	}
}

// mentionsChan says whether a channel type is spelled out, which is reported by itself.
func mentionsChan(e ast.Expr) bool {
	_, ok := ast.Unparen(e).(*ast.ChanType)
	return ok
}

// may says whether a type is a T, or a type parameter that may stand for one.
func may[T types.Type](t types.Type) bool {
	if t == nil {
		return false
	}
	if p, ok := types.Unalias(t).(*types.TypeParam); ok {
		return constraintHas[T](p.Constraint().Underlying())
	}
	_, ok := t.Underlying().(T)
	return ok
}

func constraintHas[T types.Type](t types.Type) bool {
	switch t := t.(type) {
	case *types.Interface:
		for e := range t.EmbeddedTypes() {
			if constraintHas[T](e) {
				return true
			}
		}
		return false
	case *types.Union:
		for term := range t.Terms() {
			if constraintHas[T](term.Type()) {
				return true
			}
		}
		return false
	}
	if i, ok := t.Underlying().(*types.Interface); ok {
		return constraintHas[T](i)
	}
	return may[T](t)
}
