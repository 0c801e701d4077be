"""One meaning per name: no class and no type alias of the package is called as another one is."""

import ast
from collections import defaultdict
from pathlib import Path

import wavecore.schedules
import wavecore.workloads

import wavecore

FOLDERS = [Path(str(package.__file__)).parent for package in (wavecore, wavecore.schedules, wavecore.workloads)]
OPTIONS = "cli"
"""The options of commands, which each command words for itself, are called alike where they are given alike."""


def test_no_class_or_alias_is_named_as_another() -> None:
    homes: dict[str, set[str]] = defaultdict(set)
    for folder in FOLDERS:
        for path in folder.rglob("*.py"):
            for name in names_of(ast.parse(path.read_text(encoding="utf-8")), path.parent.name == OPTIONS):
                homes[name.lstrip("_")].add(path.as_posix())
    assert {name: sorted(paths) for name, paths in homes.items() if len(paths) > 1} == {}
    assert len(homes) > 200


def names_of(tree: ast.Module, without_aliases: bool) -> list[str]:
    """The classes of a module, and what it assigns to a name in camel case: an alias of a type."""
    names = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    if without_aliases:
        return names
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    aliases = [target.id for target in targets if isinstance(target, ast.Name)]
    return names + [name for name in aliases if name[0].isupper() and not name.isupper()]
