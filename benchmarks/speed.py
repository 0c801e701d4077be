"""How fast the simulator itself is: wall time, events and peak memory, each figure from a fresh process.

    python benchmarks/speed.py [--runs 3]

Prints a table of medians.  Seconds depend on the machine; events do not, and are the figure to compare versions by.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from statistics import median

CASES = (
    ("resnet50", "mbs2", "event"),
    ("resnet50", "baseline", "event"),
    ("resnet152", "mbs2", "event"),
    ("inception_v4", "mbs2", "event"),
    ("resnet50", "mbs2", "analytic"),
    ("resnet50", "baseline", "analytic"),
)


def measure(network: str, schedule: str, engine: str) -> dict[str, float]:
    """Simulate once in this process; for the analytic engine, also design points with other buffers once loaded."""
    from wavecore.hardware.config import load_accelerator
    from wavecore.network.catalog import workload
    from wavecore.simulation import simulate

    graph = workload(network)
    started = time.perf_counter()
    run = simulate(graph, schedule, engine=engine)
    seconds = time.perf_counter() - started
    figures = {"seconds": seconds, "events": run.manifest.events}
    if engine == "analytic":
        sizes = [f"core.global_buffer={size} KiB" for size in range(6000, 14000, 400)]
        machines = [load_accelerator(overrides=[size]) for size in sizes]
        started = time.perf_counter()
        for machine in machines:
            simulate(graph, schedule, machine, engine=engine)
        figures["point_seconds"] = (time.perf_counter() - started) / len(machines)
    figures["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


def main() -> None:
    """Run every case in processes of its own and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--case", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(*options.case)))
        return
    print(f"{'network':14}{'schedule':10}{'engine':10}{'seconds':>9}{'events':>10}{'peak MiB':>10}{'ms/point':>10}")
    for case in CASES:
        found = []
        for _ in range(options.runs):
            command = [sys.executable, __file__, "--case", *case]
            found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        middle = {key: median(one[key] for one in found) for key in found[0]}
        point = f"{middle['point_seconds'] * 1e3:10.1f}" if "point_seconds" in middle else ""
        print(
            f"{case[0]:14}{case[1]:10}{case[2]:10}{middle['seconds']:9.2f}{middle['events']:10.0f}"
            f"{middle['peak_mib']:10.0f}{point}",
            flush=True,
        )


if __name__ == "__main__":
    main()
