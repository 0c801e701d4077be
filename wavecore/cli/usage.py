"""Translate errors of click, for a command line that it cannot read, into `InputError`."""

from __future__ import annotations

from typing import Any

import typer

from wavecore.errors import InputError, nearest

# Typer has its own click or uses the installed one, and exports only this subclass of click's UsageError.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def usage_error(problem: Any, command: str) -> InputError:
    """Translate a click ``UsageError``; the hint is the nearest option or the command's ``--help``.

    ``command`` is the command that was called, for errors that do not name it.
    """
    context = problem.ctx
    where = context.command_path if context is not None else command
    kind, option = type(problem).__name__, getattr(problem, "option_name", "")
    if kind == "NoSuchOption":
        close = " or ".join(nearest(option, _options(context))) or f"{where} --help"
        return InputError(where, f"there is no option {option}", close)
    if kind == "BadOptionUsage":
        return InputError(where, f"{option} has no value, or one too many", f"{where} --help")
    if kind == "MissingParameter":
        return InputError(where, f"{_name(problem.param)} is missing", f"{where} --help")
    return InputError(where, _sentence(problem.format_message()), f"{where} --help")


def _name(parameter: Any) -> str:
    """Return the name of a parameter in the help."""
    return str(parameter.metavar or parameter.name.upper()).removesuffix("...")


def _options(context: Any) -> list[str]:
    """Return all options of the command, long and short."""
    parameters = context.command.get_params(context) if context is not None else []
    return [name for each in parameters for name in (*each.opts, *each.secondary_opts) if name.startswith("-")]


def _sentence(message: str) -> str:
    """Return a message of click without its first capital and its full stop."""
    text = message.strip().removesuffix(".")
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
