package pipeline

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"eaft/internal/store"
)

// unchanged makes sure that what a step reads itself, its corpora, its options' files
// and the model, is what its key was made of: a run may come to a step, or end it, hours
// after its plan. Else another is what is not.
func (p *Pipeline) unchanged(s *Step) (another string, err error) {
	m := openMemo(p.at(p.Out, hashesName))
	for _, name := range slices.Sorted(maps.Keys(s.Parts)) {
		was, is := s.Parts[name], ""
		kind, rest, _ := strings.Cut(name, " ")
		switch kind {
		case "corpus":
			_, path, _ := strings.Cut(rest, " ") // behind its number
			is, err = p.hashPath(m, path, name)
		case "file":
			is, err = p.hashPath(m, rest, name)
		case "model":
			is, err = p.hashModel(m, p.argument(p.Model), p.ModelHash)
		default:
			continue
		}
		if err != nil {
			return "", err
		}
		if is != was {
			return fmt.Sprintf("%s was changed since the run began (%s -> %s): run again, with what it is now", name, brief(was), brief(is)), nil
		}
	}
	return "", nil
}

// discard removes what a step made of something else than its key says.
func (p *Pipeline) discard(s *Step) error {
	if err := store.RemoveAll(p.at(s.out())); err != nil {
		return err
	}
	return p.forget(s)
}
