package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"eaft/internal/lock"
	"eaft/internal/store"
	"eaft/parquet"
)

// Status is where a run stands.
type Status struct {
	File    string       `json:"file"`
	Set     []string     `json:"set,omitempty"`      // what --set said beside the file
	LastRun string       `json:"last_run,omitempty"` // the command of the last run in the folder, where its --set said something else
	Out     string       `json:"out"`
	Done    bool         `json:"done"`
	Running string       `json:"running,omitempty"` // which process is at work
	Model   string       `json:"model,omitempty"`   // folder of the finished training's model, the best one where that is kept; of adapters merged
	Adapter string       `json:"adapter,omitempty"` // that of its adapter
	Steps   []StepStatus `json:"steps"`
}

// StepStatus is one step of it. Rows and tokens are those of its result.
type StepStatus struct {
	Name          string          `json:"name"`
	State         string          `json:"state"` // done, run, resume, mend
	Why           []string        `json:"why,omitempty"`
	Key           string          `json:"key"`
	Folder        string          `json:"folder"`
	Command       []string        `json:"command"`
	Attempts      []Attempt       `json:"attempts"`
	Seconds       float64         `json:"seconds"`                  // of all attempts that ended
	PeakMemory    int64           `json:"peak_memory"`              // bytes
	WorkerSeconds float64         `json:"worker_seconds,omitempty"` // of the processes that made shards, added up
	ShardsDone    int             `json:"shards_done,omitempty"`
	Shards        int             `json:"shards,omitempty"`
	Ledger        *parquet.Ledger `json:"ledger,omitempty"`
	Result        string          `json:"result,omitempty"`            // what a finished evaluation, inspect or training came to, in words
	Visited       int64           `json:"tokens_visited,omitempty"`    // that training went through in all epochs
	TokensPerS    float64         `json:"tokens_per_second,omitempty"` // that the step went through in this time; 0: not known
	MachineMade   string          `json:"made_on,omitempty"`
}

// Status looks where the run stands. It does not wait for anybody.
func (p *Pipeline) Status(ctx context.Context) (*Status, error) {
	plan, err := p.Plan(ctx)
	if err != nil {
		return nil, err
	}
	st := p.status(plan)
	if last := p.lastSet(); last != nil && !slices.Equal(last.Set, p.Set) {
		st.LastRun = command("run", p.Path, last.Set)
	}
	path := p.at(p.Out, lockName)
	if !store.IsURL(path) {
		now := "was killed"
		if o := lock.Holder(path); o != nil {
			st.Running, now = o.Name(), "is at work"
		}
		for i := range st.Steps {
			if st.Steps[i].unended() && st.Steps[i].State == Resume {
				st.Steps[i].Why = []string{now}
			}
		}
		return st, nil
	}
	o, at, err := lock.LeaseHolder(path)
	if o != nil {
		st.Running = fmt.Sprintf("%s, which showed life at %s by its clock", o.Name(), at.Format(time.RFC3339))
	}
	return st, err
}

func (p *Pipeline) status(plan []Planned) *Status {
	st := &Status{File: p.Path, Set: p.Set, Out: p.at(p.Out), Done: true}
	for _, pl := range plan {
		s := StepStatus{Name: pl.Name, State: pl.What, Why: pl.Why, Key: pl.Key, Folder: p.at(pl.Folder),
			Command: append([]string{pl.Program}, pl.Args...), Attempts: pl.Record.Attempts}
		if s.Attempts == nil {
			s.Attempts = []Attempt{}
		}
		workers := 1
		for _, a := range s.Attempts {
			s.Seconds += a.Seconds
			s.PeakMemory = max(s.PeakMemory, a.PeakMemory)
			s.MachineMade = a.Host
			workers = max(workers, a.Workers)
		}
		s.ShardsDone, s.Shards = p.shardsThere(&pl)
		if s.Shards > 0 {
			said, _ := p.said(pl.Step, s.Shards) // whoever works there says what is wrong with them
			for _, d := range said {
				s.WorkerSeconds += d.Seconds / float64(max(1, d.Beside))
				s.PeakMemory = max(s.PeakMemory, d.PeakMemory)
			}
		}
		// Workers that were started elsewhere count one after the other.
		took := max(s.Seconds, s.WorkerSeconds/float64(workers))
		if s.Ledger = p.ledger(pl.Step); s.Ledger != nil {
			tokens := s.Ledger.Tokens
			if s.Visited = p.visited(pl.Step); s.Visited > 0 {
				tokens = s.Visited
			}
			// How long an attempt took that was killed, nobody knows.
			if took > 1e-6 && (s.WorkerSeconds > 0 || !slices.ContainsFunc(s.Attempts, func(a Attempt) bool { return !a.Ended })) {
				s.TokensPerS = float64(tokens) / took
			}
		}
		if pl.What == Done {
			s.Result = p.headline(pl.Step)
		}
		if pl.What == Done && pl.kind == "train" {
			model, adapter := p.Train.makes(pl.out())
			if model != "" {
				st.Model = p.at(model)
			}
			if adapter != "" {
				st.Adapter = p.at(adapter)
			}
		}
		st.Done = st.Done && pl.What == Done
		st.Steps = append(st.Steps, s)
	}
	return st
}

