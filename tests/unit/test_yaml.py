"""Does YAML come out as texts, lists and mappings with their lines, and nothing else?"""

from pathlib import Path
from typing import Any

import pytest

from wavecore.common.yaml import YamlNode, items, parse_yaml, read_yaml
from wavecore.errors import ConfigError, FileError


def plain(node: YamlNode) -> Any:
    if isinstance(node.value, list):
        return [plain(each) for each in node.value]
    if isinstance(node.value, dict):
        return {key: plain(each) for key, each in node.value.items()}
    return node.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\nb: [x, {c: d}]\n", {"a": "1", "b": ["x", {"c": "d"}]}),
        ("- 1e-9\n- yes\n- 012\n- 2:4\n", ["1e-9", "yes", "012", "2:4"]),
        ("a:\nb: ~\nc: null\nd: 'null'\ne: ''\n", {"a": None, "b": None, "c": None, "d": "null", "e": ""}),
        ("a: [1..2]\n# b: c\n", {"a": ["1..2"]}),
        ("a: {}\nb: []\n", {"a": {}, "b": []}),
        ("just a text", "just a text"),
        ("%YAML 1.1\n---\na: no\n", {"a": "no"}),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
        ("? a\n: b\n", {"a": "b"}),
    ],
)
def test_values(text: str, value: Any) -> None:
    assert plain(parse_yaml("x.yaml", text)) == value


def test_lines() -> None:
    root = parse_yaml("x.yaml", "a:\n  - b\n\n  - c: 1\n    d:\n      2\n")
    assert root.line == 1
    ((_, listed),) = items(root)
    assert isinstance(listed.value, list)
    assert [each.line for each in listed.value] == [2, 4]
    assert [each.line for _, each in items(listed.value[1])] == [4, 6]
    assert list(items(listed)) == []
    left_out = parse_yaml("x.yaml", "a: 1\nb:\nc: 2\n")
    assert [each.line for _, each in items(left_out)] == [1, 2, 3]


DEEP = "[" * 33 + "]" * 33
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3: 'a' is there twice, first in line 1; try: each key once"),
        (BOMB, "x.yaml:2: aliases (*a) are not read; try: writing out what it stands for"),
        ("a: &a [*a]\n", "x.yaml:1: aliases (*a) are not read; try: writing out what it stands for"),
        ("a: 1\n<<: {b: 2}\n? [c]\n: d\n", "x.yaml:3: a key is not a text"),
        ("~: 1\n", "x.yaml:1: a key is not a text"),
        (
            "a: !!python/object:os.system 1\n",
            "x.yaml:1: tags (tag:yaml.org,2002:python/object:os.system) are not read; try: the value without it",
        ),
        ("a: 1\n---\nb: 2\n", "x.yaml:2: a second document begins; try: one document in a file"),
        (DEEP, "x.yaml:1: is nested more than 32 deep"),
        ("a: 1\nb: c: d\n", "x.yaml:2: not YAML: mapping values are not allowed here"),
        ("\ta: 1\n", "x.yaml:1: not YAML: found character '\\t' that cannot start any token"),
        ("a: \x01\n", "x.yaml: not YAML: unacceptable character #x0001: special characters are not allowed"),
        ("# nothing\n", "x.yaml: holds no YAML document"),
    ],
)
def test_what_is_not_read(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml("x.yaml", text)
    assert caught.value.message == message


def test_nesting_up_to_the_limit() -> None:
    assert parse_yaml("x.yaml", DEEP[1:-1]).line == 1


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"a: \xff\n", "is not a text file (byte 3 is not UTF-8)"),
        (b"a: 1\n" * 300_000, "is larger than 1 MiB"),
    ],
)
def test_files(content: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(FileError) as caught:
        read_yaml(path)
    assert caught.value.what == what
