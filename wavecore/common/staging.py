"""Names of hidden files and folders that are being written, and the removal of those whose process has died.

A name says which process of which machine made it, so that what a killed process has left is told from what another one
is writing at this moment.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

_NAME = re.compile(r"\.wavecore-(?P<system>[0-9a-f]{8})-(?P<pid>[0-9]{1,10})-[0-9a-f]{8}(?:\..*)?")


def hidden_path(folder: Path, suffix: str = "") -> Path:
    """Return the path of a new hidden file or folder of this process, and remove stale ones from ``folder``."""
    _remove_stale(folder)
    return folder / f".wavecore-{system_name()}-{os.getpid()}-{os.urandom(4).hex()}{suffix}"


def is_running(pid: int) -> bool:
    """Return whether there is a process of this number on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


@cache
def system_name() -> str:
    """Return a name for the processes that have numbers of their own: those of this machine, or of this container."""
    space = ""
    with suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]


def _remove_stale(folder: Path) -> None:
    """Remove what processes of this machine that are no more have left in a folder, as far as that is allowed."""
    with suppress(OSError):
        for path in folder.glob(".wavecore-*"):
            made = _NAME.fullmatch(path.name)
            if made is None or made["system"] != system_name() or is_running(int(made["pid"])):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()