// ledger is that of the step's manifests or of its run.json; nil without one.
func (p *Pipeline) ledger(s *Step) *parquet.Ledger {
	var sum *parquet.Ledger
	for _, m := range s.Markers {
		var have struct{ Ledger *parquet.Ledger }
		if s.kind == "inspect" || s.kind == "eval" || readJSON(p.at(s.Folder, m), &have) != nil || have.Ledger == nil {
			continue
		}
		if sum == nil {
			sum = &parquet.Ledger{}
		}
		sum.Add(*have.Ledger)
	}
	return sum
}

// visited is how many tokens a training went through: it sees a row once in every
// epoch, or as often as its mixture says. 0 of other steps.
func (p *Pipeline) visited(s *Step) int64 {
	var sum struct{ Tokens int64 }
	if s.kind == "train" && readJSON(p.at(s.out(), "summary.json"), &sum) == nil {
		return sum.Tokens
	}
	return 0
}

// JSON writes the status for machines.
func (st *Status) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(st)
}

// Text writes the status for people.
func (st *Status) Text(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range st.Steps {
		about := s.Result
		if s.Ledger != nil {
			about = fmt.Sprintf("%d rows, %d tokens%s", s.Ledger.RowsOut, s.Ledger.Tokens, s.visits())
			if s.Result != "" {
				about += ", " + s.Result
			}
		}
		took := ""
		if s.Seconds > 0 {
			took = fmt.Sprintf("%v, %d MiB", (time.Duration(s.Seconds*1000) * time.Millisecond).Round(100*time.Millisecond), s.PeakMemory>>20)
		}
		if s.State != Done && s.Shards > 1 && (s.ShardsDone > 0 || s.State == Resume) {
			about = fmt.Sprintf("%d of %d shards", s.ShardsDone, s.Shards)
		}
		why := ""
		if len(s.Why) > 0 {
			why = s.Why[0]
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", s.Name, s.State, took, about, why)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", st.closing())
	return err
}

// unended reports that nobody has said how the last attempt ended.
func (s StepStatus) unended() bool {
	n := len(s.Attempts)
	return n > 0 && !s.Attempts[n-1].Ended
}

// Tokens are those of the result's rows and, where that is another number, those that
// the rate is of.
func (s StepStatus) Tokens() string {
	if s.Ledger == nil {
		return ""
	}
	return fmt.Sprint(s.Ledger.Tokens) + s.visits()
}

// visits is " (360 visited)" of a step that went through its rows more than once, or
// not through all of them.
func (s StepStatus) visits() string {
	if s.Visited <= 0 || s.Visited == s.Ledger.Tokens {
		return ""
	}
	return fmt.Sprintf(" (%d visited)", s.Visited)
}

func (st *Status) closing() string {
	switch {
	case st.Running != "":
		return "at work: " + st.Running + st.other()
	case st.Done:
		return "done; the report is " + store.Join(st.Out, reportDir, "index.html") + st.made()
	}
	return "not done; " + command("run", st.File, st.Set) + st.other()
}

// other says that the run that was asked for is not the one that was begun last.
func (st *Status) other() string {
	if st.LastRun == "" {
		return ""
	}
	which := "the last run here was"
	if st.Running != "" {
		which = "it is"
	}
	return "\n" + which + " another one: " + st.LastRun
}

// made says where what was trained lies.
func (st *Status) made() (said string) {
	if st.Adapter != "" {
		said = ", the adapter " + st.Adapter
	}
	switch {
	case st.Model != "" && st.Adapter != "":
		said += ", merged " + st.Model
	case st.Model != "":
		said = ", the model " + st.Model
	}
	return said
}
