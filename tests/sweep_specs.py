"""Sweep specifications as texts, and what comes of them: ``from sweep_specs import parsed, swept``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from wavecore.common.toml import parse_document
from wavecore.sweep.pool import local_pool
from wavecore.sweep.run import SweepRun
from wavecore.sweep.space import listed_points
from wavecore.sweep.spec import SweepSpec, parse_spec
from wavecore.sweep.store import open_store
from wavecore.sweep.table import read_csv, write_csv

HEAD = 'name = "small"\nworkload = "resnet18"\n'
SMALL = '[base]\n"option.image" = 32\n'


def parsed(body: str, *, head: str = HEAD, folder: Path = Path()) -> SweepSpec:
    """The specification of a text, whose lines count from those of ``head``."""
    return parse_spec(parse_document("s.toml", (head + body).encode(), folder=folder, by_user=True))


def swept(body: str, folder: Path, *, head: str = HEAD, **options: str) -> tuple[SweepRun, pd.DataFrame]:
    """Run a sweep in this process, with its store in ``folder``; return it and its table."""
    with open_store(folder / "store.sqlite") as store:
        spec = parsed(body, head=head)
        sweep = SweepRun(spec, listed_points(spec), store, **options)  # type: ignore[arg-type]
        with local_pool(1) as executor:
            sweep.run(executor)
        write_csv(sweep.spec, sweep.results(), folder / "points.csv")
    return sweep, read_csv(folder / "points.csv")
