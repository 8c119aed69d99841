# Written by: {{.Command}}
# A DAG for Airflow 3: put it into the folder of DAGs. Shards are mapped tasks; one that
# fails is tried again and goes on, but for exit codes 2 (wrong use or unusable input) and
# 3 (a gate said no), which another try would end with, too.
import subprocess

from airflow.exceptions import AirflowFailException
from airflow.sdk import dag, task

PIPELINE = {{json .Program}}
RUN = {{json .File}}
SET = {{json .SetList}}


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


@dag(dag_id={{json .Name}}, schedule=None, catchup=False)
def pipeline():
{{range $i, $s := .Stages}}{{if $s.Array}}    {{$s.ID}} = work.override(task_id={{json $s.Job}}).partial(stage={{json $s.Stage}}, of={{$s.Array}}).expand(shard=list(range({{$s.Array}})))
{{else}}    {{$s.ID}} = run.override(task_id={{json $s.Job}})(until={{json $s.Stage}})
{{end}}{{if $i}}    {{$s.After}} >> {{$s.ID}}
{{end}}{{end}}

pipeline()
