# Written by: pipeline submit run.yaml --executor ray
# A driver for Ray: python FILE, where the cluster is, or with RAY_ADDRESS.
import subprocess

import ray

PIPELINE = "/opt/eaft/bin/pipeline"
RUN = "/data/run.yaml"
SET = []


@ray.remote(num_cpus=1, max_retries=3, retry_exceptions=True)
def work(stage, shard, of):
    subprocess.run([PIPELINE, "work", RUN, "--stage", stage, "--shard", f"{shard}/{of}", *SET], check=True)


@ray.remote(num_cpus=1, max_retries=3, retry_exceptions=True)
def run(until):
    subprocess.run([PIPELINE, "run", RUN, *(["--until", until] if until else []), *SET], check=True)


ray.init()
ray.get([work.remote("tokenize", i, 6) for i in range(6)])
ray.get(run.remote("tokenize"))
ray.get([work.remote("score", i, 6) for i in range(6)])
ray.get(run.remote(""))

