package notify

import (
	"maps"
	"reflect"
	"slices"
	"text/template"
	"text/template/parse"
)

// letterFunctions are the functions that a letter's template may call. printf
// is not among them: one action of a few bytes could make a gigabyte with it.
var letterFunctions = []string{"and", "eq", "ge", "gt", "le", "len", "lt", "ne", "not", "or"}

// checkTemplate accepts templates whose work is bounded by their length: they
// name fields and call functions of ours, and repeat only what a list of ours
// holds, not list in list. Without {{template}} there is no recursion.
func checkTemplate(t *template.Template, part string) error {
	for _, other := range t.Templates() {
		if other.Name() != t.Name() {
			return &BadLetter{"action", part, "define"}
		}
	}
	if t.Tree == nil {
		return nil // empty
	}
	root := reflect.TypeFor[Fields]()
	c := checker{part: part}
	return c.list(t.Root, scope{dot: root, vars: map[string]reflect.Type{"$": root}})
}

// checker walks a template's tree.
type checker struct {
	part    string
	inRange bool
}

// scope is what dot and the variables are. A nil type is a plain value.
type scope struct {
	dot  reflect.Type
	vars map[string]reflect.Type
}

func (s scope) within(dot reflect.Type) scope { return scope{dot, maps.Clone(s.vars)} }

func (c *checker) bad(what string, n parse.Node) error {
	return &BadLetter{what, c.part, n.String()}
}

func (c *checker) list(l *parse.ListNode, s scope) error {
	if l == nil {
		return nil
	}
	for _, n := range l.Nodes {
		if err := c.node(n, s); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) node(n parse.Node, s scope) error {
	switch n := n.(type) {
	case *parse.TextNode, *parse.CommentNode, *parse.BreakNode, *parse.ContinueNode:
		return nil
	case *parse.ActionNode:
		t, err := c.pipe(n.Pipe, s)
		if err == nil && t != nil && len(n.Pipe.Decl) == 0 {
			return c.bad("action", n) // a list or a group is no text
		}
		return err
	case *parse.IfNode:
		return c.branch(&n.BranchNode, s, false)
	case *parse.WithNode:
		return c.branch(&n.BranchNode, s, true)
	case *parse.RangeNode:
		return c.loop(n, s)
	}
	return c.bad("action", n)
}

func (c *checker) branch(n *parse.BranchNode, s scope, moves bool) error {
	inner := s.within(s.dot)
	t, err := c.pipe(n.Pipe, inner)
	if err != nil {
		return err
	}
	rest := inner.within(s.dot)
	if moves {
		inner.dot = t
	}
	if err := c.list(n.List, inner); err != nil {
		return err
	}
	return c.list(n.ElseList, rest)
}

func (c *checker) loop(n *parse.RangeNode, s scope) error {
	inner := s.within(s.dot)
	decl := n.Pipe.Decl
	t, err := c.value(n.Pipe, inner)
	if err != nil {
		return err
	}
	if t == nil || t.Kind() != reflect.Slice || c.inRange {
		return c.bad("action", n.Pipe)
	}
	inner.dot = t.Elem()
	for i, v := range decl {
		inner.vars[v.Ident[0]] = nil
		if i == len(decl)-1 {
			inner.vars[v.Ident[0]] = t.Elem()
		}
	}
	c.inRange = true
	err = c.list(n.List, inner)
	c.inRange = false
	if err != nil {
		return err
	}
	return c.list(n.ElseList, s.within(s.dot))
}

// pipe checks a pipeline and declares its variables.
func (c *checker) pipe(p *parse.PipeNode, s scope) (reflect.Type, error) {
	if p.IsAssign {
		return nil, c.bad("action", p) // a variable keeps its type
	}
	t, err := c.value(p, s)
	for _, v := range p.Decl {
		s.vars[v.Ident[0]] = t
	}
	return t, err
}

// value checks a pipeline and returns the type of its value: nil for a plain
// one.
func (c *checker) value(p *parse.PipeNode, s scope) (reflect.Type, error) {
	var t reflect.Type
	for _, command := range p.Cmds {
		for i, arg := range command.Args {
			var err error
			if t, err = c.arg(arg, s); err != nil {
				return nil, err
			}
			if _, ok := arg.(*parse.IdentifierNode); ok && i > 0 {
				return nil, c.bad("action", command) // a function's name is no value
			}
		}
		if _, ok := command.Args[0].(*parse.IdentifierNode); ok {
			t = nil
		} else if len(command.Args) > 1 || len(p.Cmds) > 1 && command != p.Cmds[0] {
			return nil, c.bad("action", command) // a value is called
		}
	}
	return t, nil
}

func (c *checker) arg(n parse.Node, s scope) (reflect.Type, error) {
	switch n := n.(type) {
	case *parse.IdentifierNode:
		if !slices.Contains(letterFunctions, n.Ident) {
			return nil, c.bad("function", n)
		}
		return nil, nil
	case *parse.StringNode, *parse.NumberNode, *parse.BoolNode:
		return nil, nil
	case *parse.DotNode:
		return s.dot, nil
	case *parse.FieldNode:
		return c.fields(s.dot, n.Ident, n)
	case *parse.VariableNode:
		t, ok := s.vars[n.Ident[0]]
		if !ok {
			return nil, c.bad("field", n)
		}
		return c.fields(t, n.Ident[1:], n)
	case *parse.PipeNode:
		return c.value(n, s)
	}
	return nil, c.bad("action", n)
}

// fields follows a chain of fields.
func (c *checker) fields(t reflect.Type, names []string, n parse.Node) (reflect.Type, error) {
	for _, name := range names {
		if t == nil || t.Kind() != reflect.Struct {
			return nil, c.bad("field", n)
		}
		f, ok := t.FieldByName(name)
		if !ok || !f.IsExported() {
			return nil, c.bad("field", n)
		}
		t = f.Type
	}
	if t != nil && t.Kind() != reflect.Struct && t.Kind() != reflect.Slice {
		return nil, nil
	}
	return t, nil
}
