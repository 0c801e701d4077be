"""The whole message of every bad sweep specification: file, line, key, what is wrong and what to try."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wavecore.cli import main

Fails = Callable[..., str]

HEAD = 'name = "x"\nworkload = "resnet18"\n'
AXES = "[axes]\n"
BUFFER = "axes.core.global_buffer"


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fails:
    """Run a command that must fail, in a folder of its own, and return what it says without ``error:``."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> str:
        assert main(words) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert "Traceback" not in said.err
        return said.err.removeprefix("error: ").removesuffix("\n").replace("\n  try:", "; try:")

    return call


def check(fails: Fails, text: str, message: str) -> None:
    """Both commands say it, and a sweep has not begun then."""
    Path("s.toml").write_text(text, encoding="utf-8")
    assert fails("sweep", "s.toml") == f"s.toml{message}"
    if "[axes]" in text:
        assert fails("check", "s.toml") == f"s.toml{message}"
    assert [path.name for path in Path().iterdir()] == ["s.toml"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            '"core.globl_buffer" = ["5 MiB"]',
            ":4: axes.core.globl_buffer: there is no parameter named 'core.globl_buffer'; "
            "try: core.global_buffer or energy.global_buffer or energy.local_buffer",
        ),
        (
            'global_buffer = ["5 MiB"]',
            ":4: axes.global_buffer: there is no parameter named 'global_buffer'; "
            "try: core.global_buffer or energy.global_buffer",
        ),
        (
            "option.imag = [32]",
            ":4: axes.option.imag: there is no option of resnet18 named 'option.imag'; "
            "try: option.image or option.width or option.classes",
        ),
        (
            "choice.normalisation_passes = [1]",
            ":4: axes.choice.normalisation_passes: there is no parameter named 'choice.normalisation_passes'; "
            "try: choice.normalization_passes or choice.statistics or choice.branch_gradients",
        ),
        (
            "schedule = []",
            ":4: axes.schedule: the axis is empty; try: a list of values, or a range such as "
            "{ from = , to = , step = }",
        ),
        ('schedule = "mbs2"',
         ':4: axes.schedule: "mbs2" is one value, and an axis has several; try: ["mbs2"], or [base]'),
        ("batch = 64", ":4: axes.batch: 64 is one value, and an axis has several; try: [64], or [base]"),
        ('schedule = ["mbs3"]', ":4: axes.schedule: there is no schedule named 'mbs3'; try: mbs2 or mbs1 or mbs-fs"),
        ('schedule = ["il", "il"]', ":4: axes.schedule: il stands twice; try: each value once"),
        (
            'core.global_buffer = ["5 MiB", "5120 KiB"]',
            f":4: {BUFFER}: 5 MiB stands twice; try: each value once",
        ),
        (
            'schedule = ["plan.toml"]',
            ":4: axes.schedule: a saved plan is made for one machine; "
            "try: one of baseline, archopt, il, mbs-fs, mbs1, mbs2",
        ),
        ('memory = ["hbm3"]', ":4: axes.memory: there is no memory named 'hbm3'; try: hbm2 or hbm2x2"),
        (
            'memory = ["none.toml"]',
            ":4: axes.memory: none.toml: there is no such file; try: a path from the folder of the specification",
        ),
        ('engine = ["evnt"]', ":4: axes.engine: there is no engine named 'evnt'; try: event"),
        ("batch = [0]", ":4: axes.batch: 0 is out of range; try: 1 to 65536"),
        ('batch = ["64"]', ":4: axes.batch: '64' is not a whole number; try: 1 to 65536, without quotes or unit"),
        ("array.rows = [5000]", ":4: axes.array.rows: 5000 is out of range; try: 1 to 4096"),
        ("core.global_buffer = [5]", f":4: {BUFFER}: 5 has no unit; try: 5 MiB or 5 KiB or 5 MB"),
        (
            'core.global_buffer = ["5 GHz"]',
            f":4: {BUFFER}: GHz is a unit of frequency, not of data; try: 5 MiB or 5 KiB or 5 MB",
        ),
        ("choice.normalization_passes = [3]",
         ":4: axes.choice.normalization_passes: '3' is no value of normalization_passes; try: 1 or 2"),
        ('option.image = ["a"]', ":4: axes.option.image: image is 'a', not a whole number; try: image=224"),
        ('workload = ["resnet18"]',
         ":4: axes.workload: stands at the top too; try: one of them"),
        (
            'core.global_buffer = ["5 MiB"]\n"core.global_buffer" = ["6 MiB"]',
            f":4: {BUFFER}: stands twice; try: one of them",
        ),
        (
            'batch = [2]\nconstraints = ["batch > 3"]',
            ":5: axes.constraints: is no parameter of [axes]; try: moving it above the first [section]",
        ),
    ],
)  # fmt: skip
def test_axes(body: str, message: str, fails: Fails) -> None:
    check(fails, HEAD + AXES + body + "\n", message)


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        (
            '{ from = "small", to = "40 MiB", factor = 2 }',
            ".from: 'small' is not a number and a unit; try: 10 MiB or 10 KiB or 10 MB",
        ),
        ('{ from = 5, to = "40 MiB", factor = 2 }', ".from: 5 has no unit; try: 5 MiB or 5 KiB or 5 MB"),
        ('{ from = "9 MiB", to = "4 MiB", factor = 2 }', ": from 9 MiB is above to 4 MiB; try: the smaller one first"),
        ('{ from = "1 MiB", to = "4 MiB", factor = 1 }', ".factor: 1 is not above 1; try: 2"),
        ('{ from = "1 MiB", to = "4 MiB", factor = "2" }',
         ".factor: '2' is not a number; try: a number, without quotes or unit"),
        (
            '{ from = "1 MiB", to = "4 MiB", step = "0 MiB" }',
            ".step: 0 MiB is zero; try: 10 MiB or 10 KiB or 10 MB",
        ),
        (
            '{ from = "1 MiB", to = "4 MiB", step = "-1 MiB" }',
            ".step: -1 MiB is negative; try: 10 MiB or 10 KiB or 10 MB",
        ),
        ('{ from = "1 MiB", to = "4 MiB", step = 1 }', ".step: 1 has no unit; try: 1 MiB or 1 KiB or 1 MB"),
        (
            '{ from = "1 MiB", to = "4 MiB", step = "1 ms" }',
            ".step: ms is a unit of time, not of data; try: 1 MiB or 1 KiB or 1 MB",
        ),
        (
            '{ from = "1 MiB", to = "4 MiB", step = "1 B" }',
            ".step: makes more than 1,000,000 values; try: wider steps, or none and a random search",
        ),
        (
            '{ from = "1 MiB", to = "4 MiB" }',
            ": the range has no steps, and a grid needs them; "
            'try: step, factor or points, or [search] method = "random"',
        ),
        ('{ from = "1 MiB", step = "1 MiB" }', ": the range has no 'to'; try: { from = , to = }"),
        ('{ from = "1 MiB", to = "4 MiB", steps = 3 }', ".steps: unknown key of a range; try: step"),
        ('{ from = "1 MiB", to = "4 MiB", step = "1 MiB", points = 3 }',
         ": states both step and points; try: one of them"),
        ('{ from = "1 MiB", to = "4 MiB", points = 1 }', ".points: 1 is no number of points; try: 2 or more"),
        ('{ from = "1 MiB", to = "4 MiB", points = 3, scale = "lg" }',
         ".scale: 'lg' is not allowed; try: linear or log"),
        (
            '{ from = "1 MiB", to = "4 MiB", factor = 2, scale = "log" }',
            ".scale: factor decides the scale; try: points, or no scale",
        ),
    ],
)  # fmt: skip
def test_ranges(axis: str, message: str, fails: Fails) -> None:
    check(fails, f'{HEAD}{AXES}"core.global_buffer" = {axis}\n', f":4: {BUFFER}{message}")


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        ('schedule = { from = "a", to = "b" }', "schedule: schedule has no ranges; try: a list of values"),
        ("batch = { from = 1, to = 9, step = 0 }", "batch.step: 0 is zero; try: a positive number"),
        ("batch = { from = 1, to = 9, step = -2 }", "batch.step: -2 is negative; try: a positive number"),
        ("batch = { from = 1, to = 9, step = 1.5 }", "batch.step: 1.5 is not a whole number; try: 2"),
        (
            'batch = { from = "a", to = 9, step = 1 }',
            "batch.from: 'a' is not a whole number; try: 1 to 65536, without quotes or unit",
        ),
        (
            'memory.tcl = { from = "0 ns", to = "9 ns", factor = 2 }',
            "memory.tcl.from: nothing multiplied makes a way from zero; try: a positive value, or a step",
        ),
    ],
)
def test_other_ranges(axis: str, message: str, fails: Fails) -> None:
    check(fails, f"{HEAD}{AXES}{axis}\n", f":4: axes.{message}")


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (
            'array.rows = "16384 / array.columns"\narray.columns = "16384 / array.rows"',
            ":4: axes.array.rows: the derived axes go in a circle: array.rows -> array.columns -> array.rows; "
            "try: a list for one of them",
        ),
        (
            'array.rows = [64, 96]\narray.columns = "16384 / array.rows"',
            ":5: axes.array.columns: 16384 / array.rows at array.rows = 96: 170.667 is not a whole number; "
            "try: a constraint that excludes it, or // instead of /",
        ),
        (
            'array.rows = [64]\narray.columns = "1000000 / array.rows"',
            ":5: axes.array.columns: 1000000 / array.rows at array.rows = 64: 15625 is out of range; "
            "try: a constraint that excludes it, or // instead of /",
        ),
        (
            'array.rows = [64]\narray.columns = "16384 / array.row"',
            ":5: axes.array.columns: 'array.row' is neither an axis nor fixed in [base]; "
            "try: array.rows or array.columns",
        ),
        (
            'array.rows = [64]\ncore.global_buffer = "array.rows * 3"',
            ":5: axes.core.global_buffer: array.rows * 3 is a plain number, not bytes; try: an expression of that kind",
        ),
        (
            'array.rows = [64]\narray.columns = "128"',
            ':5: axes.array.columns: "128" is one value, and an axis has several; try: ["128"], or [base]',
        ),
        (
            'array.rows = [64]\narray.columns = "1 / (array.rows - 64)"',
            ":5: axes.array.columns: 1 / (array.rows - 64) divides by zero; try: a condition that rules this out",
        ),
    ],
)
def test_derived_axes(axes: str, message: str, fails: Fails) -> None:
    check(fails, f"{HEAD}{AXES}{axes}\n", message)


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ('["batch > 64"]', "no point satisfies batch > 64; try: a looser one; batch is 32 or 64"),
        (
            '["core.global_buffer > 64"]',
            "core.global_buffer > 64 sets bytes beside a number without a unit; try: 10 MiB",
        ),
        (
            '["core.global_buffer > 64 GHz"]',
            "core.global_buffer > 64 GHz mixes bytes and hz; try: quantities of one kind",
        ),
        (
            '["batch < 1000", "core.global_buffer > 64 MiB"]',
            "no point satisfies core.global_buffer > 64 MiB; try: a looser one; "
            "core.global_buffer is 10 MiB, 20 MiB or 40 MiB",
        ),
        (
            '["memory.bandwidth > 900 GiB/s"]',
            "no point satisfies memory.bandwidth > 900 GiB/s; try: a looser one; "
            "core.global_buffer is 10 MiB, 20 MiB or 40 MiB",
        ),
        (
            '["step_secnds < 3"]',
            "'step_secnds' is nothing that a point or its result has; "
            "try: step_seconds or step_cycles or samples_per_second",
        ),
        ('["batch"]', "batch is a plain number, not a condition; try: batch <= ..."),
        (
            '["import os"]',
            "'import os' is no expression; try: arithmetic as in 16384 / array.rows, a condition as in batch <= 64",
        ),
        ('"batch > 64"', "'batch > 64' is no list of texts; try: [\"batch <= 64\"]"),
    ],
)
def test_constraints(constraint: str, message: str, fails: Fails) -> None:
    axes = 'batch = [32, 64]\ncore.global_buffer = { from = "10 MiB", to = "40 MiB", factor = 2 }\n'
    check(fails, f"{HEAD}constraints = {constraint}\n{AXES}{axes}", f":3: constraints: {message}")


