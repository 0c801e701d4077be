"""Is a value of a wrong type, given to the public functions, an error that names the argument and says what to give?"""

from __future__ import annotations

from typing import Any

import pytest

import wavecore as wc

CALLS: list[tuple[str, tuple[Any, ...], str]] = [
    ("load_accelerator", (3,), 'accelerator: is of type int, and must be of type str; try: "wavecore"'),
    ("apply_profile", ({}, {}), "graph: is of type dict, and must be of type LayerGraph; try: wavecore.workload(NAME)"),
    (
        "save_profile",
        ({}, "p.toml"),
        "profile: is of type dict, and must be of type Profile; try: wavecore.load_profile(PATH)",
    ),
    ("to_dict", ({},), "run: is of type dict, and must be of type Run; try: wavecore.simulate(...)"),
    ("energy_report", ({},), "run: is of type dict, and must be of type Run; try: wavecore.simulate(...)"),
    ("table", (3,), "runs: is of type int, and must be of type Iterable; try: a list of runs"),
    (
        "table",
        ([3],),
        "runs: is of type int, and must be of type Totals; try: a list of runs, as of wavecore.simulate(...)",
    ),
    ("explore", ({},), 'spec: is of type dict, and must be of type str or Path; try: pathlib.Path("sweep.toml")'),
    ("from_onnx", (3,), 'path: is 3, not a path; try: "FILE"'),
    ("load_profile", (3,), 'path: is 3, not a path; try: "FILE"'),
    ("load_plan", (3, None), 'path: is 3, not a path; try: "FILE"'),
    ("workload", (3,), 'workload: is 3, not a name; try: "resnet50"'),
    ("plan_text", (3,), "plan: is 3, not a Plan; try: a value of that type"),
    ("training_graph", ({},), "network: is a dict, not a LayerGraph; try: wavecore.workload(NAME)"),
    ("simulate", (3,), 'workload: is 3, not a name, a LayerGraph or a TrainingGraph; try: "resnet50"'),
]


@pytest.mark.parametrize(("function", "arguments", "message"), CALLS)
def test_a_value_of_a_wrong_type(function: str, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(wc.InputError) as caught:
        getattr(wc, function)(*arguments)
    assert caught.value.message == message
