"""The command line: `main` runs a command and turns what goes wrong into a message and an exit code.

====  =======================================================================
code  meaning
====  =======================================================================
0     done
1     wavecore failed; ``--debug`` shows the traceback
2     the user's input is wrong: one message with where, what and what to try
130   stopped by the user
141   whoever read the output has gone (``| head``)
====  =======================================================================
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from wavecore.cli.messages import say, say_error
from wavecore.errors import InputError, InvariantError, WavecoreError

DONE, FAILED, WRONG_INPUT, STOPPED, READER_GONE = 0, 1, 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line ``arguments`` (by default the process's) and return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        code = _invoke([word for word in given if word != "--debug"])
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # What is still in Python's buffer must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except KeyboardInterrupt:
        say("stopped")
        return STOPPED
    except InputError as error:
        if debug:
            raise
        say_error(error)
        return WRONG_INPUT
    except Exception as error:
        if debug:
            raise
        say_error(error if isinstance(error, InvariantError) else _unexpected(error))
        return FAILED


def _invoke(arguments: list[str]) -> int:
    """Run a command; usage errors become `InputError`, whatever version of click typer comes with."""
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


def _unexpected(error: Exception) -> WavecoreError:
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return WavecoreError("wavecore failed", what, "--debug for the traceback, and a report of this as a bug")