def test_a_constraint_of_many_is_found_on_its_own_line(fails: Fails) -> None:
    text = f'{HEAD}constraints = [\n  "batch > 1",\n  "batch > 99",\n]\n{AXES}batch = [2]\n'
    check(fails, text, ":5: constraints: no point satisfies batch > 99; try: a looser one; batch is 2")


def test_constraints_that_contradict_each_other(fails: Fails) -> None:
    text = f'{HEAD}constraints = ["batch > 32", "batch < 64"]\n{AXES}batch = [32, 64]\n'
    check(fails, text, ": no point satisfies all constraints; try: looser ones")


def test_an_impossible_constraint_on_random_points(fails: Fails) -> None:
    text = f'constraints = ["batch > 99"]\n{AXES}batch = {{ from = 1, to = 64 }}\n'
    check(
        fails,
        HEAD + text + '[search]\nmethod = "random"\npoints = 9\n',
        ":3: constraints: no point satisfies batch > 99; try: a looser one; batch is 1 to 64",
    )


def test_a_grid_without_end(fails: Fails) -> None:
    axes = "batch = { from = 1, to = 65536, step = 1 }\narray.rows = { from = 1, to = 4096, step = 1 }\n"
    message = (
        ': the grid has 268,435,456 points, more than 1,000,000; try: [search] with method = "random" and points = 1000'
    )
    check(fails, HEAD + AXES + axes, message)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            '[objectives]\nminimize = ["step_second"]',
            ":6: objectives.minimize: there is no metric named 'step_second'; try: step_seconds",
        ),
        (
            '[objectives]\nminimize = ["energy"]',
            ":6: objectives.minimize: there is no metric named 'energy'; "
            "try: energy_joules.total or energy_joules.array or energy_joules.local_buffer",
        ),
        ('[objectives]\nminimise = ["macs"]', ":6: objectives.minimise: unknown key; try: minimize or maximize"),
        ('[objectives]\nminimize = "macs"',
         ":6: objectives.minimize: 'macs' is no list of texts; try: [\"step_seconds\"]"),
        (
            '[objectives]\nminimize = ["macs"]\nmaximize = ["macs"]',
            ":7: objectives.maximize: 'macs' stands twice; try: each metric once",
        ),
        ('[objectives]\nper = ["memory"]', ":6: objectives.per: there is no axis named 'memory'; try: one of batch"),
        ('[search]\nmethod = "gird"', ":6: search.method: there is no search method named 'gird'; try: grid"),
        (
            '[search]\nmethod = "anneal"',
            ":6: search.method: there is no search method named 'anneal'; try: one of grid, optuna, random",
        ),
        ('[search]\nmethod = "random"', ":5: search: random has no number of points; try: points = 200"),
        ('[search]\nmethod = "random"\npoints = 0', ":7: search.points: 0 is out of range; try: 1 to 1000000"),
        ("[search]\npoints = 9", ':6: search.points: means nothing to grid; try: method = "random", or leaving it out'),
        ('[figure]\nkind = "line"', ":6: figure.kind: there is no kind of figure named 'line'; try: lines"),
        ('[figure]\nkind = "lines"', ':5: figure: there is no x; try: x = "..."'),
        (
            '[figure]\nkind = "pareto"\nx = "batch"\ny = "macs"',
            ":7: figure.x: there is no metric named 'batch'; try: wavecore list metrics",
        ),
        ('[figure]\nkind = "pareto"\nx = "macs"\ny = "macs"\nvalue = "macs"',
         ":9: figure.value: means nothing to pareto; try: x and y"),
        ("[base]\nbatch = 3", ":4: axes.batch: stands in [base] too (s.toml:6: base.batch); try: one of them"),
        ('[base]\nmemory = ["hbm2"]', ":6: base.memory: what is fixed has one value; try: moving it to [axes]"),
        ("[bse]\nmemory = 3", ":5: bse: unknown key; try: base"),
    ],
)  # fmt: skip
def test_other_sections(section: str, message: str, fails: Fails) -> None:
    check(fails, f"{HEAD}{AXES}batch = [32]\n{section}\n", message)


