"""Does the closed form give SCALE-Sim's own cycles, and does the reader take SCALE-Sim's files?

The measured cycles and how they were made: ``data/scalesim_measured.csv``.  With the environment variable
WAVECORE_SCALESIM_PYTHON (the interpreter of an environment with scalesim 3.0.0) SCALE-Sim itself is run too.
"""

from __future__ import annotations

import csv
import os
import random
import subprocess
from pathlib import Path

import pytest

from wavecore.errors import ConfigError, FileError, GraphError, NameLookupError
from wavecore.hardware.scalesim import (
    SCALESIM_DATAFLOWS,
    ScalesimDataflow,
    TopologyLayer,
    gemm_of,
    parse_topology,
    repeats_of,
    scalesim_cycles,
    topology_macs,
)

DATA = Path(__file__).parent / "data"
PEER = os.environ.get("WAVECORE_SCALESIM_PYTHON", "")
CONV_HEADER = "Layer name,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides,\n"
GEMM_HEADER = "Layer,M,N,K,\n"


def measured() -> dict[tuple[str, int, int, ScalesimDataflow], dict[str, int]]:
    """Group the measured cycles by topology, rows, columns and dataflow."""
    runs: dict[tuple[str, int, int, ScalesimDataflow], dict[str, int]] = {}
    with (DATA / "scalesim_measured.csv").open() as file:
        for row in csv.DictReader(line for line in file if not line.startswith("#")):
            dataflow = next(d for d in SCALESIM_DATAFLOWS if d == row["dataflow"])
            run = (row["topology"], int(row["rows"]), int(row["columns"]), dataflow)
            runs.setdefault(run, {})[row["layer"]] = int(row["cycles"])
    return runs


MEASURED = measured()


@pytest.mark.parametrize("run", MEASURED, ids=lambda run: "-".join(map(str, run)))
def test_closed_form_equals_the_measured_cycles(run: tuple[str, int, int, ScalesimDataflow]) -> None:
    topology, rows, columns, dataflow = run
    layers = {layer.name: layer for layer in parse_topology(DATA / f"{topology}.csv")}
    ours = {name: scalesim_cycles(layers[name], rows, columns, dataflow) for name in MEASURED[run]}
    assert ours == MEASURED[run]


def test_every_layer_of_every_topology_was_measured() -> None:
    for (topology, rows, columns, dataflow), cycles in MEASURED.items():
        names = {layer.name for layer in parse_topology(DATA / f"{topology}.csv")}
        divided_by_zero = {"unit"} if (topology, rows, columns, dataflow) == ("scalesim_gemm", 1, 1, "os") else set()
        assert set(cycles) == names - divided_by_zero
    assert {run[3] for run in MEASURED} == set(SCALESIM_DATAFLOWS)


def ask_scalesim(topology: Path, kind: str, rows: int, columns: int, dataflow: str) -> list[tuple[int, int]]:
    """Run SCALE-Sim and return its (total, stall) cycles of each of its layers."""
    command = [PEER, str(DATA / "run_scalesim.py"), str(topology), str(rows), str(columns), dataflow, kind]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [(int(total), int(stalls)) for total, stalls in (line.split() for line in output.splitlines())]


def random_topology(path: Path, kind: str, seed: int) -> Path:
    """Write eight small random layers."""
    rng = random.Random(seed)
    lines = [CONV_HEADER if kind == "conv" else GEMM_HEADER]
    for i in range(8):
        if kind == "gemm":
            numbers = [rng.randint(2, 24) for _ in range(3)]
        else:
            height, width = rng.randint(1, 10), rng.randint(1, 10)
            filters = [rng.randint(1, height), rng.randint(1, width)]
            numbers = [height, width, *filters, rng.randint(1, 6), rng.randint(2, 12), rng.randint(1, 4)]
        lines.append(f"layer{i}," + "".join(f"{number}," for number in numbers) + "\n")
    path.write_text("".join(lines))
    return path


@pytest.mark.slow
@pytest.mark.skipif(not PEER, reason="WAVECORE_SCALESIM_PYTHON names no interpreter that has scalesim 3.0.0")
@pytest.mark.parametrize("kind", ["conv", "gemm"])
@pytest.mark.parametrize("dataflow", SCALESIM_DATAFLOWS)
@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (7, 2), (3, 9)])
def test_closed_form_equals_scalesim_live(
    tmp_path: Path, kind: str, dataflow: ScalesimDataflow, rows: int, columns: int
) -> None:
    topology = random_topology(tmp_path / "random.csv", kind, seed=100 * rows + columns)
    ours = [(scalesim_cycles(layer, rows, columns, dataflow), 0) for layer in parse_topology(topology)]
    assert ask_scalesim(topology, kind, rows, columns, dataflow) == ours


