"""Are Accelergy's tables read as what they say, and maps turned into the right constants?"""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from wavecore.common.toml import Document, parse_document
from wavecore.hardware.ert import Ert, read_ert
from wavecore.hardware.ert_map import ImportedConstant, constant_units, import_table, parse_map, table_text

DATA = Path(__file__).parent.parent / "data"

VERSION_3 = """\
ERT:
  version: 0.3
  tables:
  - name: chip.PE[0..1].spad[0..3]
    actions:
    - name: fill
      arguments:
        address_delta: 0
        data_delta: 1
      energy: 5
    - name: fill
      arguments:
        address_delta: 1
        data_delta: 1
      energy: 7
    - name: idle
      arguments: null
      energy: 0
"""
SUMMARY = """\
ERT_summary:
  version: '0.4'
  table_summary:
  - name: chip.spad
    actions:
    - name: fill
      average_energy: 6.0
      max_energy: 7
      min_energy: 5
    primitive_estimation(s):
    - name: chip.spad
      estimator: CactiSRAM
"""


def written(tmp_path: Path, text: str) -> Ert:
    path = tmp_path / "ERT.yaml"
    path.write_text(text)
    return read_ert(path)


def mapped(text: str) -> Document:
    return parse_document("map.toml", text.encode(), folder=Path(), by_user=True)


def constant(key: str, term: str, tmp_path: Path, energy: str = "energy: 24") -> ImportedConstant:
    """The constant that one action of 24 pJ gives under a map."""
    actions = (
        f"    - {{name: leak, arguments: {{global_cycle_seconds: 2e-09}}, energy: 8}}\n    - {{name: read, {energy}}}"
    )
    ert = written(tmp_path, f"ERT:\n  version: 0.4\n  tables:\n  - name: c\n    actions:\n{actions}\n")
    text = f'unit = "pJ"\n[{key}]\ncomponent = "c"\naction = "read"\n{term}\n'
    if 'action = "leak"' in term:
        text = text.replace('action = "read"\n', "")
    (found,) = [each for each in import_table(ert, parse_map(mapped(text)), "32nm") if each.name == key]
    return found


def test_the_actions_of_version_4() -> None:
    ert = read_ert(DATA / "systolic.ERT.yaml")
    assert ert.version == "0.4"
    assert ert.components == (
        "system.DRAM[1..1]",
        "system.chip.global_buffer[1..2]",
        "system.chip.core.weight_reg[1..16384]",
        "system.chip.core.mac[1..16384]",
    )
    leak = next(each for each in ert.actions if each.component.startswith("system.chip.core.w") and each.name == "leak")
    assert leak.energy == Fraction("0.00025")
    assert leak.arguments == {"global_cycle_seconds": "1e-09", "action_latency_cycles": "1"}


def test_the_actions_of_version_3(tmp_path: Path) -> None:
    ert = written(tmp_path, VERSION_3)
    assert ert.version == "0.3"
    assert [(str(each), each.energy, each.line) for each in ert.actions] == [
        ("chip.PE[0..1].spad[0..3] fill (address_delta 0, data_delta 1)", 5, 10),
        ("chip.PE[0..1].spad[0..3] fill (address_delta 1, data_delta 1)", 7, 15),
        ("chip.PE[0..1].spad[0..3] idle", 0, 18),
    ]


def test_a_summary_has_means(tmp_path: Path) -> None:
    (action,) = written(tmp_path, SUMMARY).actions
    assert (action.energy, action.averaged, action.line) == (6, True, 7)
    text = 'unit = "pJ"\n[mac]\ncomponent = "chip.spad"\naction = "fill"\n'
    mac = import_table(written(tmp_path, SUMMARY), parse_map(mapped(text)), "32nm")[0]
    assert mac.source == "ERT.yaml (Accelergy, version 0.4): chip.spad fill 6 pJ, mean over arguments"


