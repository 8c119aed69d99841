# Written by: pipeline submit run.yaml --executor airflow
# A DAG for Airflow 3: put it into the folder of DAGs. Shards are mapped tasks; one that
# fails is tried again and goes on.
import subprocess

from airflow.sdk import dag, task

PIPELINE = "/opt/eaft/bin/pipeline"
RUN = "/data/run.yaml"
SET = []


@task(retries=3)
def work(stage, shard, of):
    subprocess.run([PIPELINE, "work", RUN, "--stage", stage, "--shard", f"{shard}/{of}", *SET], check=True)


@task(retries=3)
def run(until):
    subprocess.run([PIPELINE, "run", RUN, *(["--until", until] if until else []), *SET], check=True)


@dag(dag_id="eaft", schedule=None, catchup=False)
def pipeline():
    tokenize = work.override(task_id="eaft-tokenize").partial(stage="tokenize", of=6).expand(shard=list(range(6)))
    tokenize_close = run.override(task_id="eaft-tokenize-close")(until="tokenize")
    tokenize >> tokenize_close
    score = work.override(task_id="eaft-score").partial(stage="score", of=6).expand(shard=list(range(6)))
    tokenize_close >> score
    finish = run.override(task_id="eaft-finish")(until="")
    score >> finish


pipeline()
