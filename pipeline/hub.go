package pipeline

import (
	"context"
	"fmt"
	"slices"

	"eaft/internal/cli"
	"eaft/internal/hub"
	"eaft/internal/store"
)

// onHub is the model if it is one of the Hub.
func (c *Config) onHub() (hub.ID, bool) {
	if store.IsURL(c.Dir) {
		if id, ok := hub.Parse(c.Model); ok && !c.isThere(c.Model) && !c.isThere(id.Owner) {
			return id, true
		}
		return hub.ID{}, false
	}
	return hub.Of(c.Dir, c.Model)
}

// fetch brings the model here, if it is one of the Hub, and names it by its commit from
// then on: whatever happens to the branch, a run works with that.
func (p *Pipeline) fetch(ctx context.Context, weights bool) error {
	id, ok := p.onHub()
	if !ok {
		return nil
	}
	if err := hub.Fetch(ctx, id, weights, p.Runner.Err); err != nil {
		return &cli.Error{Code: cli.Code(err), Err: fmt.Errorf("%s: %w", p.place("model"), err)}
	}
	p.Model = hub.Pinned(id).String()
	return nil
}

// pinned is set, in the form of Set, with the commit of the model: a worker reads the same
// Config, whatever has happened to the model's branch meanwhile.
func (p *Pipeline) pinned(set []string) []string {
	if _, ok := p.onHub(); ok {
		return append(slices.Clone(set), "model="+p.Model)
	}
	return set
}
