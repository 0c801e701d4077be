"""Tasks and the work on them for tests of executors: ``from fakework import numbered, echo``.

Worker processes import these functions from here.  What a task is to do is in its fields: ``workload`` is a folder to
leave notes in, ``batch`` the number of the task.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from wavecore.hardware.config import load_accelerator
from wavecore.plan.model import DEFAULT_CHOICES
from wavecore.sweep.dispatch import EvaluateTask
from wavecore.sweep.pool import local_pool
from wavecore.sweep.store import open_store
from wavecore.sweep.task import Outcome, Task


def numbered(numbers: Iterable[int], folder: Path | str = "") -> list[Task]:
    """One task for each number, which is its key too."""
    return [_task(number, str(folder)) for number in numbers]


machine = cache(load_accelerator)


def _task(number: int, folder: str) -> Task:
    return Task(
        key=str(number),
        workload=folder,
        options={},
        accelerator=machine(),
        schedule="mbs2",
        choices=DEFAULT_CHOICES,
        batch=number,
        engine="analytic",
        topology=None,
        version="",
    )


def echo(task: Task) -> Outcome:
    """The number of the task, at once."""
    return Outcome(key=task.key, metrics={"number": task.batch}, error=None, seconds=1e-4)


def noted(task: Task) -> Outcome:
    """The same, after 5 ms, and noted down in the folder when it is done; so is the process."""
    time.sleep(0.005)
    _note_process(task)
    note(task, "done")
    return Outcome(key=task.key, metrics={"number": task.batch}, error=None, seconds=0.005)


def deadly(task: Task) -> Outcome:
    """Kills its process over every task whose number ends in 7."""
    if task.batch % 10 == 7:
        note(task, "killed")
        os.kill(os.getpid(), signal.SIGKILL)
    return noted(task)


def deadly_once(task: Task) -> Outcome:
    """Kills its process over the same tasks, the first time only."""
    if task.batch % 10 == 7 and str(task.batch) not in notes(task.workload, "killed"):
        note(task, "killed")
        os.kill(os.getpid(), signal.SIGKILL)
    return noted(task)


def endless(task: Task) -> Outcome:
    """Notes the process down, and takes a minute, but for task 0."""
    _note_process(task)
    if task.batch:
        time.sleep(60)
    return echo(task)


def talkative(task: Task) -> Outcome:
    """Prints where pickles go."""
    print("half a pickle", flush=True)
    os.write(1, b"\x80\x05")
    return echo(task)


def broken(task: Task) -> Outcome:
    """Raises."""
    raise ZeroDivisionError(f"task {task.batch}")


def _note_process(task: Task) -> None:
    (Path(task.workload) / f"pid-{os.getpid()}").touch()


def note(task: Task, name: str) -> None:
    """Add a task's number to a list in its folder."""
    line = f"{task.batch}\n".encode()
    file = os.open(Path(task.workload) / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, line)
    os.close(file)


def notes(folder: Path | str, name: str) -> list[str]:
    """The list."""
    path = Path(folder) / name
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def alive(pid: int) -> bool:
    """Whether a process is there, and not only waiting to be buried by its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pids(folder: Path) -> list[int]:
    """The processes that are noted down."""
    return [int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")]


def sweep(folder: Path, count: int, jobs: int, work: EvaluateTask = noted) -> None:
    """A sweep that can be killed and begun again: what the store has is not worked on."""
    tasks = numbered(range(count), folder)
    with open_store(folder / "store") as store, local_pool(jobs, work) as executor:
        known = store.get(task.key for task in tasks)
        for outcome in executor(task for task in tasks if task.key not in known):
            store.put(outcome)


def make_stores(folder: Path) -> None:
    """Stores named 0, 1, ..., each with an outcome."""
    for number in range(1000):
        with open_store(folder / str(number)) as store:
            store.put(echo(numbered([1])[0]))


def started(call: str, folder: Path) -> subprocess.Popen[bytes]:
    """A new process that imports this module and evaluates ``call``, in which ``folder`` is the folder."""
    code = f"import sys; sys.path[:] = sys.argv[2:]; from fakework import *; folder = Path(sys.argv[1]); {call}"
    return subprocess.Popen([sys.executable, "-c", code, str(folder), *sys.path])
