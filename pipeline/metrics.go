package pipeline

import (
	"fmt"
	"strings"
	"time"

	"eaft/internal/cli"
	"eaft/internal/store"
	"eaft/parquet"
)

// writeMetrics writes the state of the run as OpenMetrics text, for the textfile
// collector of node_exporter. The file is replaced as a whole. That it cannot be
// written stops no run.
func (p *Pipeline) writeMetrics(plan []Planned) {
	if p.Metrics == "" {
		return
	}
	if err := store.WriteFile(p.Metrics, []byte(openMetrics(p.status(plan), time.Now()))); err != nil {
		p.say("metrics", p.Metrics, "cannot be written", "error", err.Error())
	}
}

const metricsEvery = 15 * time.Second

// keepMetrics writes them again and again while a step runs, until the function
// that it returns is called; the plan must not change meanwhile.
func (p *Pipeline) keepMetrics(plan []Planned) (stop func()) {
	p.writeMetrics(plan)
	return every(metricsEvery, func() { p.writeMetrics(plan) })
}

// label spells the value of a label.
func label(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(s, "\uFFFD")) + `"`
}

// openMetrics is the text format of https://openmetrics.io, which Prometheus'
// older one reads as well. Every sample has the run's folder as a label, so that those
// of several runs on one machine differ.
func openMetrics(st *Status, now time.Time) string {
	var b strings.Builder
	folder, err := store.Abs(st.Out)
	if err != nil {
		folder = st.Out
	}
	run := "run=" + label(cli.Redact(folder))
	family := func(name, help string, value func(StepStatus) (float64, bool)) {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name)
		for _, s := range st.Steps {
			if v, ok := value(s); ok {
				fmt.Fprintf(&b, "%s{%s,step=%s} %v\n", name, run, label(s.Name), v)
			}
		}
	}
	of := func(get func(*parquet.Ledger) int64) func(StepStatus) (float64, bool) {
		return func(s StepStatus) (float64, bool) {
			if s.Ledger == nil {
				return 0, false
			}
			return float64(get(s.Ledger)), true
		}
	}
	family("eaft_step_done", "Whether the step is finished.", func(s StepStatus) (float64, bool) {
		if s.State == Done {
			return 1, true
		}
		return 0, true
	})
	family("eaft_step_attempts", "How often the step was begun.", func(s StepStatus) (float64, bool) { return float64(len(s.Attempts)), true })
	family("eaft_step_exit_code", "Exit code of the last attempt that ended.", func(s StepStatus) (float64, bool) {
		if n := len(s.Attempts); n > 0 && s.Attempts[n-1].Ended {
			return float64(s.Attempts[n-1].Exit), true
		}
		return 0, false
	})
	family("eaft_step_duration_seconds", "Time of all attempts that ended.", func(s StepStatus) (float64, bool) { return s.Seconds, true })
	family("eaft_step_peak_memory_bytes", "Largest resident size of one process.", func(s StepStatus) (float64, bool) { return float64(s.PeakMemory), true })
	family("eaft_step_shards_done", "Shards that are finished.", func(s StepStatus) (float64, bool) { return float64(s.ShardsDone), s.Shards > 0 })
	family("eaft_step_shards", "Shards that the step has.", func(s StepStatus) (float64, bool) { return float64(s.Shards), s.Shards > 0 })
	family("eaft_step_rows_in", "Rows that the finished step was given.", of(func(l *parquet.Ledger) int64 { return l.RowsIn }))
	family("eaft_step_rows_out", "Rows that the finished step passed on.", of(func(l *parquet.Ledger) int64 { return l.RowsOut }))
	family("eaft_step_tokens", "Tokens of these rows.", of(func(l *parquet.Ledger) int64 { return l.Tokens }))
	family("eaft_step_targets", "Trained targets of these rows.", of(func(l *parquet.Ledger) int64 { return l.Targets }))
	fmt.Fprintf(&b, "# HELP eaft_run_done Whether the run is finished.\n# TYPE eaft_run_done gauge\neaft_run_done{%s} %d\n", run, btoi(st.Done))
	fmt.Fprintf(&b, "# HELP eaft_run_written_seconds When this was written.\n# TYPE eaft_run_written_seconds gauge\neaft_run_written_seconds{%s} %d\n# EOF\n", run, now.Unix())
	return b.String()
}
