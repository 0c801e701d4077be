"""Does what README.md, ARCHITECTURE.md and the guide say still hold: commands, code, files and links?"""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from wavecore.cli import app, main

ROOT = Path(__file__).parent.parent.parent
PAGES = ("README.md", "ARCHITECTURE.md", "docs/guide.md", "docs/model.md", "docs/results.md")
TOPOLOGY = "Layer,M,N,K,\nfirst,100,64,27,\nsecond,100,32,64,\n"
OPERATORS = ("|", "&&", ";", ">")


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text(page), re.MULTILINE | re.DOTALL)


def wavecore_calls(line: str) -> Iterator[list[str]]:
    """The words after each ``wavecore`` that begins a command of a line of shell."""
    call: list[str] = []
    for word in [*shlex.split(line, comments=True), ";"]:
        if word not in OPERATORS:
            call.append(word)
            continue
        if call[:1] == ["wavecore"]:
            yield call[1:]
        call = []


def commands(page: str) -> list[list[str]]:
    """Every call of wavecore in the page's blocks of shell."""
    return [call for block in blocks(page, "bash") for line in block.splitlines() for call in wavecore_calls(line)]


def mentioned(page: str) -> list[list[str]]:
    """Every call of wavecore in running text, words in capitals being placeholders."""
    found = re.findall(r"`(wavecore [^`]*)`", text(page))
    return [call for one in found for call in wavecore_calls(one)]


FILES = [
    found
    for page in PAGES
    for found in re.findall(r"Save this as\s+`([^`]+)`:\n\n```toml\n(.*?)^```", text(page), re.MULTILINE | re.DOTALL)
]
CALLS = [call for page in PAGES for call in commands(page)]


def test_the_first_two_commands_are_marked() -> None:
    marked = re.findall(r"^<!-- (\w+) command -->\n```bash\n(.*)\n```$", text("README.md"), re.MULTILINE)
    assert [name for name, _ in marked] == ["main", "test"]
    first, second = blocks("README.md", "bash")[:2]
    assert [command for _, command in marked] == [first.strip(), second.strip()]
    assert "wavecore " in first and "pytest" in second


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_a_command_parses(words: list[str]) -> None:
    group = app.command()
    with group.make_context("wavecore", list(words), resilient_parsing=False) as context:
        name, command, rest = group.resolve_command(context, list(words))
        command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_the_text_exist(page: str) -> None:
    group = app.command()
    for name, *words in mentioned(page):
        command = group.commands[name]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, (name, words)


@pytest.mark.parametrize("page", PAGES)
def test_commands_run_in_the_order_of_the_text(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the analytic engine; a command may use what an earlier one wrote."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "topology.csv").write_text(TOPOLOGY)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for name, content in FILES:
        (tmp_path / name).write_text(content)
    for words in commands(page):
        quick = ["--engine", "analytic"] if words[0] in ("run", "compare", "energy") and "--engine" not in words else []
        assert main([*words, *quick]) == 0, words
        said = capsys.readouterr()
        assert said.out or "written to " in said.err, words


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for page in PAGES for block in blocks(page, "python")])
def test_python_runs(block: str) -> None:
    exec(compile(block, "a page", "exec"), {})


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text(page))
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def is_there(name: str) -> bool:
    return any((folder / name).exists() for folder in (ROOT, ROOT / "wavecore"))


def folder_map() -> dict[str, list[str]]:
    """ARCHITECTURE.md's map: the files and folders that it names in each entry; a module at the top has none."""
    (block,) = [block for block in blocks("ARCHITECTURE.md", "") if block.startswith("errors.py")]
    entries = re.split(r"\n(?=\S)", re.sub(r"\([^)]*\)", "", block.rstrip()))
    named = {entry.split()[0]: entry.split(maxsplit=1)[1:] for entry in entries}
    return {place: " ".join(rest).replace(",", " ").split() for place, rest in named.items()}


def modules(folder: Path) -> set[str]:
    """Modules and packages of a folder, the packages with a slash."""
    packages = {f"{path.name}/" for path in folder.iterdir() if (path / "__init__.py").exists()}
    return packages | {path.stem for path in folder.glob("*.py") if not path.stem.startswith("__")}


PACKAGES = sorted(path.parent for path in (ROOT / "wavecore").rglob("__init__.py") if path.parent.name != "wavecore")


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: str(folder.relative_to(ROOT / "wavecore")))
def test_the_map_names_every_module_of_a_folder_and_no_other(folder: Path) -> None:
    named = folder_map()[f"{folder.relative_to(ROOT / 'wavecore')}/"]
    assert len(named) == len(set(named))
    assert set(named) - {"presets/"} == modules(folder)


def test_the_map_names_every_folder_and_no_other() -> None:
    top = {f"{name}.py" for name in modules(ROOT / "wavecore") if not name.endswith("/")}
    folders = {f"{folder.relative_to(ROOT / 'wavecore')}/" for folder in PACKAGES}
    assert set(folder_map()) == top | folders | {"workloads/", "schedules/"}


def test_the_map_is_in_the_order_of_the_import_contract() -> None:
    """A folder stands behind everything that it may import."""
    contract = tomllib.loads(text("pyproject.toml"))["tool"]["importlinter"]["contracts"][0]["layers"]
    floors = {
        name: floor for floor, layer in enumerate(reversed(contract)) for name in re.findall(r"wavecore\.(\w+)", layer)
    }
    order = [floors[place.split("/")[0].removesuffix(".py")] for place in folder_map()]
    assert order == sorted(order)


def test_files_in_the_text_of_architecture_exist() -> None:
    prose = re.sub(r"^```.*?^```", "", text("ARCHITECTURE.md"), flags=re.MULTILINE | re.DOTALL)
    named = re.findall(r"`((?:[\w-]+/)*[\w-]+(?:\.py|\.toml|\.md|/))`", prose)
    assert named and [name for name in named if not is_there(name)] == []