def test_a_drawing_must_say_where_every_axis_goes(fails: Fails) -> None:
    text = 'batch = [2, 4]\nschedule = ["il"]\n[figure]\nkind = "lines"\nx = "batch"\ny = "macs"\n'
    hint = 'series or panels = "schedule", or one value for it in [base]'
    check(fails, HEAD + AXES + text, f":6: figure: does not say where schedule goes; try: {hint}")
    text = '[search]\nmethod = "random"\npoints = 2\n' + AXES + text.replace('schedule = ["il"]\n', "")
    check(fails, HEAD + text, ':9: figure.kind: lines needs a grid; try: "pareto"')


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ('workload = "resnet18"\n', ': there is no name; try: name = "..." at the top, which also names the folder'),
        ('name = "x"\n', ': there is no workload; try: workload = "resnet50" at the top'),
        (
            'name = "a/b"\nworkload = "resnet18"\n',
            ":1: name: 'a/b' cannot be the name of a folder; try: at most 64 letters, digits, points and dashes",
        ),
        (
            'name = "x"\nworkload = "resnet81"\n',
            ":2: workload: there is no workload named 'resnet81'; try: resnet18 or resnet152 or resnet101",
        ),
        (
            'name = "x"\nworkload = "net.csv"\n',
            ":2: workload: net.csv: there is no such file; try: the path of a topology .csv file",
        ),
        (
            'name = "x"\nworkload = ["resnet18", "resnet34"]\nsearch = { method = "optuna", points = 9 }\n',
            ":3: search.method: optuna looks for one front, and there is one of each workload; "
            "try: one workload, or a random search",
        ),
    ],
)
def test_heads(head: str, message: str, fails: Fails) -> None:
    check(fails, f"{head}{AXES}batch = [32]\n", message)


