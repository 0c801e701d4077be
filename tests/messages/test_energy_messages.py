"""The whole of what the energy commands say to a mistake: an option, a table of Accelergy, a map."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wavecore.cli import main

Fails = Callable[..., str]

ENERGY = ("energy", "resnet18")
SAMPLES = "  try: 1 to 1000000000000\n"
MANUAL = "  try: docs/energy.md, which shows an ERT and a map\n"

ERT = """\
ERT:
  version: '0.4'
  tables:
  - name: chip.mac[1..256]
    actions:
    - name: compute
      arguments: {}
      energy: 1.5
    - name: leak
      arguments:
        global_cycle_seconds: 1e-09
      energy: 0.25
  - name: chip.spad[0..1]
    actions:
    - name: fill
      arguments:
        address_delta: 0
      energy: 0
    - name: fill
      arguments:
        address_delta: 1
      energy: 7
  - name: chip.other.spad[0..1]
    actions:
    - name: fill
      energy: 3
"""
MAP = """\
unit = "pJ"

[mac]
component = "chip.mac"
action = "compute"
"""
REGISTER = '[register.write]\ncomponent = "chip.spad"\naction = "fill"\nwidth = "16 bit"\n'
SPAD = '[register.write]\ncomponent = "spad"\naction = "fill"\nwidth = "16 bit"\n'
LEAK = '[static_per_core]\ncomponent = "chip.mac"\naction = "leak"\n'
CONSTANTS = (
    "mac, register, local_buffer, global_buffer, vector_operation, interconnect, static_per_core, "
    "static_per_global_buffer_byte, unit"
)


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fails:
    """Run a command that must fail in an empty folder, and return what it says."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> str:
        assert main(words) == 2
        said = capsys.readouterr()
        assert said.out == ""
        return said.err

    return call


@pytest.fixture
def refused(fails: Fails) -> Callable[[str, str], str]:
    """Import an ERT through a map, which must fail and write nothing."""

    def call(ert: str, mapping: str) -> str:
        Path("ERT.yaml").write_text(ert)
        Path("map.toml").write_text(mapping)
        message = fails("import-ert", "ERT.yaml", "--map", "map.toml", "-o", "energy.toml")
        assert sorted(path.name for path in Path().iterdir()) == ["ERT.yaml", "map.toml"]
        return message

    return call


def whole(message: str) -> str:
    """The message as it is printed; one that does not say what to try refers to the manual."""
    return f"error: {message}\n" + ("" if "\n  try: " in message else MANUAL)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("energy",), "error: wavecore energy: WORKLOAD is missing\n  try: wavecore energy --help\n"),
        (
            ("energy", "resnet5O"),
            "error: workload: there is no workload named 'resnet5O'\n  try: resnet50 or resnet152 or resnet34\n",
        ),
        ((*ENERGY, "--energy", "32mn"), "error: --energy: there is no energy table named '32mn'\n  try: 32nm\n"),
        (
            (*ENERGY, "--energy", "mine.toml"),
            "error: mine.toml: there is no such file\n"
            "  try: wavecore list accelerators, or memories, or a TOML file of your own\n",
        ),
        (
            (*ENERGY, "--memories", "hbm2,hbm3"),
            "error: --memories: there is no memory named 'hbm3'\n  try: hbm2 or hbm2x2\n",
        ),
        (
            (*ENERGY, "--memories", ", ,"),
            "error: --memories: names no memory\n  try: gddr5,hbm2,hbm2x2,lpddr4\n",
        ),
        (
            (*ENERGY, "--memories", "hbm2", "--memory", "lpddr4"),
            "error: --memory: is given with --memories\n  try: one of them\n",
        ),
        (
            (*ENERGY, "--memory", "hbm3"),
            "error: --memory: there is no memory named 'hbm3'\n  try: hbm2 or hbm2x2\n",
        ),
        (
            (*ENERGY, "--schedules", "mbs2,bse"),
            "error: --schedules: there is no schedule named 'bse'\n  try: mbs2 or mbs1 or baseline\n",
        ),
        ((*ENERGY, "--epoch-samples", "0"), "error: --epoch-samples: 0 is out of range\n" + SAMPLES),
        ((*ENERGY, "--epoch-samples", "-1"), "error: --epoch-samples: -1 is out of range\n" + SAMPLES),
        ((*ENERGY, "--epoch-samples", "1e6"), "error: --epoch-samples: '1e6' is not a whole number\n" + SAMPLES),
        ((*ENERGY, "--plot", "x.gif"), "error: --plot: x.gif is no .png or .svg or .pdf file\n  try: x.png\n"),
        (
            (*ENERGY, "--csv", "no/e.csv"),
            "error: no/e.csv: cannot be written (No such file or directory)\n  try: a folder that you may write to\n",
        ),
        (
            ("import-ert", "ERT.yaml"),
            "error: wavecore import-ert: MAP.toml is missing\n  try: wavecore import-ert --help\n",
        ),
        (
            ("import-ert", "ERT.yaml", "--map", "map.toml"),
            "error: map.toml: there is no such file\n" + MANUAL,
        ),
    ],
)
def test_options(words: tuple[str, ...], message: str, fails: Fails) -> None:
    assert fails(*words) == message


