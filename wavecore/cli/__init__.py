"""The command line: `main` runs a command and turns errors into a message and an exit code.

====  =======================================================================
code  meaning
====  =======================================================================
0     done
1     wavecore failed; ``--debug`` shows the traceback
2     the user's input is wrong: a message says where, what and what to try
130   stopped by the user; 143 and 129 by SIGTERM and SIGHUP, after the same cleaning up
141   the program that read the output has ended (as in ``| head``)
====  =======================================================================
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from wavecore.cli.messages import say, say_error
from wavecore.errors import FileError, InputError, InvariantError, WavecoreError

DONE, FAILED, WRONG_INPUT, STOPPED, READER_GONE = 0, 1, 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` (by default the process's) and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        with _stoppable():
            code = _invoke([word for word in given if word != "--debug"])
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Python flushes its buffer at exit, which would raise the same error again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except KeyboardInterrupt as stop:
        say("stopped")
        return 128 + stop.signal if isinstance(stop, _Terminated) else STOPPED
    except InputError as error:
        if debug:
            raise
        say_error(error)
        return WRONG_INPUT
    except OSError as error:
        if debug:
            raise
        say_error(_refused(error))
        return WRONG_INPUT
    except Exception as error:
        if debug:
            raise
        say_error(error if isinstance(error, InvariantError) else _unexpected(error))
        return FAILED


class _Terminated(KeyboardInterrupt):
    """The process is told to end: what is under way stops as it does for Ctrl-C."""

    def __init__(self, number: int) -> None:
        self.signal = number
        super().__init__()


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP, unless the caller ignores or handles them, stop the block so that it cleans up."""

    def stop(number: int, frame: object) -> None:
        raise _Terminated(number)

    handled = []
    if threading.current_thread() is threading.main_thread():
        signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        handled = [each for each in signals if signal.getsignal(each) is signal.SIG_DFL]
    for each in handled:
        signal.signal(each, stop)
    try:
        yield
    finally:
        for each in handled:
            signal.signal(each, signal.SIG_DFL)


def _invoke(arguments: list[str]) -> int:
    """Run a command and return its exit code; raise usage errors of click, in any of its versions, as `InputError`."""
    import typer

    from wavecore.cli.app import command
    from wavecore.cli.usage import UsageError, usage_error

    try:
        with command().make_context("wavecore", arguments or ["--help"]) as context:
            context.command.invoke(context)
    except typer.Exit as request:
        return request.exit_code
    except typer.Abort as stopped:
        raise KeyboardInterrupt from stopped
    except UsageError as problem:
        called = next((word for word in arguments if not word.startswith("-")), "")
        raise usage_error(problem, f"wavecore {called}".strip()) from problem
    return DONE


def _refused(error: OSError) -> WavecoreError:
    """Return the message for what the operating system refuses: a path, or room for the output."""
    where = str(error.filename) if error.filename else "output"
    return FileError(where, f"cannot be used ({error.strerror or error})", "another path, or one that you may use")


def _unexpected(error: Exception) -> WavecoreError:
    """Return the message for an error that is a bug of wavecore."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return WavecoreError("wavecore failed", what, "--debug for the traceback, and a report of this as a bug")
