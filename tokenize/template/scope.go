package template

// scope holds few variables as a rule, which a look along the names finds
// sooner than a map does.
type scope struct {
	names  []string
	vals   []any
	more   map[string]any // the names beyond fewNames
	parent *scope
}

const fewNames = 12

func newScope(parent *scope) *scope { return &scope{parent: parent} }

// own is a variable of this scope itself.
func (s *scope) own(name string) (any, bool) {
	for i, n := range s.names {
		if n == name {
			return s.vals[i], true
		}
	}
	v, ok := s.more[name]
	return v, ok
}

func (s *scope) set(name string, v any) {
	for i, n := range s.names {
		if n == name {
			s.vals[i] = v
			return
		}
	}
	if len(s.names) < fewNames {
		s.names, s.vals = append(s.names, name), append(s.vals, v)
		return
	}
	if s.more == nil {
		s.more = map[string]any{}
	}
	s.more[name] = v
}

func (s *scope) get(name string) any {
	for ; s != nil; s = s.parent {
		if v, ok := s.own(name); ok {
			return v
		}
	}
	if f, ok := globals[name]; ok {
		return f
	}
	if name == "self" {
		return reference{}
	}
	return undefined{what: "'" + name + "'"}
}
