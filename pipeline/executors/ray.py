# Written by: {{.Command}}
# A driver for Ray: python FILE (not called ray.py), where the cluster is, or with RAY_ADDRESS.
# A task that fails is tried again and goes on, but for exit codes 2 (wrong use or unusable input) and
# 3 (a gate said no), which another try would end with, too.
import subprocess

import ray

PIPELINE = {{json .Program}}
RUN = {{json .File}}
SET = {{json .SetList}}


def call(command, *args):
    done = subprocess.run([PIPELINE, command, RUN, *args, *SET])
    if done.returncode in (2, 3):
        raise RuntimeError(f"pipeline {command}: exit code {done.returncode}")
    done.check_returncode()


@ray.remote(num_cpus=1, max_retries=3, retry_exceptions=[subprocess.CalledProcessError])
def work(stage, shard, of):
    call("work", "--stage", stage, "--shard", f"{shard}/{of}")


@ray.remote(num_cpus=1, max_retries=3, retry_exceptions=[subprocess.CalledProcessError])
def run(until):
    call("run", *(["--until", until] if until else []))


ray.init()
{{range .Stages}}{{if .Array}}ray.get([work.remote({{json .Stage}}, i, {{.Array}}) for i in range({{.Array}})])
{{else}}ray.get(run.remote({{json .Stage}}))
{{end}}{{end}}
