"""Is a dataflow of the array one file and its line in a table?  A toy output-stationary one runs through all stages."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

import numpy as np
import pytest
from builders import program
from wavecore_example.dataflows import OUTPUT_STATIONARY as OS

import wavecore
from wavecore.cli import main
from wavecore.engines.analytic import run_analytic
from wavecore.engines.event import run_events
from wavecore.errors import ConfigError, NameLookupError
from wavecore.hardware.config import load_accelerator, sources
from wavecore.hardware.dataflows import DATAFLOWS, dataflow_of
from wavecore.hardware.dataflows.base import BufferNeed, GemmCost, GemmMatrix
from wavecore.hardware.dataflows.weight_stationary import WEIGHT_STATIONARY as WS
from wavecore.hardware.specs import Accelerator, ArraySpec
from wavecore.network.compute import Gemm
from wavecore.network.graph import LayerGraph, Network
from wavecore.network.layers import CrossEntropy, Flatten, Linear
from wavecore.network.shapes import Shape
from wavecore.network.sparsity import mask_of
from wavecore.plan.blocking import Blocking, LoopOrder
from wavecore.program.commands import Command, commands
from wavecore.program.flows import outer_blocks
from wavecore.program.lower import lower
from wavecore.simulation import make_plan, simulate
from wavecore.sparsity.profile import Profile
from wavecore.training.unroll import training_graph

SMALL = ("array.rows=4", "array.columns=4", "array.tile_rows=8", "chip.cores=1")
SOURCE = Path(str(wavecore.__file__)).parent


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that an outside file has to do."""
    monkeypatch.setitem(DATAFLOWS, OS.name, OS)


def machine(dataflow: str, *overrides: str) -> Accelerator:
    return load_accelerator(overrides=[*SMALL, f"array.dataflow={dataflow}", *overrides])


def classifier() -> LayerGraph:
    """One linear layer: 64 inputs, 6 outputs."""
    net = Network("classifier", Shape(64, 1, 1))
    net(CrossEntropy(), net(Linear(6, bias=False), net(Flatten(), net.input), name="fc"))
    return net.build()


def lowered(accelerator: Accelerator, samples: int = 8) -> dict[str, Command]:
    training = training_graph(classifier())
    found = lower(training, make_plan(training, "archopt", accelerator, samples), accelerator)
    return {command.name: command for *_, command in commands(found)}


# -- cycles by hand ------------------------------------------------------------------------------------------


def test_wavecore_gemm_asks_the_dataflow(capsys: pytest.CaptureFixture[str]) -> None:
    """8 x 64 times 64 x 6 on 4 x 4: 2 x 2 tiles of 64 cycles each, and 3 + 3 cycles from the first element to the last.

    A tile's 64 vectors of each operand come in 8 pieces of tile_rows = 8, hence 32 waves.
    """
    settings = [word for text in (*SMALL, "array.dataflow=output_stationary") for word in ("--set", text)]
    assert main(["gemm", "8", "64", "6", "--json", *settings]) == 0
    found = json.loads(capsys.readouterr().out)
    parts = (found["fill_cycles"], found["stream_cycles"], found["weight_gap_cycles"], found["drain_cycles"])
    assert (found["dataflow"], found["cycles"], parts) == ("output_stationary", 262, (0, 256, 0, 6))
    assert (found["output_tiles"], found["waves"], found["first_output_cycle"]) == (4, 32, 63)
    assert found["utilization"] == pytest.approx(8 * 64 * 6 / (262 * 16))


def test_one_full_tile_takes_what_scale_sim_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """R + C + K - 2 cycles, of which SCALE-Sim reports one less; streams are the same, so both are explained."""
    (tmp_path / "t.csv").write_text("Layer,M,N,K,\nfull,4,4,50,\n")
    settings = [word for text in (*SMALL, "array.dataflow=output_stationary") for word in ("--set", text)]
    assert main(["scalesim", str(tmp_path / "t.csv"), "--dataflow", "os", "--json", *settings]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["wavecore_cycles"], row["scalesim_cycles"]) == (4 + 4 + 50 - 2, 4 + 4 + 50 - 3)
    assert row["explanation"].startswith("both stream 50;")


