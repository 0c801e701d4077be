"""SCALE-Sim's topology files, and its compute cycles in closed form.

What SCALE-Sim 3.0.0 (the release on PyPI) does, as measured; ``tests/crosscheck`` holds each point:

* a layer is a GEMM of M output pixels x N filters with K = filter height x width x channels, batch 1;
* the output of a strided layer is ``ceil((image - filter + stride) / stride)`` pixels wide: a partial
  window at the border counts as a whole one, where frameworks round down;
* the GEMM is cut into folds of the whole array.  Every fold takes the time of a full array, however
  few of its elements are used, and no fold overlaps another:

  ========  ==========================  =====================================
  dataflow  folds on R x C elements     cycles of a fold
  ========  ==========================  =====================================
  ``ws``    ceil(K/R) x ceil(N/C)       R (weights) + M + R - 1 + C - 1 = 2R + C + M - 2
  ``is``    ceil(K/R) x ceil(M/C)       2R + C + N - 2
  ``os``    ceil(M/R) x ceil(N/C)       R + C + K - 2
  ========  ==========================  =====================================

* "Total Cycles" is the number of the last cycle counted from 0, hence one less than the cycles of all
  folds, once per layer;
* with ``InterfaceBandwidth = CALC`` the memory never stalls the array ("Stall Cycles" is 0), whatever the
  sizes of the buffers; with ``USER`` stalls are added to "Total Cycles";
* a convolution with ``DP`` in its name is depthwise: run as one layer per channel, each with *all* the
  filters ("Num Filter" is 1 for the usual depthwise convolution).  Here it stays one layer: their sum;
* its reader drops the first line unseen, and what follows the last comma of every line (so it fails on
  a line without a trailing comma); this one reads both forms.  Text there, such as a comment, counts for nothing;
* a convolution may have a ninth column: its "Strides" is then that of the height, and this that of the width;
* where the total is 0 (one element, one MAC, ``os``), it divides by it and writes no report.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, get_args

from wavecore.common.files import read_file
from wavecore.errors import ConfigError, FileError, GraphError, unknown_name

ScalesimDataflow = Literal["ws", "os", "is"]
TopologyKind = Literal["conv", "gemm"]

SCALESIM_DATAFLOWS: tuple[ScalesimDataflow, ...] = get_args(ScalesimDataflow)

CONV_COLUMNS = (
    "Layer name", "IFMAP Height", "IFMAP Width", "Filter Height", "Filter Width", "Channels", "Num Filter",
    "Strides",
)  # fmt: skip
GEMM_COLUMNS = ("Layer", "M", "N", "K")
_COLUMNS: dict[TopologyKind, tuple[str, ...]] = {"conv": CONV_COLUMNS, "gemm": GEMM_COLUMNS}
LARGEST_FILE_BYTES = 16 << 20  # a hundred thousand layers
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,12}")
_RATIO = re.compile(r"[1-9][0-9]{0,3}:[1-9][0-9]{0,3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyLayer:
    """One line of a topology file: a convolution without padding, batch 1; ``strides`` are of height and width.

    A GEMM of M x K times K x N stands as SCALE-Sim reads it: an M x K image of one channel under N filters
    of 1 x K.  ``sparsity`` is the optional ratio N:M of non-zero weights, which SCALE-Sim only uses when its
    configuration says so.  ``line`` is where the layer stands in its file.
    """

    name: str
    kind: TopologyKind
    ifmap_height: int
    ifmap_width: int
    filter_height: int
    filter_width: int
    channels: int
    filters: int
    strides: tuple[int, int]
    depthwise: bool = False
    sparsity: tuple[int, int] = (1, 1)
    line: int = 0


def gemm_of(layer: TopologyLayer) -> tuple[int, int, int]:
    """Return SCALE-Sim's (M, N, K) of a layer; of one channel of a depthwise layer."""
    down, across = layer.strides
    height = -(-(layer.ifmap_height - layer.filter_height + down) // down)
    width = -(-(layer.ifmap_width - layer.filter_width + across) // across)
    channels = 1 if layer.depthwise else layer.channels
    return height * width, layer.filters, layer.filter_height * layer.filter_width * channels


def repeats_of(layer: TopologyLayer) -> int:
    """Return how many layers SCALE-Sim makes of this one: its channels if depthwise, else 1."""
    return layer.channels if layer.depthwise else 1


def topology_macs(layer: TopologyLayer) -> int:
    """Return the multiply-accumulates that SCALE-Sim counts for a layer."""
    m, n, k = gemm_of(layer)
    return m * n * k * repeats_of(layer)


def scalesim_cycles(layer: TopologyLayer, rows: int, columns: int, dataflow: ScalesimDataflow) -> int:
    """Return SCALE-Sim 3.0.0's "Total Cycles" of a layer on ``rows`` x ``columns``, without memory stalls.

    The module's table gives the formula.  Raises ConfigError for an empty array and NameLookupError
    for an unknown dataflow.
    """
    if rows < 1 or columns < 1:
        raise ConfigError("array", f"an array of {rows}x{columns}", "at least one row and one column")
    m, n, k = gemm_of(layer)
    if dataflow == "ws":
        folds, fold = _folds(k, n, rows, columns), 2 * rows + columns + m - 2
    elif dataflow == "is":
        folds, fold = _folds(k, m, rows, columns), 2 * rows + columns + n - 2
    elif dataflow == "os":
        folds, fold = _folds(m, n, rows, columns), rows + columns + k - 2
    else:
        raise unknown_name("dataflow", "dataflow", dataflow, SCALESIM_DATAFLOWS)
    return repeats_of(layer) * (folds * fold - 1)


def _folds(down: int, across: int, rows: int, columns: int) -> int:
    return -(-down // rows) * -(-across // columns)


def parse_topology(path: str | Path, text: str | None = None) -> tuple[TopologyLayer, ...]:
    """Read a topology file, or its ``text``, in SCALE-Sim's convolution or GEMM form, told apart by its header line.

    Byte-order mark, CRLF, blank lines, spaces, trailing commas and text behind the last comma are immaterial.  Raises
    FileError for a file that cannot be read as text or holds no layer, and GraphError, with the line, for a bad layer.
    """
    text = read_topology(path) if text is None else text
    lines = [(number, cells) for number, line in enumerate(text.split("\n"), start=1) if any(cells := _cells(line))]
    if not lines:
        raise FileError(str(path), "the file is empty", "a header line, " + ", ".join(CONV_COLUMNS))
    (first, header), *rest = lines
    _check_separator(f"{path}:{first}", header)
    kind = _kind(f"{path}:{first}", header)
    if not rest:
        raise FileError(str(path), "there is no layer after the header line", "one line for each layer")
    read = _conv_layer if kind == "conv" else _gemm_layer
    return tuple(read(f"{path}:{number}", number, cells) for number, cells in rest)


def read_topology(path: str | Path) -> str:
    """Return the text of a topology file, with LF at the end of its lines; FileError if it cannot be read as text."""
    data = read_file(Path(path), LARGEST_FILE_BYTES, hint="the path of a topology .csv file")
    if len(data) > LARGEST_FILE_BYTES:
        raise FileError(str(path), f"is larger than {LARGEST_FILE_BYTES >> 20} MiB", "a topology .csv file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise FileError(str(path), "not a text file", "a topology .csv file in UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _cells(line: str) -> list[str]:
    """Split a line at its commas, without the empty cells at its end and text behind the last comma.

    Where there is no comma at the end, what could be a column's value is one.
    """
    cells = [cell.strip() for cell in line.split(",")]
    if len(cells) > len(GEMM_COLUMNS) and not (_WHOLE_NUMBER.fullmatch(cells[-1]) or _RATIO.fullmatch(cells[-1])):
        cells.pop()
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _check_separator(where: str, header: list[str]) -> None:
    """Raise `GraphError` for a header line that is not split at commas."""
    if len(header) > 1:
        return
    for separator, name in (("\t", "tabs"), (";", "semicolons"), ("|", "bars")):
        if separator in header[0]:
            raise GraphError(where, f"the columns are separated by {name}, not by commas", "a comma after every column")


def _kind(where: str, header: list[str]) -> TopologyKind:
    """Tell a convolution topology from a GEMM one by its header line."""
    titles = [cell.lower() for cell in header]
    if len(header) > 1 and all(_WHOLE_NUMBER.fullmatch(cell) for cell in header[1:4]):
        hint = "first a line with " + ", ".join(CONV_COLUMNS if len(header) > len(GEMM_COLUMNS) else GEMM_COLUMNS)
        raise GraphError(where, "the header line is missing (SCALE-Sim would drop this layer)", hint)
    if set(titles[1:4]) == {"m", "n", "k"}:
        if titles[1:4] != ["m", "n", "k"]:
            what = f"the columns are {', '.join(header[1:4])}, but SCALE-Sim reads M, N, K in this order"
            raise GraphError(where, what, ", ".join(GEMM_COLUMNS))
        return "gemm"
    if any("filter" in title or "ifmap" in title for title in titles):
        return "conv"
    what = f"the header line {', '.join(header)!r} is of no topology"
    raise GraphError(where, what, f"{', '.join(CONV_COLUMNS)} or {', '.join(GEMM_COLUMNS)}")


def _conv_layer(where: str, line: int, cells: list[str]) -> TopologyLayer:
    """Read one convolution and check that its filter fits its image."""
    values = _values(where, "conv", cells)
    height, width, filter_height, filter_width, channels, filters, stride = values
    known = len(CONV_COLUMNS)
    across = stride
    if len(cells) > known and _WHOLE_NUMBER.fullmatch(cells[known]):
        across = _positive(where, cells[0], "Stride Width", cells[known])
        known += 1
    for what, size, image in (("height", filter_height, height), ("width", filter_width, width)):
        if size > image:
            message = f"layer {cells[0]!r}: filter {what} {size} is larger than the image's {image}"
            raise GraphError(where, message, "an image that includes its padding")
    return TopologyLayer(
        name=cells[0],
        kind="conv",
        ifmap_height=height,
        ifmap_width=width,
        filter_height=filter_height,
        filter_width=filter_width,
        channels=channels,
        filters=filters,
        strides=(stride, across),
        depthwise="DP" in cells[0],
        sparsity=_sparsity(where, cells, known),
        line=line,
    )


def _gemm_layer(where: str, line: int, cells: list[str]) -> TopologyLayer:
    """Read one GEMM, as the convolution that SCALE-Sim makes of it."""
    m, n, k = _values(where, "gemm", cells)
    return TopologyLayer(
        name=cells[0],
        kind="gemm",
        ifmap_height=m,
        ifmap_width=k,
        filter_height=1,
        filter_width=k,
        channels=1,
        filters=n,
        strides=(1, 1),
        sparsity=_sparsity(where, cells, len(GEMM_COLUMNS)),
        line=line,
    )


def _values(where: str, kind: TopologyKind, cells: list[str]) -> list[int]:
    """Return the numbers of a layer's line, each positive."""
    columns = _COLUMNS[kind]
    if not cells[0]:
        raise GraphError(where, "the layer has no name", "a name in the first column")
    if len(cells) < len(columns):
        missing = columns[len(cells)]
        what = f"layer {cells[0]!r} has {len(cells)} columns of {len(columns)}: {missing!r} is missing"
        raise GraphError(where, what, ", ".join(columns))
    most = len(columns) + (2 if kind == "conv" else 1)
    if len(cells) > most:
        what = f"layer {cells[0]!r} has {len(cells)} columns, at most {most} are known"
        raise GraphError(where, what, ", ".join(columns) + ", and a sparsity ratio")
    return [_positive(where, cells[0], *pair) for pair in zip(columns[1:], cells[1:], strict=False)]


def _positive(where: str, name: str, column: str, text: str) -> int:
    """Return the positive whole number in a cell."""
    if not _WHOLE_NUMBER.fullmatch(text):
        _refuse(where, name, column, repr(text))
    value = int(text)
    if value < 1:
        _refuse(where, name, column, str(value))
    return value


def _refuse(where: str, name: str, column: str, value: str) -> NoReturn:
    raise GraphError(where, f"layer {name!r}: {column} is {value}", "a whole number above zero")


def _sparsity(where: str, cells: list[str], position: int) -> tuple[int, int]:
    """Return the optional last column, a ratio such as 2:4 of non-zero weights."""
    if len(cells) <= position:
        return (1, 1)
    text = cells[position]
    if not _RATIO.fullmatch(text):
        what = f"layer {cells[0]!r}: the last column is {text!r}, not a sparsity ratio"
        raise GraphError(where, what, "2:4, 1:1, or nothing")
    kept, block = (int(part) for part in text.split(":"))
    if kept > block:
        raise GraphError(where, f"layer {cells[0]!r}: {text} keeps more weights than there are", "2:4")
    return (kept, block)
