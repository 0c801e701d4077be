"""What a plan's file holds, how it may be written by hand, and how it is written to disk."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from wavecore.common.origin import SourceFile
from wavecore.errors import FileError
from wavecore.hardware.config import load_accelerator
from wavecore.network.graph import Network
from wavecore.network.layers import Add, Conv, CrossEntropy, Flatten, GlobalAvgPool, GroupNorm, Linear, ReLU
from wavecore.network.shapes import Shape
from wavecore.plan.files import LINE_LENGTH, load_plan, plan_text, save_plan
from wavecore.plan.footprints import footprints
from wavecore.plan.model import Group, Plan, Residency
from wavecore.results.run import from_dict, to_dict
from wavecore.simulation import simulate
from wavecore.training.graph import TrainingGraph
from wavecore.training.unroll import training_graph


def build() -> TrainingGraph:
    net = Network("small", Shape(3, 8, 8))
    x = net(Conv(8, 3, padding=1), net.input)
    y = net(ReLU(), net(GroupNorm(4), x))
    x = net(Flatten(), net(GlobalAvgPool(), net(Add(), net(Conv(8), y), x)))
    net(CrossEntropy(), net(Linear(10), x))
    return training_graph(net.build())


TRAINING = build()
PLAN = Plan(
    workload="small",
    schedule="by hand",
    batch_per_core=7,
    weight_double_buffering=False,
    groups=(
        Group(
            ("conv1", "norm1", "conv2"),
            3,
            {"conv1": Residency.KEPT, "norm1": Residency.NEXT},
            {"norm1.gradient": Residency.NEXT},
            frozenset({"conv1.weight_gradient", "conv2.weight"}),
        ),
        Group(("add1", "global_avg_pool1", "linear1", "cross_entropy1"), 7),
    ),
    normalization_passes=1,
)


def lines(text: str) -> str:
    """The text without its comments and its digest."""
    return "\n".join(line for line in text.splitlines() if not line.startswith(("#", "digest ="))).strip()


def test_text() -> None:
    assert (
        lines(plan_text(PLAN))
        == """\
schema = "wavecore.plan/1"
workload = "small"
schedule = "by hand"
batch_per_core = 7
weight_double_buffering = false
normalization_passes = 1
order = "overlapped"

[[group]]
units = ["conv1", "norm1", "conv2"]
sub_batch = 3
forward.next = ["norm1"]
forward.kept = ["conv1"]
backward.next = ["norm1.gradient"]
held = ["conv1.weight_gradient", "conv2.weight"]

[[group]]
units = ["add1", "global_avg_pool1", "linear1", "cross_entropy1"]
sub_batch = 7"""
    )


TWO_CUTS = replace(
    PLAN,
    groups=(replace(PLAN.groups[0], backward={}, held=frozenset({"conv2.weight"})), PLAN.groups[1]),
    backward_groups=(
        Group(("conv1", "norm1"), 2, {}, {"norm1.gradient": Residency.NEXT}, frozenset({"conv1.weight_gradient"})),
        Group(("conv2", *PLAN.groups[1].units), 4),
    ),
)


def test_text_of_a_backward_that_is_cut_differently() -> None:
    text = lines(plan_text(TWO_CUTS))
    assert text.startswith(lines(plan_text(PLAN)).partition("\n\n")[0])
    assert text.endswith("""

[[group]]
units = ["add1", "global_avg_pool1", "linear1", "cross_entropy1"]
sub_batch = 7

[[backward_group]]
units = ["conv1", "norm1"]
sub_batch = 2
backward.next = ["norm1.gradient"]
held = ["conv1.weight_gradient"]

