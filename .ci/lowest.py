"""Print the lowest versions that pyproject.toml allows, as requirements of pip: dependencies, and the extras named.

python lowest.py [EXTRA...]
"""

import re
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def lowest(requirements: list[str]) -> list[str]:
    """Return ``name==bound`` for each ``name>=bound``."""
    return [re.sub(r"^([\w.-]+)>=([\w.]+)$", r"\1==\2", requirement) for requirement in requirements]


if __name__ == "__main__":
    chosen = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in sys.argv[1:])]
    print(*[each for requirements in chosen for each in lowest(requirements)])
