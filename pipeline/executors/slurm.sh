#!/bin/sh
# Written by: {{.Command}}
# Running this file submits the jobs of the run, each after the one it needs. Slurm's own
# variables say where and with what they run: SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT.
# A job that is killed or preempted is queued again and goes on.
set -eu
pipeline={{quote .Program}}
run={{quote .File}}
submit() { sbatch --parsable --requeue{{if .Dir}} --chdir={{quote .Dir}}{{end}} "$@"; }
{{range $i, $s := .Stages}}{{if $s.Array}}
{{$s.ID}}=$(submit --job-name={{$s.Job}} --array=0-{{$s.Last}}{{if $i}} --dependency=afterok:${{$s.After}}{{end}} <<END
#!/bin/sh
exec "$pipeline" work "$run" --stage {{$s.Stage}} --shard \$SLURM_ARRAY_TASK_ID/{{$s.Array}}{{$.Set}}
END
){{else}}
{{$s.ID}}=$(submit --job-name={{$s.Job}}{{if $i}} --dependency=afterok:${{$s.After}}{{end}} <<END
#!/bin/sh
exec "$pipeline" run "$run"{{if $s.Stage}} --until {{$s.Stage}}{{end}}{{$.Set}}
END
){{end}}
{{end}}
echo "the last job is ${{(index .Stages .Last).ID}}"