def conv(height: int = 8, stride: int = 1) -> TopologyLayer:
    return TopologyLayer(
        name="c",
        kind="conv",
        ifmap_height=height,
        ifmap_width=8,
        filter_height=3,
        filter_width=3,
        channels=3,
        filters=5,
        strides=(stride, stride),
    )


def test_weight_stationary_pays_2r_c_m_minus_2_a_fold() -> None:
    folds = 7 * 2  # K = 27 on 4 rows, N = 5 on 4 columns
    assert scalesim_cycles(conv(), 4, 4, "ws") == folds * (2 * 4 + 4 + 36 - 2) - 1


def test_a_partial_window_counts() -> None:
    assert gemm_of(conv(height=9, stride=2)) == (4 * 4, 5, 27)  # frameworks: 4 * 3


def test_macs() -> None:
    assert topology_macs(conv()) == 36 * 27 * 5


@pytest.mark.parametrize(("rows", "columns"), [(0, 4), (4, 0), (-1, 4)])
def test_an_empty_array_is_refused(rows: int, columns: int) -> None:
    with pytest.raises(ConfigError) as caught:
        scalesim_cycles(conv(), rows, columns, "ws")
    assert caught.value.message == f"array: an array of {rows}x{columns}; try: at least one row and one column"


def test_an_unknown_dataflow_is_refused() -> None:
    with pytest.raises(NameLookupError) as caught:
        scalesim_cycles(conv(), 4, 4, "rs")  # type: ignore[arg-type]
    assert caught.value.message == "dataflow: there is no dataflow named 'rs'; try: ws or os or is"


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("comma", ["", ",", ",,,", " , "])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "\n\n", "\n , ,\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff", "\n"])
def test_layout_of_the_file_is_immaterial(tmp_path: Path, comma: str, newline: str, mark: str) -> None:
    lines = [CONV_HEADER.strip(",\n"), "a, 8,8,3,3, 3,5,1", "b,9,7,3,2,2,9,2"]
    path = write(tmp_path / "t.csv", mark + "".join(line + comma + newline for line in lines))
    first, second = parse_topology(path)
    assert (first.name, first.ifmap_width, first.filters, first.strides) == ("a", 8, 5, (1, 1))
    assert (second.name, gemm_of(second)) == ("b", (16, 9, 12))


def test_a_layer_knows_its_line(tmp_path: Path) -> None:
    layers = "a,8,8,3,3,3,5,1,\r\n\r\nb,9,7,3,2,2,9,2,\r\n"
    path = write(tmp_path / "t.csv", "\r\n" + CONV_HEADER + layers)
    assert [layer.line for layer in parse_topology(path)] == [3, 5]


@pytest.mark.parametrize("comma", ["", ","])
def test_a_gemm_stands_as_an_image_of_one_channel(tmp_path: Path, comma: str) -> None:
    (layer,) = parse_topology(write(tmp_path / "g.csv", GEMM_HEADER + "g,10,11,12" + comma))
    assert gemm_of(layer) == (10, 11, 12)
    assert (layer.kind, layer.line) == ("gemm", 2)


@pytest.mark.parametrize(("cell", "ratio"), [("", (1, 1)), ("2:4", (2, 4)), ("1:1,", (1, 1))])
def test_the_sparsity_column_is_optional(tmp_path: Path, cell: str, ratio: tuple[int, int]) -> None:
    (layer,) = parse_topology(write(tmp_path / "t.csv", CONV_HEADER + "a,8,8,3,3,3,5,1," + cell))
    assert layer.sparsity == ratio


def test_dp_in_the_name_means_depthwise(tmp_path: Path) -> None:
    (layer,) = parse_topology(write(tmp_path / "t.csv", CONV_HEADER + "DP1,6,6,3,3,7,1,1,"))
    assert (repeats_of(layer), gemm_of(layer)) == (7, (16, 1, 9))


