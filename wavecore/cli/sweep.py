"""``wavecore sweep``: evaluate many design points and find the best."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wavecore.cli.compare import check_plot
from wavecore.cli.inputs import hinting, whole_number
from wavecore.cli.messages import say
from wavecore.cli.options import Force, Json, grouped
from wavecore.errors import InputError

if TYPE_CHECKING:
    from wavecore.sweep.dispatch import Executor
    from wavecore.sweep.folder import Findings
    from wavecore.sweep.run import Forget, SweepRun
    from wavecore.sweep.spec import SweepSpec

MOST_JOBS = 1024

SpecArgument = Annotated[
    Path,
    typer.Argument(metavar="SPEC.toml", help="Specification of the sweep, as in examples/sweeps/.", show_default=False),
]
Jobs = Annotated[
    str | None,
    typer.Option(
        "--jobs", metavar="N", help="Number of processes.  [default: the machine's cores]", show_default=False
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option("--cluster", metavar="ADDRESS", help="Run on a Dask cluster: tcp://HOST:8786.", show_default=False),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder for all results.  [default: NAME-sweep]", show_default=False),
]
Fresh = Annotated[
    bool, typer.Option("--resume/--fresh", help="Use points that are finished, or evaluate all points again.")
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Evaluate failed points again.")]
StoreFile = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="FILE",
        help="File of finished points, which sweeps may share.  [default: DIR/store.sqlite]",
        show_default=False,
    ),
]
PlotOption = Annotated[
    Path | None,
    typer.Option(
        "--plot", metavar="FILE", help="Also draw the figure into this .png, .svg or .pdf file.", show_default=False
    ),
]
Parquet = Annotated[bool, typer.Option("--parquet", help="Also write the table as points.parquet.")]


@grouped
def sweep(
    *,
    spec: SpecArgument,
    jobs: Jobs = None,
    cluster: Cluster = None,
    out: OutOption = None,
    resume: Fresh = True,
    retry_failed: RetryFailed = False,
    store: StoreFile = None,
    plot: PlotOption = None,
    parquet: Parquet = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Evaluate many design points; write a table of all, with the Pareto front marked, and a figure.

    Finished points are kept, so a sweep that was stopped continues when the same command runs again.
    """
    from wavecore.cli.sweepreport import showing
    from wavecore.sweep.folder import STORE, claim_folder, default_folder
    from wavecore.sweep.run import SweepRun
    from wavecore.sweep.space import listed_points
    from wavecore.sweep.spec import read_spec
    from wavecore.sweep.store import open_store

    with hinting("a specification in TOML: examples/sweeps/ has some"):
        described = read_spec(spec)
    points = listed_points(described)
    _check_outputs(described, plot, parquet, force)
    # The executor comes first: without one there is nothing to keep, and no folder to make.
    with _executor(jobs, cluster) as execute:
        folder = out or default_folder(described)
        old = claim_folder(folder, described)
        path = store or folder / STORE
        forget: Forget = "all" if not resume else "failures" if retry_failed else "nothing"
        if old and resume and store is None:
            say(f"going on with {path}: points that this version has finished are used (--fresh evaluates all anew)")
        with open_store(path) as opened:
            running = SweepRun(described, points, opened, forget=forget)
            try:
                with showing(described, running.tally.points) as running.watch:
                    running.run(execute)
            except KeyboardInterrupt:
                _say_stopped(running, path, resume)
                raise
            found = _write(running, folder, plot, parquet)
    _report(described, running, found, folder, json)


def _check_outputs(spec: SweepSpec, plot: Path | None, parquet: bool, force: bool) -> None:
    """Raise `InputError` early, before any point is evaluated, for outputs that cannot be written."""
    from wavecore.sweep.search import check_optuna
    from wavecore.sweep.table import check_parquet

    if plot is not None:
        check_plot(plot, force)
        if spec.figure is None and len(spec.objectives) < 2:
            raise InputError("--plot", f"{spec.label} has no [figure], and one objective only", "a [figure] in it")
    if parquet:
        check_parquet()
    if spec.search.method == "optuna":
        check_optuna()


def _executor(jobs: str | None, cluster: str | None) -> AbstractContextManager[Executor]:
    """Return the executor of points: a pool of processes, or a Dask cluster; raise `InputError` for both."""
    if cluster is not None:
        if jobs is not None:
            raise InputError("--jobs", "means processes on this machine, and --cluster has its own", "one of them")
        from wavecore.sweep.cluster import dask_cluster

        return dask_cluster(cluster)
    from wavecore.sweep.pool import local_pool

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return local_pool(cores if jobs is None else whole_number("--jobs", jobs, 1, MOST_JOBS))


def _say_stopped(running: SweepRun, path: Path, resume: bool) -> None:
    tally, command = running.tally, "the same command" + ("" if resume else " without --fresh")
    say(f"{tally.done} of {tally.points} points are finished and in {path}; {command} goes on from there")


def _write(running: SweepRun, folder: Path, plot: Path | None, parquet: bool) -> Findings:
    """Write the table, the figures and finally the summary; return what was found."""
    from wavecore.common.files import write_file
    from wavecore.results.folder import json_text
    from wavecore.sweep.folder import FIGURE, PARQUET, POINTS, SUMMARY, Findings, summary
    from wavecore.sweep.table import write_csv, write_parquet

    spec, found = running.spec, Findings()
    write_csv(spec, found.noting(spec, running.results()), folder / POINTS)
    if parquet:
        write_parquet(folder / POINTS, folder / PARQUET)
    pictures = [folder / FIGURE] if spec.figure is not None else []
    if plot is not None:
        pictures.append(plot)
    about = json_text(summary(spec, found, running.tally))
    if pictures and found.failed < found.points:
        _draw(about, folder / POINTS, pictures)
    write_file(folder / SUMMARY, about)
    return found


def _draw(about: str, points: Path, files: list[Path]) -> None:
    """Draw the figure of a sweep, whose summary is ``about``, from its table into files."""
    from wavecore.pictures.static import draw_sheet
    from wavecore.report.contents import figure_of_sweep
    from wavecore.report.sweeps import read_sweep

    picture = figure_of_sweep(read_sweep(about, points))
    assert picture is not None  # `_check_outputs` has refused a sweep without a figure and without two objectives
    for file in files:
        draw_sheet([picture], file)
        say(f"written to {file}")


def _report(spec: SweepSpec, running: SweepRun, found: Findings, folder: Path, json: bool) -> None:
    """Print the outcome, as a table or JSON; raise `InputError` if every point failed."""
    from wavecore.cli.sweepreport import failure_lines, front_table, last_line
    from wavecore.sweep.folder import POINTS, summary

    say(last_line(found, running.tally))
    for line in failure_lines(found):
        say(line)
    say(f"written to {folder / POINTS}")
    if found.points and found.failed == found.points:
        hint = f"{folder / POINTS}, which has all errors"
        raise InputError(spec.label, f"every point failed; the first: {next(iter(found.errors))}", hint)
    if json:
        from wavecore.results.folder import json_text

        sys.stdout.write(json_text(summary(spec, found, running.tally)))
    else:
        from wavecore.cli.tables import show

        show(front_table(spec, found))
