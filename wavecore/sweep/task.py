"""One design point: everything that determines its result, the key of that result, and its evaluation.

Tasks and outcomes are plain values that travel between processes and machines.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from socket import gethostname
from types import MappingProxyType
from typing import TYPE_CHECKING

from wavecore.common.files import reading
from wavecore.common.hashing import content_hash
from wavecore.errors import ConfigError, FileError, InputError, InvariantError, WavecoreError
from wavecore.hardware.scalesim import parse_topology, read_topology
from wavecore.hardware.specs import Accelerator
from wavecore.importers.files import read_structure
from wavecore.importers.onnx import import_onnx
from wavecore.importers.topology import network_of
from wavecore.network.catalog import OptionValue, checked_options, workload, workload_info
from wavecore.network.graph import DEFAULT_BATCH_PER_CORE, LayerGraph
from wavecore.plan.model import DEFAULT_CHOICES, Choices
from wavecore.results.metrics import RUN_METRICS
from wavecore.simulation import evaluate as totals_of
from wavecore.simulation import find_schedule, package_version
from wavecore.sparsity.profile import Profile
from wavecore.sparsity.profile_file import load_profile
from wavecore.sparsity.structure import apply_profile
from wavecore.training.graph import TrainingGraph
from wavecore.training.unroll import training_graph

if TYPE_CHECKING:
    from wavecore.results.run import Totals

Scalar = int | float | str

GRAPHS_A_PROCESS = 8
DENSE = "none"
"""The value of ``sparsity`` for a network as it is."""

_CHANGED, _AGAIN = "has changed since the sweep began", "the same command again"

FILES = (".csv", ".onnx")
"""Endings of the files that are workloads."""

# What cannot change a result, whatever is edited there; every other source counts.
_IMMATERIAL = ("cli/", "common/files.py", "golden/", "pictures/", "report/", "results/folder.py", "sweep/", "timeline/")
_BESIDE = ("workloads/", "schedules/")
"""Packages that an installed wavecore has inside its folder, and a checkout beside it."""
_MATERIAL = ("sweep/task.py",)

_PARTS = ("schema", "groups.", "layers.", "packed.", "manifest.")
SCALARS = tuple(name for name in RUN_METRICS if not name.startswith(_PARTS))
"""The scalar figures of a run, by their names in `metrics.METRICS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One design point with everything that its evaluation needs.

    ``key`` is the content hash of all that determines the result (see `make_task`), ``batch`` the samples of the whole
    chip, ``topology`` the text of the SCALE-Sim file that ``workload`` names, if it names one, ``model`` the SHA-256 of
    the ONNX model that it names, ``profile`` the path and the digest of a sparsity profile, and ``version`` the
    `model_version` that is to evaluate it.
    """

    key: str
    workload: str
    options: Mapping[str, OptionValue]
    accelerator: Accelerator
    schedule: str
    choices: Choices
    batch: int
    engine: str
    topology: str | None
    version: str
    model: str = ""
    profile: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of the task with this ``key``: ``metrics`` (`SCALARS`), or else an ``error``.

    ``seconds`` is the wall-clock time that it took, the one figure that varies.
    """

    key: str
    metrics: Mapping[str, Scalar] | None
    error: str | None
    seconds: float


def make_task(
    workload: str,
    schedule: str,
    accelerator: Accelerator,
    *,
    options: Mapping[str, OptionValue] = MappingProxyType({}),
    choices: Choices = DEFAULT_CHOICES,
    batch: int | None = None,
    engine: str = "analytic",
    sparsity: str = DENSE,
) -> Task:
    """Describe one design point and work out its key.

    ``workload`` is a registered name, or the path of a SCALE-Sim topology (``.csv``) or an ONNX model, which is read
    here and now.
    ``sparsity`` is the path of a profile, or `DENSE`.  Options that are not given have those of the profile or their
    defaults, and ``batch`` is the workload's own, so that a point has one key
    however it is written.  Two tasks have the same key if and only if they have the same workload and options (or the
    same file, by name and content), accelerator, schedule, choices, batch, engine and `model_version`, and the same
    sources of the packages elsewhere that the workload or the schedule comes from.

    Raises `NameLookupError` for a name that is not registered, `InputError` for an option of a wrong type, and
    `FileError` for a file that cannot be read.
    """
    profile = None
    if sparsity != DENSE:
        pruned = _profile(sparsity)
        profile, options = (sparsity, pruned.digest), {**pruned.options, **options}
    topology, model, samples, packages = None, "", DEFAULT_BATCH_PER_CORE, set[str]()
    if workload.lower().endswith(FILES):
        if options:
            raise InputError(workload, "says all sizes itself", "no options, or a registered network")
        name = Path(workload).stem
        if workload.lower().endswith(".csv"):
            topology = read_topology(workload)
        else:
            model = read_structure(workload)[1]
    else:
        info = workload_info(workload)
        name, samples, packages = workload, info.batch_per_core, {_package(info.build)}
        options = checked_options(workload, options)
    packages.add(_package(find_schedule(schedule).policy))
    batch = samples * accelerator.chip.cores if batch is None else batch
    foreign = {package: source_hash(package) for package in packages - {"wavecore"}}
    digest = profile[1] if profile else ""
    point = (name, options, topology, model, digest, _hash_of(accelerator), schedule, choices, batch, engine)
    return Task(
        key=content_hash((*point, model_version(), foreign)),
        workload=workload,
        options=dict(options),
        accelerator=accelerator,
        schedule=schedule,
        choices=choices,
        batch=batch,
        engine=engine,
        topology=topology,
        version=model_version(),
        model=model,
        profile=profile,
    )


def evaluate(task: Task) -> Outcome:
    """Simulate ``task``.  An error is recorded in the outcome, not raised.

    Raises `ConfigError` if this is not the wavecore that made the task: its result would be kept under a false key.
    """
    if task.version != model_version():
        what = f"{gethostname()} has wavecore {model_version()}, and the sweep was begun with {task.version}"
        raise ConfigError("sweep", what, "the same version everywhere, and no edits while a sweep runs")
    started = time.perf_counter()
    metrics, failure = None, None
    try:
        metrics = _metrics(
            totals_of(
                _training(task.workload, tuple(sorted(task.options.items())), task.topology, task.model, task.profile),
                task.schedule,
                task.accelerator,
                batch=task.batch,
                choices=task.choices,
                engine=task.engine,
            )
        )
    except WavecoreError as error:
        failure = error.message
    except Exception as error:  # one point's bug must not end the sweep
        failure = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Outcome(key=task.key, metrics=metrics, error=failure, seconds=time.perf_counter() - started)


@cache
def model_version() -> str:
    """Return the package's version and a hash of those of its sources that results can depend on."""
    return f"{package_version()}+{source_hash('wavecore')[:16]}"


@cache
def source_hash(package: str) -> str:
    """Return the SHA-256 of all Python sources of a package or module, as they are on disk when first asked for.

    It is the same however the package is installed: where the folders are and how lines end does not count.
    """
    digest = hashlib.sha256()
    for name, path in sorted(dict(_sources(package)).items()):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _sources(package: str) -> Iterator[tuple[str, Path]]:
    """Yield names and paths of a package's sources; of wavecore only those that results can depend on.

    Workloads and schedules are folders of their own in a repository, and in `wavecore` once it is built.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        if spec is not None and spec.origin is not None and Path(spec.origin).is_file():
            yield package, Path(spec.origin)
        return
    root = package.replace(".", "/")
    for folder in map(Path, spec.submodule_search_locations):
        for path in folder.rglob("*.py"):
            name = path.relative_to(folder).as_posix()
            if package == "wavecore" and name.startswith(_BESIDE):
                continue  # they come below, under their own names
            if package != "wavecore" or name in _MATERIAL or not name.startswith(_IMMATERIAL):
                yield f"{root}/{name}", path
    if package == "wavecore":
        yield from _sources("wavecore.workloads")
        yield from _sources("wavecore.schedules")


def _package(function: object) -> str:
    """Return the outermost package that a function, or the function of a `functools.partial`, was defined in."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__module__", None) or "wavecore").partition(".")[0]


@lru_cache(maxsize=64)
def _hash_of(accelerator: Accelerator) -> str:
    return content_hash(accelerator)


@lru_cache(maxsize=GRAPHS_A_PROCESS)
def _training(
    name: str,
    options: tuple[tuple[str, OptionValue], ...],
    topology: str | None,
    model: str,
    profile: tuple[str, str] | None,
) -> TrainingGraph:
    """Return the training graph of a task's workload, kept with what earlier points have worked out about it.

    Raises `FileError` for a model or a profile that is not what it was when the task was made.
    """
    graph = _graph(name, options, topology, model)
    if profile is None:
        return training_graph(graph)
    path, digest = profile
    pruned = _profile(path)
    if pruned.digest != digest:
        raise FileError(path, _CHANGED, _AGAIN)
    return training_graph(apply_profile(graph, pruned))


def _graph(name: str, options: tuple[tuple[str, OptionValue], ...], topology: str | None, model: str) -> LayerGraph:
    if model:
        imported = import_onnx(name)
        if imported.sha256 != model:
            raise FileError(name, _CHANGED, _AGAIN)
        return imported.graph
    if topology is None:
        return workload(name, **dict(options))
    return network_of(Path(name).stem, parse_topology(name, topology))


def _profile(path: str) -> Profile:
    """Read a profile, once as long as its file does not change."""
    with reading(Path(path)):
        status = Path(path).stat()
    return _read_profile(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=GRAPHS_A_PROCESS)
def _read_profile(path: str, modified: int, size: int) -> Profile:
    return load_profile(path)


def _metrics(totals: Totals) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {name: figure(totals) for name, figure in _FIGURES.items()}
    for name, value in found.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InvariantError(name, f"is {value}, not a finite number")
    return found


_FIGURES = {name: attrgetter(name) for name in SCALARS}
