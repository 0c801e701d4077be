"""The worker process of `wavecore.sweep.pool`: it works on tasks until its standard input ends.

It reads pickles from its standard input: the work to do, then lists of tasks.  It writes pickles to what was its
standard output: None when it is ready, then one reply for each task, in their order, as soon as it has it.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import traceback
from queue import SimpleQueue
from typing import BinaryIO

from wavecore.sweep.task import Task


def main() -> None:
    """Work until standard input ends."""
    requests, replies = sys.stdin.buffer, _replies()
    try:
        work = pickle.load(requests)
    except (EOFError, OSError, pickle.UnpicklingError):  # the main process has gone before it could ask for anything
        os._exit(0)
    inbox: SimpleQueue[list[Task]] = SimpleQueue()
    threading.Thread(target=_receive, args=(requests, inbox), daemon=True).start()
    _send(replies, None)
    while True:
        for task in inbox.get():
            try:
                reply = work(task)
            except Exception as error:  # the main process raises it again
                reply = _portable(error)
            _send(replies, reply)


def _replies() -> BinaryIO:
    """Return a copy of standard output for the pickles; from now on prints go to standard error."""
    sys.stdout.flush()
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return replies


def _receive(requests: BinaryIO, inbox: SimpleQueue[list[Task]]) -> None:
    """Take requests at once, so that their sender never waits; leave at once when it has gone, however it went."""
    try:
        while True:
            inbox.put(pickle.load(requests))
    except (EOFError, OSError, pickle.UnpicklingError):
        os._exit(0)
    except Exception:  # a task that this process cannot read
        traceback.print_exc()
        os._exit(1)


def _send(replies: BinaryIO, reply: object) -> None:
    try:
        pickle.dump(reply, replies, pickle.HIGHEST_PROTOCOL)
        replies.flush()
    except BrokenPipeError:
        os._exit(0)


def _portable(error: Exception) -> Exception:
    """Return the error itself, or one with its text if it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an exception may fail to be pickled in any way at all
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
