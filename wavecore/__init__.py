"""What one training step of a network costs on a systolic accelerator.

::

    import wavecore as wc
    run = wc.simulate(wc.workload("resnet50"), schedule="mbs2", accelerator="wavecore")
    run.dram_bytes.total, run.step_seconds, run.energy_joules.total
    run.layers            # pandas.DataFrame, one row for each layer and phase

`simulate` gives a whole run, `evaluate` the totals of one design point in milliseconds, `table` a DataFrame of many,
`explore` a sweep.

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wavecore.errors import InputError, InvariantError, WavecoreError
    from wavecore.hardware.config import load_accelerator
    from wavecore.hardware.specs import Accelerator
    from wavecore.importers import ModelNote, from_onnx, from_torch
    from wavecore.network.catalog import Workload, workload, workload_names
    from wavecore.network.graph import LayerGraph, Network
    from wavecore.plan.files import load_plan, plan_text, save_plan
    from wavecore.plan.model import Choices, Group, Plan, Residency
    from wavecore.plan.schedule import Schedule
    from wavecore.results.energy_report import energy_report
    from wavecore.results.run import Run, Totals, table, to_dict
    from wavecore.simulation import evaluate, make_plan, schedule_names, simulate
    from wavecore.sparsity.profile import LayerSparsity, Profile
    from wavecore.sparsity.profile_file import load_profile, save_profile
    from wavecore.sparsity.structure import apply_profile
    from wavecore.sweep.exploration import explore
    from wavecore.training.graph import TrainingGraph
    from wavecore.training.unroll import training_graph

    __version__: str

__all__ = [
    "Accelerator",
    "Choices",
    "Group",
    "InputError",
    "InvariantError",
    "LayerGraph",
    "LayerSparsity",
    "ModelNote",
    "Network",
    "Plan",
    "Profile",
    "Residency",
    "Run",
    "Schedule",
    "Totals",
    "TrainingGraph",
    "WavecoreError",
    "Workload",
    "__version__",
    "apply_profile",
    "energy_report",
    "evaluate",
    "explore",
    "from_onnx",
    "from_torch",
    "load_accelerator",
    "load_plan",
    "load_profile",
    "make_plan",
    "plan_text",
    "save_plan",
    "save_profile",
    "schedule_names",
    "simulate",
    "table",
    "to_dict",
    "training_graph",
    "workload",
    "workload_names",
]

_HOMES = {
    "errors": ("InputError", "InvariantError", "WavecoreError"),
    "hardware.config": ("load_accelerator",),
    "hardware.specs": ("Accelerator",),
    "importers": ("ModelNote", "from_onnx", "from_torch"),
    "network.catalog": ("Workload", "workload", "workload_names"),
    "network.graph": ("LayerGraph", "Network"),
    "plan.files": ("load_plan", "plan_text", "save_plan"),
    "plan.model": ("Choices", "Group", "Plan", "Residency"),
    "plan.schedule": ("Schedule",),
    "results.energy_report": ("energy_report",),
    "results.run": ("Run", "Totals", "table", "to_dict"),
    "simulation": ("evaluate", "make_plan", "schedule_names", "simulate"),
    "sparsity.profile": ("LayerSparsity", "Profile"),
    "sparsity.profile_file": ("load_profile", "save_profile"),
    "sparsity.structure": ("apply_profile",),
    "sweep.exploration": ("explore",),
    "training.graph": ("TrainingGraph",),
    "training.unroll": ("training_graph",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # a type checker would take every name for one that exists

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            return import_module("wavecore.simulation").package_version()
        if name in _HOME:
            return getattr(import_module(f"wavecore.{_HOME[name]}"), name)
        raise AttributeError(f"module 'wavecore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
