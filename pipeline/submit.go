package pipeline

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"eaft/internal/cli"
	"eaft/internal/store"
)

//go:embed executors
var executors embed.FS

// Executors are the schedulers that Submit writes for, and its templates.
var Executors = map[string]string{"slurm": "slurm.sh", "ray": "ray.py", "airflow": "airflow.py", "kubernetes": "kubernetes.yaml"}

// Submission is what a scheduler is told.
type Submission struct {
	Command string // that wrote it
	Program string // pipeline, where the workers have it
	File    string // the run's file, where the workers see it
	Name    string // of the whole, and the beginning of the jobs' names
	Image   string // of the container, for Kubernetes
	Claim   string // of the volume, for Kubernetes; "": the run is in a bucket
	Secret  string // whose entries are in the environment, for Kubernetes; "": none
	Array   int    // parts that the shards of a stage are divided in

	SetList []string // flags that every command is given
	Dir     string   // where the run's file is; "": in a bucket
	Stages  []job
}

// job is one job of a submission: an array of workers, or a run until a step.
type job struct {
	ID, Job, After string
	Stage          string // "": to the end
	Array, Last    int
}

// Set is SetList for a shell.
func (s *Submission) Set() string {
	if len(s.SetList) == 0 {
		return ""
	}
	// They stand in a here-document, in which the shell expands.
	return " " + strings.NewReplacer(`\`, `\\`, "$", `\$`, "`", "\\`").Replace(quote(s.SetList))
}

// Last is the number of the last job.
func (s *Submission) Last() int { return len(s.Stages) - 1 }

var jobName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$`)

// plain are paths that every template spells without a thought.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./@:+-]+$`)

// Submit writes what the scheduler runs: an array of workers for every stage
// that has shards, and a run that closes it, each after the one before.
func (p *Pipeline) Submit(ctx context.Context, w io.Writer, executor string, s Submission) error {
	name, ok := Executors[executor]
	if !ok {
		return cli.Usagef("--executor %q: use slurm, ray, airflow or kubernetes; for processes on this machine, pipeline run --workers N", executor)
	}
	if !jobName.MatchString(s.Name) {
		return cli.Usagef("--name %q: use small letters, digits and hyphens, up to 32", s.Name)
	}
	if s.Array == 0 {
		if s.Array = p.Shards; s.Array < 1 {
			return cli.Usagef("--array is missing: how many parts the shards are divided in; or set tokenize.shards, which then is that number")
		}
	}
	if s.Array < 1 || s.Array > 1e5 {
		return cli.Usagef("--array %d: use 1 to 100000", s.Array)
	}
	for _, v := range []string{s.Program, s.File, s.Image, s.Claim, s.Secret} {
		if v != "" && !plain.MatchString(v) {
			return cli.Usagef("%q: what a scheduler's file names has letters, digits and _ . / @ : + - only", v)
		}
	}
	if executor != "kubernetes" && s.Image+s.Claim+s.Secret != "" {
		return cli.Usagef("--image, --claim and --secret are for --executor kubernetes; leave them out")
	}
	if !store.IsURL(s.File) {
		s.Dir = filepath.Dir(s.File)
	}
	if executor == "kubernetes" && (s.Image == "" || s.Claim == "" && s.Dir != "") {
		return cli.Usagef("--image and --claim: a pod needs a container with the four programs, and a volume with the run's folder; or put the run's file into a bucket")
	}
	if s.Dir == "" && s.Claim != "" {
		return cli.Usagef("--claim %s: the run's file %s is in a bucket, and no volume is needed; leave it out", s.Claim, s.File)
	}
	if err := p.fetch(ctx, false); err != nil {
		return err
	}
	s.SetList = setFlags(p.pinned(slices.Concat(p.Environment, p.Set))) // the last one wins
	add := func(stage string, array int) {
		j := job{Stage: stage, Array: array, Last: array - 1}
		what := "finish"
		if stage != "" {
			what = stage
		}
		if array == 0 && stage != "" {
			what = stage + "-close"
		}
		j.Job = s.Name + "-" + what
		j.ID = strings.ReplaceAll(what, "-", "_")
		if n := len(s.Stages); n > 0 {
			j.After = s.Stages[n-1].ID
		}
		s.Stages = append(s.Stages, j)
	}
	if p.Shards > 1 && len(p.Tokenize.Value("dedup")) == 0 {
		add("tokenize", min(s.Array, p.Shards))
	}
	add("tokenize", 0)
	add("score", s.Array)
	add("", 0)
	source, err := executors.ReadFile("executors/" + name)
	if err != nil {
		return err
	}
	t, err := template.New(name).Funcs(template.FuncMap{
		"quote": func(s string) string { return quote([]string{s}) },
		"json": func(v any) (string, error) {
			if list, ok := v.([]string); ok && list == nil {
				v = []string{}
			}
			b, err := json.Marshal(v)
			return string(b), err
		},
	}).Parse(string(source))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return t.Execute(w, &s)
}