CONV_NAMES = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            CONV_HEADER + "a,8,8,3,3,3,5\n",
            ":2: layer 'a' has 7 columns of 8: 'Strides' is missing; try: " + CONV_NAMES,
        ),
        (
            CONV_HEADER + "\na,8,8,3,3,3,5,1,1,2:4,7\n",
            f":3: layer 'a' has 11 columns, at most 10 are known; try: {CONV_NAMES}, and a sparsity ratio",
        ),
        (
            CONV_HEADER + "a,8,8,3,3,x,5,1,\n",
            ":2: layer 'a': Channels is 'x'; try: a whole number above zero",
        ),
        (
            CONV_HEADER + "a,8,8,3,,3,5,1,\n",
            ":2: layer 'a': Filter Width is ''; try: a whole number above zero",
        ),
        (
            CONV_HEADER + "a,8,8.5,3,3,3,5,1,\n",
            ":2: layer 'a': IFMAP Width is '8.5'; try: a whole number above zero",
        ),
        (
            CONV_HEADER + "a,8,8,3,3,3,0,1,\n",
            ":2: layer 'a': Num Filter is 0; try: a whole number above zero",
        ),
        (
            CONV_HEADER + "a,8,8,3,3,3,5,-1,\n",
            ":2: layer 'a': Strides is -1; try: a whole number above zero",
        ),
        (
            CONV_HEADER + "a,8,8,9,3,3,5,1,\n",
            ":2: layer 'a': filter height 9 is larger than the image's 8; try: an image that includes its padding",
        ),
        (
            CONV_HEADER + "a,8,8,3,9,3,5,1,\n",
            ":2: layer 'a': filter width 9 is larger than the image's 8; try: an image that includes its padding",
        ),
        (CONV_HEADER + ",8,8,3,3,3,5,1,\n", ":2: the layer has no name; try: a name in the first column"),
        (
            CONV_HEADER + "a,8,8,3,3,3,5,1,1,2,\n",
            ":2: layer 'a': the last column is '2', not a sparsity ratio; try: 2:4, 1:1, or nothing",
        ),
        (
            CONV_HEADER + "a,8,8,3,3,3,5,1,4:2,\n",
            ":2: layer 'a': 4:2 keeps more weights than there are; try: 2:4",
        ),
        (
            "a,8,8,3,3,3,5,1,\n",
            ":1: the header line is missing (SCALE-Sim would drop this layer); try: first a line with " + CONV_NAMES,
        ),
        (
            "Name,A,B\na,1,2\n",
            f":1: the header line 'Name, A, B' is of no topology; try: {CONV_NAMES} or Layer, M, N, K",
        ),
        (
            "Layer,M,K,N\na,1,2,3\n",
            ":1: the columns are M, K, N, but SCALE-Sim reads M, N, K in this order; try: Layer, M, N, K",
        ),
        (
            GEMM_HEADER + "g,1,2\n",
            ":2: layer 'g' has 3 columns of 4: 'K' is missing; try: Layer, M, N, K",
        ),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "t.csv", text)
    with pytest.raises(GraphError) as caught:
        parse_topology(path)
    assert caught.value.message == f"{path}{message}"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", f": the file is empty; try: a header line, {CONV_NAMES}"),
        (b"\xef\xbb\xbf\r\n \r\n,,\r\n", f": the file is empty; try: a header line, {CONV_NAMES}"),
        (CONV_HEADER.encode(), ": there is no layer after the header line; try: one line for each layer"),
        (b"\x89PNG\r\n\x1a\n", ": not a text file; try: a topology .csv file in UTF-8"),
        (b"Layer\0name", ": not a text file; try: a topology .csv file in UTF-8"),
        ("Layer".encode("utf-16"), ": not a text file; try: a topology .csv file in UTF-8"),
    ],
)
def test_a_file_that_is_no_topology_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    with pytest.raises(FileError) as caught:
        parse_topology(path)
    assert caught.value.message == f"{path}{message}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.csv"
    with pytest.raises(FileError) as caught:
        parse_topology(path)
    assert caught.value.message == (f"{path}: there is no such file; try: the path of a topology .csv file")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is a folder, not a file"):
        parse_topology(tmp_path)


@pytest.mark.parametrize(
    ("line", "strides"),
    [
        ("a,9,8,3,3,3,5,2,1,\n", (2, 1)),
        ("a,9,8,3,3,3,5,2,1,2:4,\n", (2, 1)),
        ("a,9,8,3,3,3,5,2,1\n", (2, 1)),
        ("a,9,8,3,3,3,5,2,# a comment\n", (2, 2)),
        ("a,9,8,3,3,3,5,2,\n", (2, 2)),
        ("a,9,8,3,3,3,5,2\n", (2, 2)),
    ],
)
def test_two_strides_and_text_behind_the_last_comma(tmp_path: Path, line: str, strides: tuple[int, int]) -> None:
    (tmp_path / "NET.CSV").write_text(CONV_HEADER + line)
    (layer,) = parse_topology(tmp_path / "NET.CSV")
    assert layer.strides == strides
    windows = [-(-(size - 3) // stride) + 1 for size, stride in zip((9, 8), strides, strict=True)]
    assert gemm_of(layer) == (windows[0] * windows[1], 5, 27)


@pytest.mark.parametrize(("separator", "name"), [("\t", "tabs"), (";", "semicolons")])
def test_another_separator_is_said(tmp_path: Path, separator: str, name: str) -> None:
    (tmp_path / "t.csv").write_text((CONV_HEADER + "a,8,8,3,3,3,5,1,\n").replace(",", separator))
    with pytest.raises(GraphError, match=f"t.csv:1: the columns are separated by {name}, not by commas"):
        parse_topology(tmp_path / "t.csv")
