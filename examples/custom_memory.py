"""Use another memory: hbm3.toml, next to this file, describes one with twice HBM2's bandwidth and a third less energy.

Prints step time and DRAM energy of two schedules, with HBM2 and with this memory.
"""

from pathlib import Path

import wavecore as wc

training = wc.training_graph(wc.workload("resnet50"))
print("schedule  memory  step time (ms)  DRAM energy (J)")
for schedule in ("baseline", "mbs2"):
    for memory in ("hbm2", str(Path(__file__).with_name("hbm3.toml"))):
        point = wc.evaluate(training, schedule, wc.load_accelerator(memory=memory))
        print(f"{schedule:8}  {point.memory:6}  {point.step_seconds * 1e3:14.1f}  {point.energy_joules.dram:15.3f}")
