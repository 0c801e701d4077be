"""What all tests share: golden files, and hypothesis without deadlines.

CI tries the same examples in every run (hypothesis sees the variable ``CI``).  ``pytest --hypothesis-seed=random``
draws a new seed, whatever ``CI`` says, and prints it; ``--hypothesis-seed=NUMBER`` repeats that run.
"""

import random
import signal
from collections.abc import Callable
from pathlib import Path

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
    if config.option.hypothesis_seed == "random":
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(10**9))
    if config.option.hypothesis_seed is not None:
        settings.load_profile("seeded")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how to repeat the run, also under ``-q``."""
    if config.option.hypothesis_seed is not None:
        terminalreporter.write_line(f"repeat these examples: --hypothesis-seed={config.option.hypothesis_seed}")


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