def test_nothing_varies(fails: Fails) -> None:
    check(fails, f"{HEAD}{AXES}", ':3: axes: nothing varies; try: [axes] with schedule = ["baseline", "mbs2"]')


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "s.toml: is empty; try: a specification in TOML: examples/sweeps/ has some"),
        (b"\x89PNG", "s.toml: is not a text file (byte 0 is not UTF-8); "
         "try: a specification in TOML: examples/sweeps/ has some"),
        (b"name = \n", "s.toml:1: not TOML: Invalid value (at line 1, column 8); "
         "try: a specification in TOML: examples/sweeps/ has some"),
        (b"[axes]\nbatch = [1]\nbatch = [2]\n",
         "s.toml:3: not TOML: Cannot overwrite a value (at line 3, column 12); try: state each key once"),
    ],
)  # fmt: skip
def test_files_that_are_no_specification(content: bytes, message: str, fails: Fails) -> None:
    Path("s.toml").write_bytes(content)
    assert fails("sweep", "s.toml") == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none.toml",), "none.toml: there is no such file; try: a specification in TOML: examples/sweeps/ has some"),
        ((), "wavecore sweep: SPEC.toml is missing; try: wavecore sweep --help"),
        (("s.toml", "--jobs", "0"), "--jobs: 0 is out of range; try: 1 to 1024"),
        (("s.toml", "--jobs", "two"), "--jobs: 'two' is not a whole number; try: 1 to 1024"),
        (("s.toml", "--job", "2"), "wavecore sweep: there is no option --job; try: --jobs or --json or --out"),
        (
            ("s.toml", "--jobs", "2", "--cluster", "tcp://localhost:1"),
            "--jobs: means processes on this machine, and --cluster has its own; try: one of them",
        ),
        (("s.toml", "--plot", "x.gif"), "--plot: x.gif is no .png or .svg or .pdf file; try: x.png"),
        (("s.toml", "--plot", "no/x.png"),
         "no/x.png: cannot be written (No such file or directory); try: a folder that you may write to"),
        (("s.toml", "--out", "s.toml"), "s.toml: is a file, not a folder; try: --out with another folder"),
        (("one.toml", "--plot", "x.png"),
         "--plot: one.toml has no [figure], and one objective only; try: a [figure] in it"),
    ],
)  # fmt: skip
def test_options(words: tuple[str, ...], message: str, fails: Fails) -> None:
    Path("s.toml").write_text(f"{HEAD}{AXES}batch = [2]\n")
    Path("one.toml").write_text(f'{HEAD}{AXES}batch = [2]\n[objectives]\nminimize = ["macs"]\n')
    assert fails("sweep", *words) == message
    assert sorted(path.name for path in Path().iterdir()) == ["one.toml", "s.toml"]


def test_a_folder_of_another_sweep(fails: Fails) -> None:
    Path("s.toml").write_text(f"{HEAD}{AXES}batch = [2]\n")
    Path("other").mkdir()
    Path("other/spec.toml").write_text('name = "y"\n')
    assert fails("sweep", "s.toml", "--out", "other") == (
        "other: holds the sweep 'y'; try: --out with another folder"
    )  # fmt: skip
    Path("mine").mkdir()
    Path("mine/points.csv").write_text("precious")
    assert fails("sweep", "s.toml", "--out", "mine") == (
        "mine/points.csv: is not of this sweep, for there is no spec.toml beside it; try: --out with another folder"
    )
    assert Path("mine/points.csv").read_text() == "precious"


def test_every_point_fails(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.toml").write_text(f"{HEAD}{AXES}option.image = [2, 4]\n")
    assert main(("sweep", "s.toml", "--jobs", "1")) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith(
        "error: s.toml: every point failed; the first: network resnet18: image is 2; try: 32 to 32768\n"
        "  try: x-sweep/points.csv, which has all errors\n"
    )
    assert Path("x-sweep/points.csv").read_text().count("network resnet18: image is") == 2
