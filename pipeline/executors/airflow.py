# Written by: {{.Command}}
# A DAG for Airflow 3: put it into the folder of DAGs. Shards are mapped tasks; one that
# fails is tried again and goes on.
import subprocess

from airflow.sdk import dag, task

PIPELINE = {{json .Program}}
RUN = {{json .File}}
SET = {{json .SetList}}


@task(retries=3)
def work(stage, shard, of):
    subprocess.run([PIPELINE, "work", RUN, "--stage", stage, "--shard", f"{shard}/{of}", *SET], check=True)


@task(retries=3)
def run(until):
    subprocess.run([PIPELINE, "run", RUN, *(["--until", until] if until else []), *SET], check=True)


@dag(dag_id={{json .Name}}, schedule=None, catchup=False)
def pipeline():
{{range $i, $s := .Stages}}{{if $s.Array}}    {{$s.ID}} = work.override(task_id={{json $s.Job}}).partial(stage={{json $s.Stage}}, of={{$s.Array}}).expand(shard=list(range({{$s.Array}})))
{{else}}    {{$s.ID}} = run.override(task_id={{json $s.Job}})(until={{json $s.Stage}})
{{end}}{{if $i}}    {{$s.After}} >> {{$s.ID}}
{{end}}{{end}}

pipeline()
