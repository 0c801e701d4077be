"""Finished design points in an sqlite3 file, by key; what was put survives when the process is killed.

Two marks in sqlite's header say that a file is a store of ours (``application_id``) and of which layout
(``user_version``).  A row is an outcome; its metrics and its error are strict JSON, in which a float has all digits
that it takes to read the same number back.  A row carries a digest of its content: one that disk or copy has changed
is removed when it is met, and counts as not finished.  Any number of processes may use a store at once.

Commits are appended to a write-ahead log, which takes microseconds.  Its writers share memory, and between machines
there is none: on a network file system, or where a log is refused, the store keeps a rollback journal, in which a
commit takes milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wavecore.common.files import WRITABLE_FOLDER, expanded, file_errors
from wavecore.errors import FileError
from wavecore.sweep.claims import TABLES, Claim, Claims, beating
from wavecore.sweep.task import Outcome, Scalar

VERSION = 2
APPLICATION_ID = 0x57435357  # "WCSW"
BUSY_SECONDS = 60.0
DIGEST_BYTES = 16
KEYS_A_QUERY = 500  # sqlite may be built to take no more than 999 parameters

_TABLE = """
CREATE TABLE outcomes (
    key TEXT PRIMARY KEY NOT NULL,
    metrics TEXT,
    error TEXT,
    seconds REAL NOT NULL,
    digest BLOB NOT NULL,
    CHECK ((metrics IS NULL) <> (error IS NULL))
) WITHOUT ROWID
"""
# A failure gives way to whatever comes later; a result stays.
_PUT = """
INSERT INTO outcomes VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE
SET metrics = excluded.metrics, error = excluded.error, seconds = excluded.seconds, digest = excluded.digest
WHERE error IS NOT NULL
"""

_NETWORKS = (
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "9p", "virtiofs", "vboxsf"),
    *("lustre", "gpfs", "beegfs", "panfs", "ocfs2", "gfs2"),
)
_MOUNTS = Path("/proc/self/mounts")

_HINT = "another file, or the backup of this one"
_REASONS: Mapping[str, tuple[str, str]] = {
    "SQLITE_FULL": ("the disk is full", "making room and the same command again: what was finished is kept"),
    "SQLITE_READONLY": ("is read-only", "a file and a folder that you may write to"),
    "SQLITE_CANTOPEN": ("cannot be opened", "a file and a folder that you may write to"),
    "SQLITE_PERM": ("cannot be opened", "a file and a folder that you may write to"),
    "SQLITE_NOTADB": ("is no store of a sweep", "another file"),
    "SQLITE_CORRUPT": ("is damaged", _HINT),
    "SQLITE_BUSY": (f"was locked by another process for {BUSY_SECONDS:.0f} seconds", "ending that process"),
    "SQLITE_IOERR": ("cannot be read or written", "a look at the disk and its quota: what was finished is kept"),
}


@dataclass(frozen=True, slots=True)
class ResultStore:
    """An open store: outcomes by the key of their task.  Its methods raise `FileError` and leave the file whole.

    ``damaged`` are the keys of the rows that were found changed, and removed, while it was open.
    """

    path: Path
    connection: sqlite3.Connection
    identity: tuple[int, int]
    claims: Claims
    damaged: set[str] = field(default_factory=set)

    def get(self, keys: Iterable[str]) -> dict[str, Outcome]:
        """Return the outcomes of those of the ``keys`` that have a sound one; remove the damaged ones."""
        found, damaged = {}, []
        with _explained(self.path):
            for some in _slices(list(keys)):
                query = f"SELECT key, metrics, error, seconds, digest FROM outcomes WHERE key IN ({_marks(some)})"
                for *content, digest in self.connection.execute(query, some):
                    key, metrics, error, seconds = content
                    if digest == _digest(*content):
                        found[key] = Outcome(key=key, metrics=_read(metrics), error=_read(error), seconds=seconds)
                    else:
                        damaged.append(key)
        if damaged:
            self.forget(damaged)
            self.damaged.update(damaged)
        return found

    def put(self, *outcomes: Outcome) -> None:
        """Commit the ``outcomes``, all or none.  A result that is there already stays; a failure is replaced."""
        contents = [(one.key, _json(one.metrics), _json(one.error), float(one.seconds)) for one in outcomes]
        rows = [(*content, _digest(*content)) for content in contents]
        with _explained(self.path):
            self._check_place()
            with _transaction(self.connection):
                self.connection.executemany(_PUT, rows)
                self.claims.release(*(one.key for one in outcomes))

    def claim(self, key: str) -> Claim:
        """Take the point of a key, unless it is finished or a sweep elsewhere is at work on it."""
        with _explained(self.path), _transaction(self.connection):
            return self.claims.claim(key)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Hold what is claimed as long as the block runs, and give it up then."""
        with ExitStack() as working:
            with _explained(self.path):
                working.enter_context(beating(expanded(self.path), self.claims, BUSY_SECONDS))
            try:
                yield
            finally:
                with suppress(sqlite3.Error), _transaction(self.connection):
                    self.claims.leave()

    def forget(self, keys: Iterable[str]) -> int:
        """Remove the outcomes of these ``keys``; return how many there were."""
        return self._delete(keys, "")

    def forget_failed(self, keys: Iterable[str]) -> int:
        """Remove those outcomes of these ``keys`` that are failures; return how many there were."""
        return self._delete(keys, " AND error IS NOT NULL")

    def _delete(self, keys: Iterable[str], condition: str) -> int:
        with _explained(self.path), _transaction(self.connection):
            return sum(
                self.connection.execute(f"DELETE FROM outcomes WHERE key IN ({_marks(some)}){condition}", some).rowcount
                for some in _slices(list(keys))
            )

    def _check_place(self) -> None:
        """Raise `FileError` if the file is no longer where it was, so that results would go nowhere."""
        if _identity(self.path) != self.identity:
            what = "was deleted or replaced while a sweep was writing to it"
            raise FileError(str(self.path), what, "the same command again")


