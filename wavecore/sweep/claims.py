"""Which sweep works on which points, where several share a store: each point is evaluated by one of them.

A sweep claims a point before it works on it and gives the claim up with the outcome.  Its row in ``sweeps`` has a beat:
a sweep that has not beaten for `SILENT_SECONDS`, or whose process is no more on this machine, holds no claims.  So a
killed sweep keeps nobody waiting for long, and one that is stopped for a while only makes others do its points again.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal

from wavecore.common.staging import is_running, system_name

BEAT_SECONDS = 5.0
SILENT_SECONDS = 30.0

TABLES = (
    "CREATE TABLE sweeps (id TEXT PRIMARY KEY NOT NULL, system TEXT, pid INTEGER, beat REAL) WITHOUT ROWID",
    "CREATE TABLE claims (key TEXT PRIMARY KEY NOT NULL, sweep TEXT NOT NULL) WITHOUT ROWID",
)

Claim = Literal["mine", "finished", "elsewhere"]


class Claims:
    """The claims of one sweep in an open store; every method is a part of the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.sweep = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"

    def claim(self, key: str) -> Claim:
        """Take a point unless it has an outcome or another sweep that is at work has it."""
        if self._connection.execute("SELECT 1 FROM outcomes WHERE key = ?", (key,)).fetchone():
            return "finished"
        query = "SELECT system, pid, beat FROM claims JOIN sweeps ON id = sweep WHERE key = ? AND sweep <> ?"
        owner = self._connection.execute(query, (key, self.sweep)).fetchone()
        if owner is not None and _at_work(*owner):
            return "elsewhere"
        self._connection.execute("INSERT OR REPLACE INTO claims VALUES (?, ?)", (key, self.sweep))
        return "mine"

    def release(self, *keys: str) -> None:
        """Give up points that have their outcome."""
        self._connection.executemany("DELETE FROM claims WHERE key = ?", [(key,) for key in keys])

    def leave(self) -> None:
        """Give up everything."""
        self._connection.execute("DELETE FROM claims WHERE sweep = ?", (self.sweep,))
        self._connection.execute("DELETE FROM sweeps WHERE id = ?", (self.sweep,))


@contextmanager
def beating(path: Path, claims: Claims, busy_seconds: float) -> Iterator[None]:
    """Say in the store, from a thread, that the sweep of these claims is at work, as long as the block runs."""
    ended = threading.Event()
    _beat(path, claims.sweep, busy_seconds)

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            with suppress(sqlite3.Error):  # what is wrong with the store, the sweep itself will say
                _beat(path, claims.sweep, busy_seconds)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _beat(path: Path, sweep: str, busy_seconds: float) -> None:
    with closing(sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)) as connection:
        row = (sweep, system_name(), os.getpid(), time.time())
        connection.execute("INSERT OR REPLACE INTO sweeps VALUES (?, ?, ?, ?)", row)


def _at_work(system: object, pid: object, beat: object) -> bool:
    """Return whether a sweep is at work by its row, which disk or copy may have changed."""
    if not isinstance(beat, float) or abs(time.time() - beat) > SILENT_SECONDS:
        return False
    return system != system_name() or (isinstance(pid, int) and is_running(pid))
