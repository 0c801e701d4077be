"""Whole messages of mistakes in plans: where, what, what to try."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wavecore.errors import ConfigError, FileError, InputError, PlanError
from wavecore.hardware.config import load_accelerator
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import Concat, Conv, CrossEntropy, Flatten, GlobalAvgPool, GroupNorm, Linear, ReLU
from wavecore.network.shapes import Shape
from wavecore.plan.files import load_plan, save_plan
from wavecore.plan.model import Group, Plan, Residency
from wavecore.plan.rules import verify_plan
from wavecore.training.unroll import training_graph


def build(side: int = 8) -> LayerGraph:
    net = Network("small", Shape(3, side, side))
    x = net(ReLU(), net(GroupNorm(4), net(Conv(8, 3, padding=1), net.input)))
    y = net(Concat(), net(Conv(8), x), net(Conv(8, 3, padding=1), x))
    net(CrossEntropy(), net(Linear(10), net(Flatten(), net(GlobalAvgPool(), y))))
    return net.build()


GRAPH = build()
TRAINING = training_graph(GRAPH)
TEXT = """\
schema = "wavecore.plan/1"
workload = "small"
schedule = "mine"
batch_per_core = 8
weight_double_buffering = true
normalization_passes = 2

[[group]]
units = [
  "conv1", "norm1",
  "conv2", # "conv3"
]
sub_batch = 4
forward.next = ["conv1"]
forward.kept = [
  "norm1",
]
held = ["conv2.weight"]

