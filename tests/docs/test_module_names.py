"""Does every module exist that a docstring or ARCHITECTURE.md names, and does the folder map have them all?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "wavecore"
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
FOLDERS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
SOURCES = [path for name in ("wavecore", "schedules", "workloads") for path in sorted((ROOT / name).rglob("*.py"))]
PATH = re.compile(rf"`(?:wavecore\.)?((?:{'|'.join(FOLDERS)})\.[\w.]+)`")
FOLDER_MAP = ARCHITECTURE.split("```\nerrors.py")[1].split("```")[0]


def exists(path: str) -> bool:
    """Whether ``path`` is a module below the package, or a name in one: ``folder.module`` or ``folder.module.name``."""
    *parents, last = path.split(".")
    if PACKAGE.joinpath(*parents, last).is_dir() or PACKAGE.joinpath(*parents, f"{last}.py").exists():
        return True
    file = PACKAGE.joinpath(*parents)
    source = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
    return source.exists() and re.search(rf"\b{last}\b", source.read_text(encoding="utf-8")) is not None


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_that_a_source_names_exist(source: Path) -> None:
    named = [path for path in PATH.findall(source.read_text(encoding="utf-8")) if not path.endswith(".toml")]
    assert [path for path in named if not exists(path)] == []


def test_files_that_the_architecture_names_exist() -> None:
    named = re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", ARCHITECTURE)
    assert named and [file for file in named if not (PACKAGE / file).exists() and not (ROOT / file).exists()] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_folder_map_has_every_module(folder: str) -> None:
    entries = re.findall(rf"^({folder}/[\w/]*) +(\S.*(?:\n +.*)*)", FOLDER_MAP, flags=re.MULTILINE)
    for name, text in entries:
        modules = {path.stem for path in (PACKAGE / name).glob("*.py")} - {"__init__"}
        assert modules - set(re.findall(r"\w+", re.sub(r"\([^)]*\)", "", text))) == set(), name
    assert entries
