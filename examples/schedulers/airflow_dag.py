# Written by: pipeline submit run.yaml --executor airflow
# A DAG for Airflow 3: put it into the folder of DAGs. Shards are mapped tasks; one that
# fails is tried again and goes on, but for exit codes 2 (wrong use or unusable input) and
# 3 (a gate said no), which another try would end with, too.
import subprocess

from airflow.exceptions import AirflowFailException
from airflow.sdk import dag, task

PIPELINE = "/opt/eaft/bin/pipeline"
RUN = "/data/run.yaml"
SET = []


def call(command, *args):
    done = subprocess.run([PIPELINE, command, RUN, *args, *SET])
    if done.returncode in (2, 3):
        raise AirflowFailException(f"pipeline {command}: exit code {done.returncode}")
    done.check_returncode()


@task(retries=3)
def work(stage, shard, of):
    call("work", "--stage", stage, "--shard", f"{shard}/{of}")


@task(retries=3)
def run(until):
    call("run", *(["--until", until] if until else []))


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
