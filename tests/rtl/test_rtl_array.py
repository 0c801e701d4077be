"""Does hardware do what the numpy model says?  A Verilog array, simulated by Icarus Verilog."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from packed import kept_products, packed_operands

from wavecore.golden.array import Wave, cut_waves, run_waves
from wavecore.hardware.dataflows.weight_stationary import WEIGHT_STATIONARY as WS
from wavecore.hardware.packing import layouts
from wavecore.hardware.specs import ArraySpec

HERE = Path(__file__).parent
pytestmark = [
    pytest.mark.rtl,
    pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is missing: apt-get install iverilog"),
]
Outputs = dict[int, list[tuple[int, int]]]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rtl")

    @functools.cache
    def build(rows: int, columns: int, double: bool) -> Path:
        program = folder / f"array_{rows}x{columns}_{int(double)}"
        sizes = [
            f"-Ptestbench.{name}={value}"
            for name, value in [("ROWS", rows), ("COLUMNS", columns), ("DOUBLE", int(double))]
        ]
        sources = [HERE / "array.v", HERE / "testbench.v"]
        subprocess.run(["iverilog", "-g2012", "-Wall", "-Wno-timescale", "-o", program, *sizes, *sources], check=True)
        return program

    return build


def hexadecimal(path: Path, values: Iterable[int], bits: int) -> Path:
    path.write_text("\n".join(f"{int(value) % (1 << bits):x}" for value in values) + "\n")
    return path


def simulate(program: Path, folder: Path, waves: list[Wave], array: ArraySpec) -> Outputs:
    """Return each column's results in order, as (cycle, value)."""
    shapes = [size for wave in waves for size in (*wave.a.shape, wave.b.shape[1])]
    files = {
        "shapes": hexadecimal(folder / "shapes.hex", shapes, 32),
        "a": hexadecimal(folder / "a.hex", np.concatenate([wave.a.ravel() for wave in waves]), 16),
        "b": hexadecimal(folder / "b.hex", np.concatenate([wave.b.ravel() for wave in waves]), 16),
    }
    numbers = {
        "waves": len(waves),
        "entry": array.rows - max(wave.b.shape[0] for wave in waves),
        "limit": 20_000,
    }
    arguments = [f"+{key}={value}" for key, value in {**files, **numbers}.items()]
    run = subprocess.run(["vvp", "-n", program, *arguments], check=True, capture_output=True, text=True)
    *lines, last = [line for line in run.stdout.splitlines() if not line.startswith("WARNING")]
    assert last == "done", last
    outputs: Outputs = defaultdict(list)
    for line in lines:
        _, cycle, column, value = line.split()
        outputs[int(column)].append((int(cycle), int(value)))
    return outputs


def accumulate(outputs: Outputs, waves: list[Wave], shape: tuple[int, int]) -> np.ndarray:
    product = np.zeros(shape, np.int64)
    for column, results in outputs.items():
        values = (value for _, value in results)
        for wave in waves:
            if column < wave.b.shape[1]:
                for row in range(len(wave.a)):
                    product[wave.row + row, wave.column + column] += next(values)
    return product


def compare(compiled, folder: Path, array: ArraySpec, m: int, k: int, n: int) -> None:
    numbers = np.random.default_rng([m, k, n, array.rows, array.columns])
    a, b = numbers.integers(-(2**15), 2**15, (m, k)), numbers.integers(-(2**15), 2**15, (k, n))
    compare_operands(compiled, folder, array, a, b)


def compare_operands(compiled, folder: Path, array: ArraySpec, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Multiply in Verilog and in numpy, and compare the cycles with the closed form, too.  Return the product."""
    (m, k), n = a.shape, b.shape[1]
    waves = cut_waves(a, b, array)
    program = compiled(array.rows, array.columns, array.weight_double_buffering)
    outputs = simulate(program, folder, waves, array)
    model = run_waves(waves, array)
    assert np.array_equal(accumulate(outputs, waves, (m, n)), model.product)
    assert np.array_equal(model.product, a @ b)
    cycles = [cycle for results in outputs.values() for cycle, _ in results]
    depth = -(-k // array.rows)
    first_tile = (depth - 1) * min(m, array.tile_rows)
    assert outputs[0][first_tile][0] == model.first_output_cycle
    assert max(cycles) == model.last_output_cycle
    assert max(cycles) + 1 == WS.gemm_cycles(array, m, k, n).cycles
    return model.product


SHAPES = [(1, 1, 1), (9, 4, 4), (3, 9, 5), (20, 17, 18), (2, 33, 3), (33, 3, 20), (5, 40, 17), (17, 16, 16)]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("double", [True, False], ids=["double", "single"])
@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (4, 7), (8, 8), (16, 5), (16, 16)])
def test_verilog_equals_the_numpy_model(compiled, tmp_path, rows, columns, double, shape):
    array = ArraySpec(rows=rows, columns=columns, tile_rows=8, weight_double_buffering=double, weight_load="skewed")
    compare(compiled, tmp_path, array, *shape)


@pytest.mark.parametrize("seed", range(12))
def test_verilog_equals_the_numpy_model_on_random_gemms(compiled, tmp_path, seed):
    draw = np.random.default_rng(seed)
    array = ArraySpec(
        rows=int(draw.choice([4, 8, 16])),
        columns=int(draw.choice([4, 8, 16])),
        tile_rows=int(draw.integers(1, 24)),
        weight_double_buffering=bool(draw.integers(2)),
        weight_load="skewed",
    )
    compare(compiled, tmp_path, array, *(int(size) for size in draw.integers(1, 40, 3)))


@pytest.mark.parametrize("double", [True, False], ids=["double", "single"])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 6), (6, 1)])
def test_verilog_on_degenerate_arrays(compiled, tmp_path, rows, columns, double):
    array = ArraySpec(rows=rows, columns=columns, tile_rows=3, weight_double_buffering=double, weight_load="skewed")
    compare(compiled, tmp_path, array, 5, 7, 8)


@pytest.mark.parametrize("double", [True, False], ids=["double", "single"])
@pytest.mark.parametrize(
    ("shape", "groups"),
    [((20, 9, 1), 6), ((9, 20, 1), 6), ((12, 4, 2), 4), ((5, 18, 3), 5), ((7, 40, 2), 3)],
    ids=["depthwise", "depthwise weight gradient", "grouped", "deep", "deeper"],
)
def test_verilog_on_groups_side_by_side(compiled, tmp_path, shape, groups, double):
    """Every layout of packed products, on the diagonal and crosswise."""
    array = ArraySpec(rows=16, columns=16, tile_rows=8, weight_double_buffering=double, weight_load="skewed")
    (m, k, n), numbers = shape, np.random.default_rng([*shape, groups])
    found = list(layouts(array, shape, groups))
    assert {layout.crosswise for layout in found} == {False, True}
    for at, layout in enumerate(found):
        lefts = [numbers.integers(-(2**15), 2**15, (m, k)) for _ in range(layout.together)]
        rights = [numbers.integers(-(2**15), 2**15, (k, n)) for _ in range(layout.together)]
        folder = tmp_path / str(at)
        folder.mkdir()
        operands = packed_operands(lefts, rights, layout)
        product = compare_operands(compiled, folder, array, *operands)
        for made, left, right in zip(kept_products(product, layout, m, n), lefts, rights, strict=True):
            assert np.array_equal(made, left @ right)
