"""Reads a TensorBoard event file with TensorBoard's own readers and prints
{"scalars": {tag: [[step, value, time], ...]}} as JSON.

    pip install tensorboard
    python read_events.py FILE

The loader checks every record's checksums; a bad one raises DataLossError.
"""
import json, os, sys

from tensorboard.backend.event_processing import event_accumulator, event_file_loader
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

reader = PyRecordReader_New(sys.argv[1])
records = 0
while True:
    try:
        reader.GetNext()
    except Exception as e:
        if type(e).__name__ != "OutOfRangeError":
            raise
        break
    records += 1
events = list(event_file_loader.EventFileLoader(sys.argv[1]).Load())
assert len(events) == records, (len(events), records)
assert events[0].file_version == "brain.Event:2", events[0]
acc = event_accumulator.EventAccumulator(os.path.dirname(sys.argv[1]), size_guidance={"scalars": 0, "tensors": 0})
acc.Reload()
scalars = {}
for e in events[1:]:
    for v in e.summary.value:
        scalars.setdefault(v.tag, []).append([e.step, v.tensor.float_val[0], e.wall_time])
assert sorted(acc.Tags()["tensors"] + acc.Tags()["scalars"]) == sorted(scalars), acc.Tags()
print(json.dumps({"scalars": scalars}))