@pytest.mark.parametrize(
    ("key", "term", "value"),
    [
        ("mac", "", "24.0 pJ"),
        ("mac", "times = 2", "48.0 pJ"),
        ("mac", "times = 0.125", "3.0 pJ"),
        ("vector_operation", "", "24.0 pJ"),
        ("register", 'width = "16 bit"', "12.0 pJ/B"),
        ("local_buffer", 'width = "64 bit"', "3.0 pJ/B"),
        ("global_buffer", 'width = "12 bit"', "16.0 pJ/B"),
        ("global_buffer", 'width = "8 B"', "3.0 pJ/B"),
        ("interconnect", 'width = "32 bit"', "0.75 pJ/bit"),
        ("static_per_core", 'cycle = "1 ns"', "0.024 W"),
        ("static_per_core", 'cycle = "1 ns"\ntimes = 1000', "24.0 W"),
        ("static_per_core", 'action = "leak"', "0.004 W"),
        ("static_per_core", 'action = "leak"\ncycle = "2 ns"', "0.004 W"),
        ("static_per_global_buffer_byte", 'cycle = "1 ns"\ncapacity = "2 MiB"', "12.0 mW/MiB"),
    ],
)
def test_constants_by_hand(key: str, term: str, value: str, tmp_path: Path) -> None:
    found = constant(key, term, tmp_path)
    assert (found.value, found.from_ert) == (value, True)


@pytest.mark.parametrize(
    ("energy", "value"), [("24", "24.0 pJ"), ("2.4e+1", "24.0 pJ"), (".5", "0.5 pJ"), ("1E-3", "0.001 pJ")]
)
def test_numbers_of_yaml(energy: str, value: str, tmp_path: Path) -> None:
    assert constant("mac", "", tmp_path, f"energy: {energy}").value == value


def test_another_unit(tmp_path: Path) -> None:
    ert = written(tmp_path, VERSION_3)
    text = 'unit = "fJ"\n[mac]\ncomponent = "chip.PE.spad"\naction = "fill"\narguments = { address_delta = 1 }\n'
    assert import_table(ert, parse_map(mapped(text)), "32nm")[0].value == "0.007 pJ"


def test_terms_are_added_and_the_source_says_how(tmp_path: Path) -> None:
    text = 'unit = "pJ"\n'
    for name, delta, times in (("same", 0, 0.75), ("other", 1, 0.25)):
        text += f'[local_buffer.{name}]\ncomponent = "chip.PE[0..1].spad[0..3]"\naction = "fill"\n'
        text += f'width = "8 bit"\ntimes = {times}\n[local_buffer.{name}.arguments]\naddress_delta = {delta}\n'
    found = import_table(written(tmp_path, VERSION_3), parse_map(mapped(text)), "32nm")[2]
    assert (found.name, found.value) == ("local_buffer", "5.5 pJ/B")
    assert found.source == (
        "ERT.yaml (Accelergy, version 0.3): "
        "0.75 x chip.PE[0..1].spad[0..3] fill (address_delta 0, data_delta 1) 5 pJ / 8 bit + "
        "0.25 x chip.PE[0..1].spad[0..3] fill (address_delta 1, data_delta 1) 7 pJ / 8 bit"
    )


def test_what_is_not_mapped_stays(tmp_path: Path) -> None:
    ert, text = written(tmp_path, VERSION_3), 'unit = "pJ"\n[mac]\ncomponent = "chip.PE.spad"\naction = "fill"\n'
    mapping = parse_map(mapped(text + "arguments = { address_delta = 1 }\n"))
    table = import_table(ert, mapping, "32nm")
    assert [each.name for each in table] == list(constant_units())
    assert [each.name for each in table if each.from_ert] == ["mac"]
    assert (table[2].value, table[2].source) == ("", "derived from the machine and its technology")


def test_a_base_of_ones_own(tmp_path: Path) -> None:
    base = tmp_path / "base.toml"
    units: dict[str, Any] = {"joules": "pJ", "joules_per_byte": "pJ/B", "joules_per_bit": "pJ/bit", "watts": "W"}
    base.write_text("".join(f'{key} = "3 {units.get(unit, "W/MiB")}"\n' for key, unit in constant_units().items()))
    text = 'unit = "pJ"\n[mac]\ncomponent = "chip.spad"\naction = "fill"\n'
    ert, mapping = written(tmp_path, SUMMARY), parse_map(mapped(text))
    table = import_table(ert, mapping, str(base))
    assert (table[1].value, table[1].source) == ("3 pJ/B", "as in base.toml")
    assert '\nregister = { value = "3 pJ/B", source = "as in base.toml" }\n' in table_text(
        table, ert, mapping, str(base)
    )
