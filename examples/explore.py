"""Explore how memory and buffer size change ResNet-50's step time under three schedules; prints a table in ms."""

from itertools import product

import pandas as pd

import wavecore as wc

training = wc.training_graph(wc.workload("resnet50"))
rows = []
for memory, mib, schedule in product(("hbm2x2", "lpddr4"), (5, 10, 20, 40), ("baseline", "il", "mbs2")):
    machine = wc.load_accelerator(memory=memory, overrides=[f"core.global_buffer={mib} MiB"])
    point = wc.evaluate(training, schedule, machine)
    rows.append({"memory": memory, "buffer (MiB)": mib, "schedule": schedule, "ms": point.step_seconds * 1e3})
table = pd.DataFrame(rows).pivot(index=["schedule", "memory"], columns="buffer (MiB)", values="ms")
print("step time in ms\n" + table.to_string(float_format="{:.1f}".format))
