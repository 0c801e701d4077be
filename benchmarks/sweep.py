"""How fast a sweep is: design points per second, and what the pool and the store add to each.

    python benchmarks/sweep.py [--points 400] [--network resnet50] [--schedule mbs2] [--jobs 1 2]

Every point has a buffer size of its own, and every row is from a fresh process.  Points are counted from the first
tenth on, when all workers are warm.  What is ``added`` is the time of points on which there is nothing to do, and
``task`` what it takes to describe one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from wavecore.hardware.config import load_accelerator
from wavecore.sweep.pool import local_pool
from wavecore.sweep.store import open_store
from wavecore.sweep.task import Outcome, Task, evaluate, make_task

IDLE_POINTS = 4000
METRICS = {f"figure.{number}": number / 7 for number in range(35)}


def idle(task: Task) -> Outcome:
    """An outcome of the usual size, for nothing."""
    return Outcome(key=task.key, metrics=METRICS, error=None, seconds=1e-4)


def seconds_a_point(tasks: Sequence[Task], jobs: int, work: str) -> float:
    """Sweep through a pool and a new store."""
    # Workers cannot import what is in __main__.
    function = evaluate if work == "evaluate" else getattr(import_module(Path(__file__).stem), work)
    warm, started = len(tasks) // 10, 0.0
    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(Path(folder) / "store") as store,
        local_pool(jobs, function) as executor,
    ):
        for done, outcome in enumerate(executor(tasks)):
            store.put(outcome)
            if done == warm:
                started = time.perf_counter()
            if outcome.error:
                sys.exit(outcome.error)
        return (time.perf_counter() - started) / (len(tasks) - warm - 1)


def measure(network: str, schedule: str, count: int, jobs: int) -> dict[str, float]:
    """The figures of one row, in seconds for each point."""
    sizes = [f"core.global_buffer={6144 + 16 * number} KiB" for number in range(count)]
    machines = [load_accelerator(overrides=[size]) for size in sizes]
    started = time.perf_counter()
    tasks = [make_task(network, schedule, machine) for machine in machines]
    described = (time.perf_counter() - started) / count
    point = seconds_a_point(tasks, jobs, "evaluate")
    return {"point": point, "added": seconds_a_point(tasks[:1] * IDLE_POINTS, jobs, "idle"), "task": described}


def main() -> None:
    """Print a row for each number of jobs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=400)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--schedule", default="mbs2")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--case", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(options.network, options.schedule, options.points, options.jobs[0])))
        return
    print(f"{'jobs':>4}{'points/s':>10}{'a core':>10}{'added ms':>10}{'task ms':>10}")
    for jobs in options.jobs:
        command = [sys.executable, __file__, "--case", "--jobs", str(jobs), "--points", str(options.points)]
        command += ["--network", options.network, "--schedule", options.schedule]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        rate = 1 / found["point"]
        print(
            f"{jobs:4}{rate:10.1f}{rate / jobs:10.1f}{found['added'] * 1e3:10.3f}{found['task'] * 1e3:10.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