def test_files_that_are_there(fails: Fails) -> None:
    for name in ("e.csv", "e.png", "energy.toml"):
        Path(name).write_text("mine")
    again = "exists already\n  try: --force to replace it, or another name\n"
    assert fails(*ENERGY, "--csv", "e.csv") == f"error: e.csv: {again}"
    assert fails(*ENERGY, "--plot", "e.png") == f"error: e.png: {again}"
    assert fails("import-ert", "a", "--map", "b", "-o", "energy.toml") == f"error: energy.toml: {again}"
    assert {path.read_text() for path in Path().iterdir()} == {"mine"}


def test_a_missing_ert(fails: Fails) -> None:
    Path("map.toml").write_text(MAP)
    words = ("import-ert", "ERT.yaml", "--map", "map.toml")
    assert fails(*words) == "error: ERT.yaml: there is no such file\n" + MANUAL
    Path("ERT.yaml").mkdir()
    assert fails(*words) == "error: ERT.yaml: is a folder, not a file\n  try: the path of a .yaml file in it\n"


def test_another_base(fails: Fails) -> None:
    Path("map.toml").write_text(MAP)
    Path("ERT.yaml").write_text(ERT)
    words = ("import-ert", "ERT.yaml", "--map", "map.toml", "--energy")
    assert fails(*words, "45nm") == "error: --energy: there is no energy table named '45nm'\n  try: 32nm\n"
    Path("base.toml").write_text('mac = "1 pJ"\n[technology]\nalpha = 1.3\n')
    message = fails(*words, "base.toml")
    assert message.startswith("error: base.toml: technology lacks nominal_voltage, highest_voltage, threshold_voltage")
    assert message.endswith("memory_interface\n  try: stating them\n")


def test_without_ruamel(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("map.toml").write_text(MAP)
    Path("ERT.yaml").write_text(ERT)
    monkeypatch.setitem(sys.modules, "ruamel.yaml", None)
    assert fails("check", "ERT.yaml") == (
        'error: ERT.yaml: reading YAML needs ruamel.yaml\n  try: pip install "wavecore[accelergy]"\n'
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ERT:", "ART:", "ERT.yaml:1: there is no ERT\n  try: an ERT.yaml or ERT_summary.yaml of Accelergy"),
        ("'0.4'", "0.2", "ERT.yaml:2: ERT.version is '0.2'\n  try: 0.3 or 0.4"),
        ("  version: '0.4'\n", "", "ERT.yaml:2: ERT has no version"),
        ("tables:", "table:", "ERT.yaml:2: ERT has no tables"),
        ("- name: chip.mac[1..256]\n    ", "- ", "ERT.yaml:4: a component of ERT has no name"),
        ("chip.mac[1..256]", "", "ERT.yaml:4: the name of a component of ERT is empty, not a text"),
        ("- name: compute\n      ", "- ", "ERT.yaml:6: an action of chip.mac[1..256] has no name"),
        ("energy: 1.5", "power: 1.5", "ERT.yaml:6: chip.mac[1..256] compute has no energy"),
        ("energy: 1.5", "energy:", "ERT.yaml:8: the energy of chip.mac[1..256] compute is empty, not a number"),
        ("energy: 1.5", "energy: .nan", "ERT.yaml:8: the energy of chip.mac[1..256] compute is '.nan', not a number"),
        (
            "energy: 1.5",
            "energy: 1.5 pJ",
            "ERT.yaml:8: the energy of chip.mac[1..256] compute is '1.5 pJ', not a number",
        ),
        (
            "energy: 1.5",
            "energy: 1e999",
            "ERT.yaml:8: the energy of chip.mac[1..256] compute is '1e999', not a number",
        ),
        ("energy: 1.5", "energy: -1.5", "ERT.yaml:8: the energy of chip.mac[1..256] compute is -1.5: negative"),
        ("energy: 1.5", "energy: [1]", "ERT.yaml:8: the energy of chip.mac[1..256] compute is a list, not a number"),
        (
            "arguments: {}",
            "arguments: [1]",
            "ERT.yaml:7: the arguments of chip.mac[1..256] compute are no mapping\n  try: {}, or names with values",
        ),
        (
            "- name: leak",
            "- name: compute\n      energy: 2\n    - name: leak",
            "ERT.yaml:10: chip.mac[1..256] compute is there twice, first in line 8\n  try: each action once",
        ),
        ("energy: 1.5", "energy: 1.5\n      energy: 2", "ERT.yaml:9: 'energy' is there twice, first in line 8\n"
         "  try: each key once"),
        ("energy: 1.5", "energy: *x", "ERT.yaml:8: aliases (*x) are not read\n  try: writing out what it stands for"),
        ("energy: 1.5", "energy: 1: 5", "ERT.yaml:8: not YAML: mapping values are not allowed here"),
        ("compute", "calc", "map.toml:5: mac.action: chip.mac[1..256] of ERT.yaml has no action 'compute'\n"
         "  try: one of calc, leak"),
    ],
)  # fmt: skip
def test_tables(old: str, new: str, message: str, refused: Callable[[str, str], str]) -> None:
    assert ERT.count(old) >= 1
    assert refused(ERT.replace(old, new, 1), MAP) == whole(message)


