"""Does any text at all come out as a table of energies, or as an error about the user's file?"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wavecore.common.yaml import YamlNode, parse_yaml
from wavecore.errors import InputError
from wavecore.hardware.ert import read_ert

EXAMPLE = (Path(__file__).parent.parent / "data/systolic.ERT.yaml").read_text()
MARKS = st.text(st.sampled_from("\t\n :-[]{}#&*!|>'\"%@`?,~\\0ae."), min_size=1, max_size=4)


@settings(max_examples=200)
@given(st.text(max_size=40) | st.lists(MARKS, max_size=12).map("".join))
def test_any_text(text: str) -> None:
    try:
        assert isinstance(parse_yaml("x.yaml", text), YamlNode)
    except InputError as error:
        assert error.where.startswith("x.yaml")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(EXAMPLE)), cut=st.integers(0, 30), marks=MARKS)
def test_any_edit_of_a_table(at: int, cut: int, marks: str, tmp_path: Path) -> None:
    path = tmp_path / "ERT.yaml"
    path.write_text(EXAMPLE[:at] + marks + EXAMPLE[at + cut :])
    try:
        assert all(action.energy >= 0 for action in read_ert(path).actions)
    except InputError as error:
        assert error.where.startswith(str(path))


def test_a_large_table_is_read_in_full(tmp_path: Path) -> None:
    path = tmp_path / "ERT.yaml"
    tables = [f"  - name: c{index}\n    actions:\n    - {{name: read, energy: {index}}}\n" for index in range(500)]
    path.write_text("ERT:\n  version: 0.4\n  tables:\n" + "".join(tables))
    assert sum(action.energy for action in read_ert(path).actions) == pytest.approx(499 * 250)