def test_commands_cost_what_the_dataflow_says() -> None:
    """Forward as above; the weight gradient is 64 x 8 times 8 x 6: 16 x 2 tiles of 8 cycles."""
    held, streams = lowered(machine("weight_stationary")), lowered(machine("output_stationary"))
    found = {
        name: (
            each.work.stage("array").fill_cycles,
            each.work.stage("array").cycles,
            each.work.stage("array").drain_cycles,
            each.work.output_tiles,
        )
        for name, each in streams.items()
        if each.work.macs
    }
    assert found == {"fc.forward": (0, 4 * 64, 6, 4), "fc.weight_gradient": (0, 32 * 8, 6, 32)}
    # B stays in the global buffer while row tiles of A pass: 8 rows are one tile, or two of the array's 4 rows
    assert (held["fc.forward"].blocks, streams["fc.forward"].blocks) == (1, 2)
    # weight-stationary: 16 waves of 4 rows by 2 column blocks, each of max(m = 8, k = 4) cycles
    assert (held["fc.forward"].work.stage("array").fill_cycles, held["fc.forward"].work.stage("array").cycles) == (
        4,
        32 * 8,
    )
    # A is fetched once for each of 2 column tiles, B once for each of 2 row tiles
    assert streams["fc.forward"].work.buffer_read_bytes == 2 * (8 * 64 * 2 + 64 * 6 * 2)


def test_outer_blocks_are_the_dataflows_tiles() -> None:
    """A product of 8 x 64 x 12: 8 rows in tiles of 4 or of 8 rows, 12 columns in panels of 4."""
    gemms = (Gemm(1, 64, 12),)
    orders = (LoopOrder.RIGHT_STAYS, LoopOrder.LEFT_STAYS, LoopOrder.OPERANDS_STAY)
    found = {
        name: [outer_blocks(gemms, Blocking(order, 0), 8, machine(name).array) for order in orders]
        for name in (WS.name, OS.name)
    }
    assert found == {"weight_stationary": [1, 3, 3], "output_stationary": [2, 3, 6]}


@pytest.mark.parametrize("engine", [run_events, run_analytic])
def test_both_engines_take_the_hand_counted_cycles(engine: object) -> None:
    """The forward pass alone: a step for each of 4 tiles, the drain, and the last step's 48 / 4 results on one lane."""
    accelerator = machine("output_stationary", "vector.lanes=1", "vector.startup=0 cycles", "memory.trefi=1 ms")
    forward = replace(lowered(accelerator)["fc.forward"], loads=(), stores=())
    timing = engine(program(forward), accelerator)  # type: ignore[operator]
    assert forward.steps == 4
    assert timing.step_cycles == 256 + 6 + 12
    assert timing.units["array"].busy_cycles == 256


@pytest.mark.parametrize("engine", ["event", "analytic"])
def test_a_whole_step_occupies_the_array_for_its_issue_cycles(engine: str) -> None:
    found = simulate(classifier(), "archopt", machine("output_stationary"), batch=8, engine=engine)
    assert found.macs == 2 * 8 * 64 * 6
    assert found.array_occupancy * found.step_cycles == pytest.approx(256 + 256)


# -- what follows from the description -----------------------------------------------------------------------


def test_local_buffers_fit_the_dataflow() -> None:
    found = machine("output_stationary").local_buffer
    assert (found.a_bytes, found.b_bytes, found.c_bytes) == (4 * 8 * 2, 8 * 4 * 2, 4 * 4 * 4)
    origin = sources(overrides=[*SMALL, "array.dataflow=output_stationary"])
    assert origin["local_buffer.a"] == "[D] array.rows x array.tile_rows x 2 bytes"
    assert origin["array.dataflow"] == "command line"


def test_another_dataflow_alone_fits_the_preset_buffers_anew() -> None:
    assert load_accelerator().local_buffer.c_bytes == 128 * 1024
    assert load_accelerator(overrides=["array.dataflow=output_stationary"]).local_buffer.c_bytes == 128 * 128 * 4


def test_a_machine_is_weight_stationary_unless_it_says_otherwise() -> None:
    assert dataflow_of(load_accelerator().array) is WS
    assert WS.local_buffers(load_accelerator().array)["a"] == BufferNeed(
        256 * 128 * 2, "array.tile_rows x array.rows x 2 bytes"
    )


@pytest.fixture
def sparse() -> Iterator[Profile]:
    """Half of the weights are zero: the last 32 of 64 inputs."""
    weights = np.ones((6, 64), dtype=bool)
    weights[:, 32:] = False
    yield Profile(name="half", source="a test", layers={}, masks={"fc": mask_of(weights)})