[[group]]
units = ["conv3", "global_avg_pool1", "linear1", "cross_entropy1"]
sub_batch = 8
"""

BACKWARD = """
[[backward_group]]
units = ["conv1", "norm1"]
sub_batch = 2
backward.kept = ["norm1.gradient"]
[[backward_group]]
units = ["conv2", "conv3", "global_avg_pool1", "linear1", "cross_entropy1"]
sub_batch = 4
held = ["conv3.weight_gradient"]
"""

BACKWARD_MISTAKES = [
    ('"conv2", "conv3"', '"conv3"', "F:25: backward group 1: units: 'conv2' is left out; try: conv2 after norm1"),
    ("sub_batch = 4\nheld", "sub_batch = 9\nheld", "F:30: backward group 2: sub_batch: 9 is out of range; try: 1 to 8"),
    (
        '"conv1", "norm1"]\nsub_batch = 2',
        '"norm1", "conv1"]\nsub_batch = 2',
        "F:25: backward group 1: units: 'norm1' stands where 'conv1' belongs; try: the order of the network",
    ),
    (
        "backward.kept",
        "forward.kept",
        "F:27: backward group 1: forward: a [[backward_group]] does not run forward; try: moving it to a [[group]]",
    ),
    (
        'held = ["conv3',
        'held = ["conv1',
        "F:31: backward group 2: held: 'conv1.weight_gradient' is no weight or weight gradient of this group",
    ),
    (
        "sub_batch = 8\n",
        'sub_batch = 8\nbackward.kept = ["linear1.gradient"]\n',
        "F:23: group 2: backward: a [[group]] does not run backward; try: moving it to a [[backward_group]]",
    ),
    (
        'held = ["conv2.weight"]',
        'held = ["conv2.weight_gradient"]',
        "F:18: group 1: held: 'conv2.weight_gradient' is no weight or weight gradient of this group",
    ),
    ("sub_batch = 2\n", "sub_batch = 2\nschema = 'x'\n", "F:27: backward group 1: schema: unknown key"),
]

HEAD = TEXT.partition("[[group]]")[0]

MISTAKES = [
    # (what is replaced, by what, message)
    (
        '"wavecore.plan/1"',
        '"wavecore.plan/2"',
        "F:1: schema: 'wavecore.plan/2' is not known; try: \"wavecore.plan/1\"",
    ),
    ('"wavecore.plan/1"', "1", 'F:1: schema: 1 is not known; try: "wavecore.plan/1"'),
    (
        'schema = "wavecore.plan/1"',
        "",
        'F: there is no schema; try: schema = "wavecore.plan/1" in a file that holds a plan',
    ),
    ('"small"', '"resnet50"', "F:2: workload: is a plan of 'resnet50', not of 'small'; try: a plan of small"),
    ('"small"', "3", 'F:2: workload: 3 is not a name; try: workload = "resnet50"'),
    ('schedule = "mine"\n', "", 'F: there is no schedule; try: schedule = "mbs2"'),
    ("schedule = ", "schedul = ", "F:3: schedul: unknown key; try: schedule or schema"),
    ("batch_per_core = 8", "batch_per_core = 0", "F:4: batch_per_core: 0 is out of range; try: 1 to 65536"),
    (
        "batch_per_core = 8",
        "batch_per_core = 8.0",
        "F:4: batch_per_core: 8.0 is not a whole number; try: batch_per_core = 32",
    ),
    (
        "batch_per_core = 8",
        f"batch_per_core = 0x{'f' * 9999}",
        "F:4: batch_per_core: a number of thousands of digits is out of range; try: batch_per_core = 32",
    ),
    (
        "= true",
        '= "true"',
        "F:5: weight_double_buffering: 'true' is not true or false; try: true or false, without quotes",
    ),
    ("passes = 2", "passes = 3", "F:6: normalization_passes: 3 is out of range; try: 1 or 2"),
    # groups
    (
        "sub_batch = 4",
        "sub_batch = 0",
        "F:13: group 1: sub_batch: 0 is out of range; try: 1 to 8, the batch_per_core",
    ),
    (
        "sub_batch = 8",
        "sub_batch = 9",
        "F:22: group 2: sub_batch: 9 is out of range; try: 1 to 8, the batch_per_core",
    ),
    (
        "sub_batch = 8",
        "sub_batch = -1",
        "F:22: group 2: sub_batch: -1 is out of range; try: 1 to 8, the batch_per_core",
    ),
    (
        "sub_batch = 8",
        "sub_batch = true",
        "F:22: group 2: sub_batch: True is not a whole number; try: sub_batch = 4",
    ),
    ("sub_batch = 8\n", "", "F:20: group 2: there is no sub_batch; try: sub_batch = 4"),
    ("sub_batch = 8", "sub_bach = 8", "F:22: group 2: sub_bach: unknown key; try: sub_batch"),
    (
        "sub_batch = 8",
        "sub_batch = 8\nschedule = 'x'",
        "F:23: group 2: schedule: unknown key; try: moving it before the first [[group]]",
    ),
    (
        "forward.next",
        "forward.nxt",
        "F:14: group 1: forward.nxt: unknown key; try: next",
    ),
    ("forward.next", "foward.next", "F:14: group 1: foward: unknown key; try: forward or backward"),
    # units
    (
        '"conv3", "gl',
        '"conv9", "gl',
        "F:21: group 2: units: there is no unit named 'conv9'; try: conv3 or conv2 or conv1",
    ),
    (
        '"norm1",\n  "conv2"',
        '"norm1", "relu1",\n"conv2"',
        "F:10: group 1: units: 'relu1' is fused into norm1; name that",
    ),
    (
        '"conv3", "gl',
        '"conv3", "concat1", "gl',
        "F:21: group 2: units: 'concat1' is a view, named in no group; try: leaving it out",
    ),
    (
        '"conv1", "norm1"',
        '"input", "conv1", "norm1"',
        "F:10: group 1: units: 'input' is a view, named in no group; try: leaving it out",
    ),
    ('"conv3", "gl', '"gl', "F:11: group 1: units: 'conv3' is left out; try: conv3 after conv2"),
    ('"conv1", "norm1",', '"norm1",', "F:10: group 1: units: 'conv1' is left out; try: conv1 before norm1"),
    (
        '"conv3", "global_avg_pool1", "linear1", ',
        "",
        "F:11: group 1: units: 'conv3' and 2 more are left out; try: conv3 after conv2",
    ),
    (
        '"conv3", "gl',
        '"conv3", "conv3", "gl',
        "F:21: group 2: units: 'conv3' is in this group already; try: naming each unit once",
    ),
    (
        '"norm1",\n  "conv2"',
        '"norm1",\n  "conv1"',
        "F:11: group 1: units: 'conv1' is in this group already; try: naming each unit once",
    ),
    (
        '"conv3", "gl',
        '"conv2", "conv3", "gl',
        "F:21: group 2: units: 'conv2' is in group 1 already; try: naming each unit once",
    ),
    (
        '"conv1", "norm1",\n  "conv2"',
        '"conv2", "norm1",\n  "conv1"',
        "F:10: group 1: units: 'conv2' stands where 'conv1' belongs; try: the order of the network",
    ),
    (
        "sub_batch = 8",
        "sub_batch = 8\n[[group]]\nunits = []\nsub_batch = 1",
        "F:24: group 3: units: the group is empty; try: naming its units, or leaving it out",
    ),
    (
        'units = ["conv3"',
        'units = [3, "conv3"',
        'F:21: group 2: units: is no list of names; try: units = ["..."]',
    ),
    # residency
    (
        '["conv1"]',
        '["conv11"]',
        "F:14: group 1: forward.next: there is no tensor named 'conv11'; try: conv1 or conv2",
    ),
    (
        '  "norm1",\n]\nheld',
        '  "norm1", "conv1.weight",\n]\nheld',
        "F:16: group 1: forward.kept: 'conv1.weight' has no samples that come and go; try: held",
    ),
    (
        '["conv1"]',
        '["linear1"]',
        "F:14: group 1: forward.next: the group's forward neither reads nor writes 'linear1'; try: leaving it out",
    ),
    (
        '  "norm1",\n]\nheld',
        '  "conv1",\n]\nheld',
        "F:16: group 1: forward.kept: 'conv1' is in forward.next already; try: naming it in one of them",
    ),
    (
        '["conv1"]',
        '["conv1", "conv1"]',
        "F:14: group 1: forward.next: 'conv1' is there twice; try: naming it once",
    ),
    (
        'forward.next = ["conv1"]\nforward.kept = [\n  "norm1",\n]',
        'forward = "kept"',
        'F:14: group 1: forward: is no table; try: forward.kept = ["..."]',
    ),
    (
        '["conv2.weight"]',
        '["conv2"]',
        "F:18: group 1: held: 'conv2' grows with the samples and cannot be held; try: forward.kept or backward.kept",
    ),
    (
        '["conv2.weight"]',
        '["conv2.wieght"]',
        "F:18: group 1: held: there is no tensor named 'conv2.wieght'; "
        "try: conv2.weight or conv1.weight or conv2.weight_gradient",
    ),
    (
        '["conv2.weight"]',
        '["linear1.weight"]',
        "F:18: group 1: held: 'linear1.weight' is no weight or weight gradient of this group; try: leaving it out",
    ),
]


def error_of(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        load_plan(path, TRAINING, graph=GRAPH)
    return caught.value


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_mistake(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    assert TEXT.count(old) == 1
    path.write_text(TEXT.replace(old, new))
    error = error_of(path)
    assert error.message.replace(str(path), "F") == message
    assert type(error) is PlanError


def test_the_plan_itself_is_right(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(TEXT)
    plan = load_plan(tmp_path / "plan.toml", TRAINING)
    assert plan.groups[0].forward == {"conv1": Residency.NEXT, "norm1": Residency.KEPT}


def test_a_name_under_a_table_of_its_own_is_found(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(TEXT + "\n[group.backward]\nnext = ['conv3.gradient']\nkept = [\n'oops'\n]\n")
    assert error_of(path).where == f"{path}:27: group 2: backward.kept"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "F: is empty"),
        (b"\x00\xff", "F: is not a text file (byte 1 is not UTF-8)"),
        (TEXT[:-40], "F:21: not TOML: Unterminated string (at end of document)"),
        (HEAD, "F: there is no group; try: [[group]]"),
        (HEAD + "group = []", "F: there is no group; try: [[group]]"),
        (HEAD + "[group]", "F:8: group: is no list of groups; try: [[group]]"),
        (
            'name = "wavecore"',
            'F: there is no schema; try: schema = "wavecore.plan/1" in a file that holds a plan',
        ),
    ],
)
def test_file(text: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    error = error_of(path)
    assert error.message.replace(str(path), "F") == message
    assert isinstance(error, FileError | ConfigError | PlanError)


@pytest.mark.parametrize(("old", "new", "message"), BACKWARD_MISTAKES)
def test_mistakes_in_groups_of_backward(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = TEXT + BACKWARD
    assert text.count(old) == 1
    path = tmp_path / "plan.toml"
    path.write_text(text)
    load_plan(path, TRAINING)
    path.write_text(text.replace(old, new))
    assert error_of(path).message.replace(str(path), "F").startswith(message)


@pytest.mark.parametrize("length", range(0, len(TEXT), 37))
def test_a_file_cut_off_anywhere_is_an_input_error(length: int, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(TEXT[:length])
    assert error_of(tmp_path / "plan.toml").where.startswith(str(tmp_path / "plan.toml"))


def test_writing() -> None:
    plan = Plan("small", "mine", 1, True, ())
    for path, message in [
        ("/nowhere/plan.toml", "cannot be written (No such file or directory)"),
        ("/", "is a folder, not a file"),
        ("/dev/null", "is not a regular file"),
    ]:
        with pytest.raises(FileError) as caught:
            save_plan(plan, Path(path))
        assert caught.value.message == f"{path}: {message}; try: another path"


def one_group(sub_batch: int, **group: object) -> Plan:
    units = tuple(unit.name for unit in TRAINING.units)
    return Plan("small", "mine", 8, True, (Group(units, sub_batch, **group),))  # type: ignore[arg-type]


def test_a_plan_without_a_file() -> None:
    with pytest.raises(PlanError) as caught:
        verify_plan(TRAINING, one_group(9), load_accelerator())
    message = "plan mine of small: group 1: sub_batch: 9 is out of range; try: 1 to 8, the batch_per_core"
    assert caught.value.message == message
    with pytest.raises(PlanError) as caught:
        verify_plan(TRAINING, one_group(9), load_accelerator(), where="plan.toml")
    assert caught.value.where == "plan.toml: group 1: sub_batch"


@pytest.mark.parametrize(
    ("plan", "kibibytes", "message"),
    [
        (
            one_group(8, forward={"conv1": Residency.KEPT, "norm1": Residency.KEPT}),
            10,
            "layer conv3, forward: needs N of the global buffer for 8 samples, and has N; try: sub_batch = 7",
        ),
        (
            one_group(1, forward={"conv1": Residency.KEPT, "norm1": Residency.KEPT}),
            1,
            "layer conv1, forward: needs N of the global buffer for 1 sample, and has N; "
            "try: keeping less on chip forward",
        ),
        (
            one_group(1, held=frozenset({"conv2.weight"})),
            1,
            "layer conv1, forward: needs N of the global buffer for 1 sample, and has N "
            "beside 128 bytes that are held; try: holding less",
        ),
        (
            one_group(1),
            1,
            "layer conv1, forward: needs N of the global buffer for 1 sample, and has N; "
            'try: --set core.global_buffer="N KiB" or more',
        ),
    ],
)
def test_space(plan: Plan, kibibytes: int, message: str) -> None:
    machine = load_accelerator(overrides=[f"core.global_buffer={kibibytes} KiB"])
    with pytest.raises(PlanError) as caught:
        verify_plan(TRAINING, plan, machine)
    masked = re.sub(r"\d+ (bytes )?\([^)]*\)", "N", caught.value.message)
    masked = re.sub(r'"\d+ KiB"', '"N KiB"', masked)
    assert masked == f"plan mine of small: group 1: {message}"
