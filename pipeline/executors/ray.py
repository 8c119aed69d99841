# Written by: {{.Command}}
# A driver for Ray: python FILE, where the cluster is, or with RAY_ADDRESS.
import subprocess

import ray

PIPELINE = {{json .Program}}
RUN = {{json .File}}
SET = {{json .SetList}}


@ray.remote(num_cpus=1, max_retries=3, retry_exceptions=True)
def work(stage, shard, of):
    subprocess.run([PIPELINE, "work", RUN, "--stage", stage, "--shard", f"{shard}/{of}", *SET], check=True)


@ray.remote(num_cpus=1, max_retries=3, retry_exceptions=True)
def run(until):
    subprocess.run([PIPELINE, "run", RUN, *(["--until", until] if until else []), *SET], check=True)


ray.init()
{{range .Stages}}{{if .Array}}ray.get([work.remote({{json .Stage}}, i, {{.Array}}) for i in range({{.Array}})])
{{else}}ray.get(run.remote({{json .Stage}}))
{{end}}{{end}}