def test_zero_weights_are_skipped_only_where_weights_are_held(sparse: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weight-stationary leaves out 8 of 16 row tiles of the weights, in the forward pass."""
    left = replace(OS, name="left_stationary", held=GemmMatrix.LEFT)
    monkeypatch.setitem(DATAFLOWS, left.name, left)
    skipped = {}
    for name in (WS.name, OS.name, left.name):
        accelerator = machine(name, "sparsity.tile_skipping=true")
        skipped[name] = simulate(classifier(), "archopt", accelerator, batch=8, sparsity=sparse).skipped_macs
    assert skipped == {"weight_stationary": 8 * 32 * 6, "output_stationary": 0, "left_stationary": 0}


def test_the_held_operand_gives_the_tile_that_can_be_skipped() -> None:
    array = replace(machine("output_stationary").array, tile_rows=8)
    left = replace(OS, held=GemmMatrix.LEFT)
    assert (WS.held_tile(array), left.held_tile(array), OS.held_tile(array)) == ((4, 4), (4, 8), None)
    saved = left.empty_tile_cost(array, 8, 64, 6, 4, 8)
    assert (saved.macs, saved.issue_cycles, saved.output_tiles) == (4 * 8 * 6, 2 * 8, 0)
    with pytest.raises(ValueError, match="output_stationary holds the product"):
        OS.empty_tile_cost(array, 8, 64, 6, 4, 8)


def test_a_short_empty_tile_saves_the_rows_that_hand_its_sums_on() -> None:
    """k = 6 on 4 rows: the second tile has 2 rows, and its sums pass all 4 rows from the entry to the output edge."""
    array = ArraySpec(rows=4, columns=4, tile_rows=8, weight_double_buffering=True, weight_load="skewed")
    own = WS.gemm_cost(array, 8, 2, 4)
    saved = WS.empty_tile_cost(array, 8, 6, 4, 2, 4)
    assert saved.register_bytes == own.register_bytes + 8 * 4 * 2 * 4
    assert (saved.macs, saved.issue_cycles, saved.output_tiles) == (8 * 2 * 4, 8, 0)
    whole, first = WS.gemm_cost(array, 8, 6, 4), WS.gemm_cost(array, 8, 4, 4)
    assert whole.plus(saved, -1).register_bytes == first.register_bytes


def test_costs_add_field_by_field() -> None:
    one = GemmCost(macs=1, issue_cycles=2, output_tiles=3, fetch_bytes=4, local_buffer_bytes=5, register_bytes=6)
    assert GemmCost().plus(one, 3).plus(one, -1) == GemmCost(
        macs=2, issue_cycles=4, output_tiles=6, fetch_bytes=8, local_buffer_bytes=10, register_bytes=12
    )


# -- messages ------------------------------------------------------------------------------------------------


def test_an_unknown_dataflow_is_named_with_the_nearest() -> None:
    with pytest.raises(NameLookupError) as caught:
        load_accelerator(overrides=["array.dataflow=weight_stationery"])
    assert caught.value.message == (
        "--set array.dataflow=weight_stationery: there is no dataflow named 'weight_stationery'; "
        "try: weight_stationary or output_stationary"
    )
    with pytest.raises(ConfigError, match="is not a name"):
        load_accelerator(overrides=["array.dataflow="])


def test_an_array_made_in_python_is_checked_when_it_is_asked() -> None:
    array = replace(load_accelerator().array, dataflow="row_stationary")
    with pytest.raises(NameLookupError, match=r"^array\.dataflow: there is no dataflow named 'row_stationary'"):
        dataflow_of(array)


# -- the seam ------------------------------------------------------------------------------------------------


def modules() -> Iterator[tuple[str, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE).as_posix(), path.read_text(encoding="utf-8")


def test_only_the_table_imports_a_dataflows_file() -> None:
    """What `output_stationary` in these tests is added to is all that there is to add to."""
    importers = [
        name
        for name, text in modules()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("wavecore.hardware.dataflows.")
        and not (node.module or "").endswith(".base")
    ]
    assert importers == ["hardware/dataflows/__init__.py"]


def test_only_dataflows_cut_gemms_by_the_arrays_sides() -> None:
    """Others ask for tiles; rows x columns is also the number of processing elements, which all may know."""
    users = {name for name, text in modules() if asks_for_a_side(ast.parse(text))}
    users = {name for name in users if not name.startswith("hardware/dataflows/")}
    # the register-level referee; the size of the array as it is shown, as SCALE-Sim is given it, and as a larger one
    assert users == {"golden/array.py", "cli/arrays.py", "cli/knowledge.py", "cli/bottleneck.py"}


def asks_for_a_side(node: ast.AST) -> bool:
    """Whether a side of the array occurs in the code, other than in a product of both its rows and its columns."""
    if is_side(node):
        return True
    parts = list(factors(node))
    sides = [part for part in parts if is_side(part)]
    if {part.attr for part in sides} == {"rows", "columns"}:
        parts = [part for part in parts if part not in sides]
    return any(asks_for_a_side(part) for part in parts)


def factors(node: ast.AST) -> Iterator[ast.AST]:
    """The factors of a product, and the parts of any other code."""
    for part in ast.iter_child_nodes(node):
        product = all(isinstance(each, ast.BinOp) and isinstance(each.op, ast.Mult) for each in (node, part))
        yield from factors(part) if product else [part]


def is_side(node: ast.AST) -> TypeGuard[ast.Attribute]:
    if not isinstance(node, ast.Attribute) or node.attr not in ("rows", "columns", "tile_rows"):
        return False
    owner = node.value
    return (isinstance(owner, ast.Name) and owner.id == "array") or getattr(owner, "attr", "") == "array"