@pytest.mark.parametrize(
    ("ert", "message"),
    [
        ("ERT:\n  version: 0.4\n  tables: {a: 1}\n", "ERT.yaml:3: the tables of ERT are no list"),
        ("ERT:\n  version: 0.4\n  tables: []\n", "ERT.yaml:2: ERT has no action"),
        ("- a\n", "ERT.yaml:1: there is no ERT\n  try: an ERT.yaml or ERT_summary.yaml of Accelergy"),
        ("", "ERT.yaml: is empty"),
    ],
)
def test_tables_of_nothing(ert: str, message: str, refused: Callable[[str, str], str]) -> None:
    assert refused(ert, MAP) == whole(message)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ('unit = "pJ"\n', "map.toml: maps no constant\n  try: [mac], with a component and an action"),
        (
            MAP.replace('unit = "pJ"', ""),
            "map.toml: does not state the unit of the ERT's energies\n  try: unit = \"pJ\", as Accelergy's log says",
        ),
        (
            MAP.replace('"pJ"', "1"),
            "map.toml:1: unit: does not state the unit of the ERT's energies\n"
            "  try: unit = \"pJ\", as Accelergy's log says",
        ),
        (MAP.replace("pJ", "pW"), "map.toml:1: unit: pW is a unit of power, not of energy\n  try: 1 pJ or 1 fJ"),
        (MAP.replace("pJ", "pj"), "map.toml:1: unit: there is no unit 'pj'\n  try: pJ or PJ or J"),
        (MAP.replace("[mac]", "[macs]"), "map.toml:3: macs: is no constant of an energy table\n  try: mac"),
        (
            MAP + "[zzzz]\n",
            f"map.toml:6: zzzz: is no constant of an energy table\n  try: one of {CONSTANTS}",
        ),
        (
            MAP + "[dram]\n",
            "map.toml:6: dram: is no constant of an energy table\n"
            "  try: --set memory.energy=\"8 pJ/bit\" with a run: DRAM's energy is of the memory",
        ),
        ('unit = "pJ"\nmac = 3\n', "map.toml:2: mac: is no table\n  try: [mac], with a component and an action"),
        (MAP + "[register]\n", "map.toml:6: register: is no table\n  try: [register], with a component and an action"),
        (MAP.replace("action", "act"), "map.toml:5: mac.act: unknown key\n  try: action"),
        (MAP + 'width = "16 bit"\n', "map.toml:6: mac.width: unknown key\n  try: one of component, action, "
         "arguments, times"),
        (MAP.replace('action = "compute"\n', ""), 'map.toml:3: mac: there is no action\n  try: action = "..."'),
        (MAP.replace('"chip.mac"', "3"), "map.toml:4: mac.component: 3 is not a name\n  try: component = \"...\""),
        (
            MAP + "times = 0\n",
            "map.toml:6: mac.times: 0 is not a number above 0 and at most 1e+09\n  try: 0.5",
        ),
        (
            MAP + "times = nan\n",
            "map.toml:6: mac.times: nan is not a number above 0 and at most 1e+09\n  try: 0.5",
        ),
        (
            MAP + 'times = "2"\n',
            "map.toml:6: mac.times: '2' is not a number above 0 and at most 1e+09\n  try: 0.5",
        ),
        (MAP + "arguments = 3\n", "map.toml:6: mac.arguments: is no table of values\n  try: { address_delta = 1 }"),
        (
            MAP + REGISTER.replace('"16 bit"', "16"),
            "map.toml:9: register.write.width: 16 has no unit\n  try: 16 bit or 16 B",
        ),
        (
            MAP + REGISTER.replace("16 bit", "0.5 bit"),
            "map.toml:9: register.write.width: 0.5 bit is not a whole number of bits\n  try: 1 bit",
        ),
        (
            MAP + REGISTER.replace("16 bit", "0 bit"),
            "map.toml:9: register.write.width: 0 bit is zero\n  try: 10 bit or 10 B",
        ),
        (
            MAP.replace("chip.mac", "chip.mca"),
            "map.toml:4: mac.component: ERT.yaml has no component 'chip.mca'\n"
            "  try: chip.mac[1..256] or chip.spad[0..1]",
        ),
        (
            MAP + SPAD,
            "map.toml:7: register.write.component: ERT.yaml has no component 'spad'\n"
            "  try: chip.spad[0..1] or chip.other.spad[0..1]",
        ),
        (
            MAP.replace("compute", "compote"),
            "map.toml:5: mac.action: chip.mac[1..256] of ERT.yaml has no action 'compote'\n  try: compute",
        ),
        (
            MAP + "arguments = { data_delta = 1 }\n",
            "map.toml:6: mac.arguments: ERT.yaml has no chip.mac[1..256] compute with these\n  try: none",
        ),
        (
            MAP + REGISTER,
            "map.toml:6: register.write.arguments: ERT.yaml has 2 energies of chip.spad[0..1] fill\n"
            "  try: arguments = { address_delta = 1 }",
        ),
        (
            MAP + REGISTER + "arguments = { address_delta = 2 }\n",
            "map.toml:10: register.write.arguments: ERT.yaml has no chip.spad[0..1] fill with these\n"
            "  try: address_delta = 0",
        ),
        (
            MAP + REGISTER + "arguments = { address_delta = 0 }\n",
            "ERT.yaml:18: the energy of chip.spad[0..1] fill (address_delta 0) is zero\n"
            "  try: another action in map.toml:6: register.write, or none",
        ),
        (
            MAP + REGISTER.replace('width = "16 bit"', "arguments = { address_delta = 1 }"),
            'map.toml:6: register.write: there is no width: how much one action moves\n  try: width = "64 bit"',
        ),
        (
            MAP + LEAK + 'cycle = "2 ns"\n',
            "map.toml:9: static_per_core.cycle: contradicts the ERT, where global_cycle_seconds of leak is 1e-09\n"
            "  try: leaving it out",
        ),
        (
            MAP + LEAK.replace("leak", "compute"),
            "map.toml:6: static_per_core: there is no cycle: how long it takes to leak that energy\n"
            '  try: cycle = "1 ns"',
        ),
        (
            MAP + LEAK.replace("static_per_core", "static_per_global_buffer_byte"),
            "map.toml:6: static_per_global_buffer_byte: there is no capacity: how much memory leaks it\n"
            '  try: capacity = "64 KiB"',
        ),
        (
            MAP + LEAK + "times = 1e9\n",
            "map.toml:6: static_per_core: 250000.0 W is out of range\n  try: at most 10 kW",
        ),
        ('unit = "pJ"\n[mac\n', "map.toml:2: not TOML: Expected ']' at the end of a table declaration (at line 2, "
         "column 5)"),
    ],
)  # fmt: skip
def test_maps(mapping: str, message: str, refused: Callable[[str, str], str]) -> None:
    assert refused(ERT, mapping) == whole(message)


def test_a_component_that_is_two(refused: Callable[[str, str], str]) -> None:
    two = ERT.replace("chip.other.spad[0..1]", "chip.spad[2..3]")
    assert refused(two, MAP + REGISTER) == (
        "error: map.toml:7: register.write.component: 'chip.spad' is more than one component of ERT.yaml\n"
        "  try: chip.spad[0..1] or chip.spad[2..3]\n"
    )


@pytest.mark.parametrize(
    ("cycle", "what"),
    [("soon", "'soon s' is not a number and a unit"), ("-1e-9", "-1e-9 s is negative"), ("0", "0 s is zero")],
)
def test_a_cycle_of_the_ert_that_is_none(cycle: str, what: str, refused: Callable[[str, str], str]) -> None:
    assert refused(ERT.replace("1e-09", cycle), MAP + LEAK) == (
        f"error: ERT.yaml:12: global_cycle_seconds: {what}\n  try: 10 ns or 10 us\n"
    )