@contextmanager
def open_store(path: Path) -> Iterator[ResultStore]:
    """Open the store at ``path``, which is made, with its folder, if there is none.

    Raises `FileError` for a file that is something else, damaged, read-only, or made by a newer version.
    """
    target = expanded(path)
    _make_folder(target.parent, path)
    if target.is_dir():
        raise FileError(str(path), "is a folder, not a file", "the path of a file in it")
    # Beside a store that it may only read, sqlite would create files that stay read-only.
    if not all(os.access(each, os.W_OK) for each in (target.parent, target) if each.exists()):
        raise FileError(str(path), *_REASONS["SQLITE_READONLY"])
    with _explained(path):
        connection = sqlite3.connect(target, timeout=BUSY_SECONDS, isolation_level=None)
        connection.text_factory = lambda content: content.decode(errors="replace")  # a damaged text fails its digest
    with closing(connection):
        with _explained(path):
            _check_or_create(connection, path)
            _choose_journal(connection, target)
        yield ResultStore(path, connection, _identity(target), Claims(connection))


def _make_folder(folder: Path, path: Path) -> None:
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    if not nearest.is_dir():
        raise FileError(str(path), f"{nearest} is a file, not a folder", "a path through folders")
    with file_errors(path, hint=WRITABLE_FOLDER):
        folder.mkdir(parents=True, exist_ok=True)


def on_network(path: Path, mounts: Path = _MOUNTS) -> bool:
    """Whether ``path`` is on a file system that other machines write to as well, as far as one can tell."""
    try:
        lines = [line.split(" ") for line in mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()]
    except OSError:
        return False
    real = path.resolve()
    kinds = {Path(where.replace("\\040", " ")): kind for _, where, kind, *_ in lines}
    kind = next((kinds[folder] for folder in (real, *real.parents) if folder in kinds), "")
    return kind in _NETWORKS or kind.startswith("fuse.")


def _check_or_create(connection: sqlite3.Connection, path: Path) -> None:
    """Create the table in an empty database; else raise `FileError` unless it is a store of this version."""
    with _transaction(connection):
        application, version, items = (
            connection.execute(query).fetchone()[0]
            for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        )
        if not (application or version or items):
            for table in (_TABLE, *TABLES):
                connection.execute(table)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        elif application != APPLICATION_ID:
            raise FileError(str(path), "is a database of something else, no store of a sweep", "another file")
        elif version != VERSION:
            age = "a newer" if version > VERSION else "an older"
            what = f"is a store of layout {version}, made by {age} wavecore; this one knows layout {VERSION}"
            raise FileError(str(path), what, f"{age} wavecore, or another file")
        connection.execute("DELETE FROM outcomes WHERE 0")  # which a store that is read-only refuses


def _choose_journal(connection: sqlite3.Connection, path: Path) -> None:
    """Set a write-ahead log, or a rollback journal where that cannot be, and what either needs to survive."""
    log = False
    if not on_network(path):
        with suppress(sqlite3.OperationalError):
            log = _set_journal(connection, "WAL") == "wal"
    if not log:
        _set_journal(connection, "TRUNCATE")
    # A power failure corrupts neither journal, but may cost a log its last commits; the death of a process does not.
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if log else 'FULL'}")


def _set_journal(connection: sqlite3.Connection, mode: str) -> str:
    """Change the journal, which sqlite may refuse without waiting while the file is in use; return what it is now."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return str(connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()[0])
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY") or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit all statements of the block or none, with the file locked meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what sqlite says of the store at ``path`` into a `FileError`."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        primary = next((known for known in _REASONS if name.startswith(known)), "")
        what, hint = _REASONS.get(primary, (f"cannot be used ({error})", _HINT))
        raise FileError(str(path), what, hint) from error


def _identity(path: Path) -> tuple[int, int]:
    """Return device and inode of a file; zeros if there is none."""
    with suppress(OSError):
        status = path.stat()
        return status.st_dev, status.st_ino
    return 0, 0


def _digest(*content: object) -> bytes:
    """Return the digest of a row's other columns."""
    return hashlib.sha256(repr(content).encode("utf-8", "backslashreplace")).digest()[:DIGEST_BYTES]


def _json(value: Mapping[str, Scalar] | str | None) -> str | None:
    return None if value is None else json.dumps(value, allow_nan=False, separators=(",", ":"))


def _read(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _slices(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(keys), KEYS_A_QUERY):
        yield keys[first : first + KEYS_A_QUERY]


def _marks(keys: Sequence[str]) -> str:
    return ",".join("?" * len(keys))
