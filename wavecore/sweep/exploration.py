"""`explore`: run a sweep from Python and return its table as a DataFrame."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from wavecore.common.toml import parse_document
from wavecore.common.typecheck import require

if TYPE_CHECKING:
    import pandas as pd

    from wavecore.sweep.dispatch import Executor


def explore(
    spec: str | Path, *, store: str | Path | None = None, jobs: int = 1, executor: Executor | None = None
) -> pd.DataFrame:
    """Evaluate every point of a sweep and return its table, one row per point (`wavecore.sweep.table`).

    ``spec`` is a path, or the text of a specification (`wavecore.sweep.spec`), which has more lines than one.  With a
    ``store``, finished points are kept in that file and are not evaluated again.  Points run in ``jobs`` processes, or
    in ``executor``, one of `wavecore.sweep.pool` or `wavecore.sweep.cluster`.

    An axis is the column of its own name, in base units.  Raises `FileError` for a path that does not exist,
    `InputError` for a specification that is wrong.  A point that fails has its ``error`` in the table.
    """
    from wavecore.sweep.pool import local_pool
    from wavecore.sweep.run import SweepRun
    from wavecore.sweep.space import listed_points
    from wavecore.sweep.spec import parse_spec, read_spec
    from wavecore.sweep.store import open_store
    from wavecore.sweep.table import read_csv, write_csv

    require(spec, (str, Path), "spec", 'pathlib.Path("sweep.toml")')
    if isinstance(spec, Path) or "\n" not in spec:
        described = read_spec(Path(spec))
    else:
        content = spec.encode()
        described = parse_spec(parse_document("specification", content, folder=Path(), by_user=True))
    points = listed_points(described)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        opened = stack.enter_context(open_store(folder / "store.sqlite" if store is None else Path(store)))
        run = SweepRun(described, points, opened)
        run.run(executor or stack.enter_context(local_pool(jobs)))
        if run.tally.damaged:
            warnings.warn(f"{store}: {run.tally.damaged} damaged points were evaluated again", stacklevel=2)
        write_csv(described, run.results(), folder / "points.csv")
        frame = read_csv(folder / "points.csv")
    return frame.rename(columns={axis.parameter.column: axis.name for axis in described.axes})
