"""Texts of users cannot command a terminal, a spreadsheet or a page."""

from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavecore.cli import main
from wavecore.cli.messages import say_error
from wavecore.cli.tables import show, table
from wavecore.common.text import LONGEST, csv_cells, from_csv, markup, printable
from wavecore.errors import InputError
from wavecore.network.graph import Network
from wavecore.network.layers import Conv, CrossEntropy, Flatten
from wavecore.network.shapes import Shape
from wavecore.results.folder import layers_csv
from wavecore.simulation import simulate

HOSTILE = "\x1b[2J\x1b]0;x\x07\0\u202egnp\u2066\x9b31m\r"


def test_what_is_escaped() -> None:
    assert printable(HOSTILE) == r"\x1b[2J\x1b]0;x\x07\x00\u202egnp\u2066\x9b31m\r"
    assert printable("Schicht ß 層 🙂\n\t") == r"Schicht ß 層 🙂\n\t"
    assert printable("a\nb", lines=True) == "a\nb"
    assert markup("<b>\0") == "&lt;b&gt;\\x00"


MARKS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=[])))
def test_no_control_character_and_no_mark_of_direction_is_left(text: str) -> None:
    shown = printable(text)
    assert not {unicodedata.category(each) for each in shown} & {"Cc", "Cs"}
    assert not {unicodedata.bidirectional(each) for each in shown} & MARKS
    shown.encode()


@pytest.mark.parametrize("text", ["=cmd|'/C calc'!A0", "+1+1", "-2+3", "@SUM(1)"])
def test_formulas_in_cells(text: str) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerow(csv_cells([text, -1.5, "-1.5", "conv1", "'x"]))
    (row,) = csv.reader(io.StringIO(stream.getvalue()))
    assert row == [f"'{text}", "-1.5", "-1.5", "conv1", "'x"]
    assert [from_csv(cell) for cell in row] == [text, "-1.5", "-1.5", "conv1", "'x"]


def test_layers_with_hostile_names(capsys: pytest.CaptureFixture[str]) -> None:
    net = Network("n", Shape(3, 4, 4))
    net(CrossEntropy(), net(Flatten(), net(Conv(2), net.input, name="=cmd()")), name="loss")
    text = layers_csv(simulate(net.build(), "baseline", engine="analytic"))
    assert "'=cmd()" in text
    show([table(HOSTILE, [HOSTILE], [[HOSTILE]]), HOSTILE])
    assert not {"\x1b", "\0", "\u202e", "\x9b"} & set(capsys.readouterr().out)


def test_messages_are_harmless_and_short(capsys: pytest.CaptureFixture[str]) -> None:
    say_error(InputError(HOSTILE, "x" * 17_000, "y\nz"))
    said = capsys.readouterr().err
    assert not {"\x1b", "\0", "\u202e", "\x9b"} & set(said)
    assert len(said.splitlines()) == 2
    assert len(said) < LONGEST + 400
    assert "left out" in said


def test_escapes_in_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.toml").write_text('"\\u001b[2J\\u202e" = 1\nbase = "wavecore"\n')
    assert main(["check", str(tmp_path / "a.toml")]) == 2
    assert not {"\x1b", "\u202e"} & set(capsys.readouterr().err)