[[backward_group]]
units = ["conv2", "add1", "global_avg_pool1", "linear1", "cross_entropy1"]
sub_batch = 4""")


@pytest.mark.parametrize("engine", ["event", "analytic"])
def test_a_backward_that_is_cut_differently_runs(engine: str, tmp_path: Path) -> None:
    save_plan(TWO_CUTS, tmp_path / "plan.toml")
    plan = load_plan(tmp_path / "plan.toml", TRAINING)
    assert plan == TWO_CUTS
    found = simulate(TRAINING, plan, engine=engine)
    assert [group.sub_batch for group in found.groups] == [3, 7]
    assert [(group.layers, group.sub_batch, group.iterations) for group in found.backward_groups] == [
        (("conv1", "norm1"), 2, 4),
        (TWO_CUTS.groups_of_backward[1].units, 4, 2),
    ]
    assert from_dict(json.loads(json.dumps(to_dict(found)))).backward_groups == found.backward_groups
    rows = footprints(TRAINING, plan, load_accelerator())
    assert {(row.group, row.sub_batch) for row in rows if row.direction == "forward"} == {(1, 3), (2, 7)}
    assert {(row.group, row.sub_batch) for row in rows if row.direction == "backward"} == {(1, 2), (2, 4)}


def test_every_key_is_explained() -> None:
    comment = "\n".join(line for line in plan_text(TWO_CUTS).splitlines() if line.startswith("#"))
    for key in tomllib.loads(plan_text(TWO_CUTS)):
        assert key in comment or key in ("schema", "workload", "schedule")
    for key in ("sub_batch", "forward.next", "forward.kept", "backward.next", "held"):
        assert key in comment


def test_round_trip(tmp_path: Path) -> None:
    save_plan(PLAN, tmp_path / "plan.toml")
    assert load_plan(tmp_path / "plan.toml", TRAINING) == PLAN
    assert (tmp_path / "plan.toml").read_text() == plan_text(PLAN)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sub_batch = 7", "sub_batch = 6"),
        ('held = ["conv1.weight_gradient", "conv2.weight"]', 'held = ["conv2.weight"]'),
        ("normalization_passes = 1", "normalization_passes = 2"),
        ('schedule = "by hand"', 'schedule = "mbs2"'),
        ("digest = ", "# digest = "),
    ],
)
def test_an_edited_plan_says_so(tmp_path: Path, old: str, new: str) -> None:
    text = plan_text(PLAN)
    assert old in text
    (tmp_path / "plan.toml").write_text(text.replace(old, new))
    edited = load_plan(tmp_path / "plan.toml", TRAINING)
    assert edited.schedule == ("edited mbs2" if "mbs2" in new else "edited by hand")
    save_plan(edited, tmp_path / "again.toml")
    assert load_plan(tmp_path / "again.toml", TRAINING) == edited


def test_comments_and_the_way_of_writing_are_no_edit(tmp_path: Path) -> None:
    text = plan_text(PLAN).replace("# How one training step", "# mine").replace('", "', '" ,\n "')
    (tmp_path / "plan.toml").write_text(text)
    assert load_plan(tmp_path / "plan.toml", TRAINING) == PLAN


def test_the_file_of_a_network_is_named_from_the_folder_of_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plans").mkdir()
    save_plan(PLAN, "plans/plan.toml", SourceFile("nets/net.onnx", "0" * 64))
    entry = tomllib.loads(Path("plans/plan.toml").read_text())["workload_file"]
    assert entry == {"path": "../nets/net.onnx", "sha256": "0" * 64}
    assert load_plan("plans/plan.toml", TRAINING) == PLAN


def test_the_order_of_a_table_does_not_change_the_text() -> None:
    group = PLAN.groups[0]
    turned = replace(group, forward=dict(reversed(group.forward.items())))
    assert plan_text(replace(PLAN, groups=(turned, PLAN.groups[1]))) == plan_text(PLAN)


@pytest.mark.parametrize("name", ['"', "\\", "a\nb", "\x7f\x00", "é€😀", "#", "x" * 200, "[", "]]", "'"])
def test_any_name_can_be_written(name: str) -> None:
    group = Group((name, "x" * 60, name + "2"), 1, {name: Residency.KEPT}, held=frozenset({name}))
    data = tomllib.loads(plan_text(replace(PLAN, workload=name, groups=(group,))))
    assert data["workload"] == name
    assert data["group"][0] == {
        "units": [name, "x" * 60, name + "2"],
        "sub_batch": 1,
        "forward": {"kept": [name]},
        "held": [name],
    }


def test_long_lists_are_wrapped() -> None:
    names = tuple(f"layer{index}" for index in range(100))
    text = plan_text(replace(PLAN, groups=(Group(names, 1),)))
    assert tomllib.loads(text)["group"][0]["units"] == list(names)
    assert max(map(len, lines(text).splitlines())) <= LINE_LENGTH
    assert len(lines(text).splitlines()) < 30


def test_tables_may_be_written_in_any_way_of_toml(tmp_path: Path) -> None:
    text = plan_text(PLAN)
    text = text.replace('forward.next = ["norm1"]\nforward.kept = ["conv1"]\n', "")
    text = text.replace("held = [", "forward = {kept = ['conv1'], next = ['norm1']}\nheld = [")
    (tmp_path / "plan.toml").write_text(text.replace("\n", "\r\n"), newline="")
    assert load_plan(tmp_path / "plan.toml", TRAINING) == PLAN


def test_an_older_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text("old")
    save_plan(PLAN, path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == plan_text(PLAN)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.toml").symlink_to(tmp_path / "plan.toml")
    save_plan(PLAN, tmp_path / "link.toml")
    assert (tmp_path / "link.toml").is_symlink()
    assert (tmp_path / "plan.toml").read_text() == plan_text(PLAN)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "plan.toml"
    path.write_text("old")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(FileError, match="cannot be written"):
        save_plan(PLAN, path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"
