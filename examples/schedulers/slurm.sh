#!/bin/sh
# Written by: pipeline submit run.yaml --executor slurm
# Running this file submits the jobs of the run, each after the one it needs. Slurm's own
# variables say where and with what they run: SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT.
# A job that is killed or preempted is queued again and goes on.
set -eu
pipeline=/opt/eaft/bin/pipeline
run=/data/run.yaml
submit() { sbatch --parsable --requeue --chdir=/data "$@"; }

tokenize=$(submit --job-name=eaft-tokenize --array=0-5 <<END
#!/bin/sh
exec "$pipeline" work "$run" --stage tokenize --shard \$SLURM_ARRAY_TASK_ID/6
END
)

tokenize_close=$(submit --job-name=eaft-tokenize-close --dependency=afterok:$tokenize <<END
#!/bin/sh
exec "$pipeline" run "$run" --until tokenize
END
)

score=$(submit --job-name=eaft-score --array=0-5 --dependency=afterok:$tokenize_close <<END
#!/bin/sh
exec "$pipeline" work "$run" --stage score --shard \$SLURM_ARRAY_TASK_ID/6
END
)

finish=$(submit --job-name=eaft-finish --dependency=afterok:$score <<END
#!/bin/sh
exec "$pipeline" run "$run"
END
)

echo "the last job is $finish"
