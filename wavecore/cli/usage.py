"""What click says of a command line that it cannot read, as errors of ours."""

from __future__ import annotations

from typing import Any

import typer

from wavecore.errors import InputError, nearest

# Typer brings its own click or uses the installed one, and exports only this subclass of the exception meant.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def usage_error(problem: Any) -> InputError:
    """Translate a click ``UsageError``: where, what, and the nearest option or the help to read."""
    context = problem.ctx
    where = context.command_path if context is not None else "wavecore"
    options = _options(context)
    parameter = getattr(problem, "param", None)
    option = getattr(problem, "option_name", None)
    if parameter is not None:
        return _parameter_error(where, parameter, problem)
    if option is not None and option.startswith("-") and option not in options:
        close = " or ".join(nearest(option, options)) or f"{where} --help"
        return InputError(where, f"there is no option {option}", close)
    return InputError(where, _sentence(problem.format_message()), f"{where} --help")


def _parameter_error(where: str, parameter: Any, problem: Any) -> InputError:
    """An argument or option that is missing or has a wrong value."""
    option = parameter.param_type_name == "option"
    name = max(parameter.opts, key=len) if option else parameter.human_readable_name.upper()
    if not problem.message:
        return InputError(where, f"{name} is missing", f"{where} --help")
    return InputError(name, _sentence(problem.message), f"{where} --help")


def _options(context: Any) -> list[str]:
    """All options of the command, long and short."""
    parameters = context.command.get_params(context) if context is not None else []
    return [
        name for each in parameters for name in (*each.opts, *each.secondary_opts) if name.startswith("-")
    ]


def _sentence(message: str) -> str:
    """A message of click in the style of ours: no capital, no full stop."""
    text = message.strip().removesuffix(".")
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
