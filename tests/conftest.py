"""What all tests share: golden files, and hypothesis without deadlines.

CI tries the same examples in every run (hypothesis sees the variable ``CI``).  ``pytest --hypothesis-seed=random``
draws a new seed, whatever ``CI`` says, and prints it; ``--hypothesis-seed=NUMBER`` repeats that run.
"""

import builtins
import random
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import missing_extras
import pytest
from hypothesis import settings

Golden = Callable[[str, str], Path]

# A shell that runs the tests in the background lets them ignore Ctrl-C, and so whatever they start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("wavecore", deadline=None)
settings.load_profile("wavecore")
settings.register_profile("seeded", settings.get_profile("wavecore"), derandomize=False, print_blob=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


def pytest_configure(config: pytest.Config) -> None:
    """Draw the seed of ``--hypothesis-seed=random`` before hypothesis and the workers of xdist read the option."""
    missing_extras.install(config)
    if config.option.hypothesis_seed == "random":
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(10**9))
    if config.option.hypothesis_seed is not None:
        settings.load_profile("seeded")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how to repeat the run, also under ``-q``."""
    if config.option.hypothesis_seed is not None:
        terminalreporter.write_line(f"repeat these examples: --hypothesis-seed={config.option.hypothesis_seed}")


@pytest.fixture(scope="session", autouse=True)
def _sums_of_floats_are_exact() -> Iterator[None]:
    """Let no module of wavecore add up floats with `sum`, which rounds otherwise from Python 3.12 on; `math.fsum` does.

    So every Python gives the same last digit.
    """
    built_in = builtins.sum

    def checked(*arguments: Any, **named: Any) -> Any:
        total = built_in(*arguments, **named)
        if isinstance(total, float):
            caller = sys._getframe(1).f_globals.get("__name__", "")
            assert caller.partition(".")[0] != "wavecore", f"{caller} adds up floats with sum, not with math.fsum"
        return total

    builtins.sum = checked
    yield
    builtins.sum = built_in


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """``golden("plans/x.toml", text)``: the file beside the test, which holds exactly this text."""

    def compare(name: str, text: str) -> Path:
        path = Path(request.path).parent / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        assert path.exists(), f"there is no {name}; run pytest --update-golden"
        same = path.read_text(encoding="utf-8") == text
        assert same, f"{name} differs; if that is meant, run pytest --update-golden"
        return path

    return compare
