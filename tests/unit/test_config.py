"""The default machine, layers over it, the source of every value, and stable hashes."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from wavecore.errors import ConfigError
from wavecore.hardware import config, registered

KIB, MIB, GIB = 1024, 1024**2, 1024**3
PRESETS = Path(str(files("wavecore.hardware"))) / "presets"


def test_the_default_machine_is_the_one_of_the_model() -> None:
    machine = config.load_accelerator()
    assert (machine.name, machine.chip.cores, machine.chip.clock_hz) == ("wavecore", 2, 700_000_000)
    assert (machine.array.rows, machine.array.columns, machine.array.tile_rows) == (128, 128, 256)
    assert machine.array.weight_double_buffering
    assert machine.array.weight_load == "skewed"
    buffers = machine.local_buffer
    assert (buffers.a_bytes, buffers.b_bytes, buffers.c_bytes) == (64 * KIB, 32 * KIB, 128 * KIB)
    assert machine.core.global_buffer_bytes == 10 * MIB
    assert machine.vector.lanes == 256
    assert machine.memory.bandwidth_bytes_per_second == 600 * GIB


@pytest.mark.parametrize("memory", config.available("memories"))
def test_every_memory_loads_under_its_own_name(memory: str) -> None:
    assert config.load_accelerator(memory=memory).memory.name == memory


@pytest.mark.parametrize("name", config.available("accelerators"))
def test_every_accelerator_loads_under_its_own_name(name: str) -> None:
    assert config.load_accelerator(name).name == name


@pytest.mark.parametrize("path", sorted(PRESETS.glob("*/*.toml")), ids=lambda path: path.stem)
def test_every_value_of_a_preset_has_a_marked_source(path: Path) -> None:
    def leaves(table: dict[str, Any]) -> Iterator[Any]:
        for value in table.values():
            yield from leaves(value) if isinstance(value, dict) and "value" not in value else [value]

    data = tomllib.loads(path.read_text("utf-8"))
    for value in leaves({key: data[key] for key in data if key != "name"}):
        assert value["source"].startswith(("[P] ", "[S] ", "[R] ", "[D] ")), value


@pytest.mark.parametrize(
    ("override", "section", "field", "value"),
    [
        ("core.global_buffer=5 MiB", "core", "global_buffer_bytes", 5 * MIB),
        ('core.global_buffer="5 MiB"', "core", "global_buffer_bytes", 5 * MIB),
        ("memory.bandwidth = 500 GiB/s", "memory", "bandwidth_bytes_per_second", 500 * GIB),
        ("energy.mac=1.2 pJ", "energy", "mac_joules", 1.2e-12),
        ("energy.static_per_global_buffer_byte=0 W/B", "energy", "static_watts_per_global_buffer_byte", 0.0),
        ("array.weight_double_buffering=false", "array", "weight_double_buffering", False),
        ("array.weight_load=global", "array", "weight_load", "global"),
        ("chip.cores=1", "chip", "cores", 1),
        ("memory=hbm2", "memory", "name", "hbm2"),
        ("memory.name=mine=1", "memory", "name", "mine=1"),
    ],
)
def test_override(override: str, section: str, field: str, value: object) -> None:
    machine = config.load_accelerator(overrides=[override])
    assert getattr(getattr(machine, section), field) == value


def test_the_last_override_wins_and_its_source_is_the_command_line() -> None:
    overrides = ["chip.cores=1", "chip.cores=4"]
    assert config.load_accelerator(overrides=overrides).chip.cores == 4
    assert config.sources(overrides=overrides)["chip.cores"] == "command line"


def test_a_file_states_only_its_differences(tmp_path: Path) -> None:
    text = 'name = "small"\nbase = "wavecore"\n[core]\nglobal_buffer = "5 MiB"\n[memory]\nchannels = 8\n'
    (tmp_path / "small.toml").write_text(text)
    path = str(tmp_path / "small.toml")
    machine, origin = config.load_accelerator(path), config.sources(path)
    assert (machine.name, machine.core.global_buffer_bytes, machine.memory.channels) == ("small", 5 * MIB, 8)
    assert machine.array == config.load_accelerator().array
    assert origin["core.global_buffer"] == f"file {path}:4"
    assert origin["array.rows"] == config.sources()["array.rows"]


def test_paths_start_at_the_file_that_states_them(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    memory = (PRESETS / "memories" / "hbm2.toml").read_text("utf-8").replace('value = "hbm2"', 'value = "mine"')
    (tmp_path / "mine.toml").write_text(memory, "utf-8")
    (tmp_path / "deep" / "a.toml").write_text('base = "wavecore"\nmemory = "../mine.toml"\n')
    (tmp_path / "deep" / "b.toml").write_text('base = "./a.toml"\n')
    assert config.load_accelerator(str(tmp_path / "deep" / "b.toml")).memory.name == "mine"
    assert config.load_accelerator(memory=str(tmp_path / "mine.toml")).memory.name == "mine"


def test_local_buffers_that_nobody_states_follow_the_array() -> None:
    overrides = ["array.rows=64", "array.columns=256", "array.tile_rows=512"]
    buffers = config.load_accelerator(overrides=overrides).local_buffer
    needed = 512 * 64 * 2, 64 * 256 * 2, 512 * 256 * 4
    assert (buffers.a_bytes, buffers.b_bytes, buffers.c_bytes) == needed
    origin = config.sources(overrides=overrides)["local_buffer.a"]
    assert origin == "[D] array.tile_rows x array.rows x 2 bytes"


def test_a_local_buffer_that_the_user_states_is_kept() -> None:
    overrides = ["local_buffer.a=1 MiB", "array.rows=64"]
    assert config.load_accelerator(overrides=overrides).local_buffer.a_bytes == MIB


def test_sources_name_every_value_and_describe_is_json() -> None:
    machine = config.load_accelerator()
    described = json.loads(json.dumps(config.describe(machine)))
    units = described.pop("units")  # no file states them
    count = sum(len(part) if isinstance(part, dict) else 1 for part in described.values())
    assert count == len(config.sources())
    assert [unit["name"] for unit in units] == ["load", "array", "vector", "store"]
    assert described["core"]["global_buffer_bytes"] == 10 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    value: object


@dataclass(frozen=True, slots=True, kw_only=True)
class _Right:
    value: object


def test_different_trees_hash_differently() -> None:
    atoms = [None, True, False, 0, 1, -1, 0.0, 1.0, "", "1", "None", (), ("",), ("1",), (1,), ((1,),), {}]
    atoms += [
        {"a": 1},
        {"b": 1},
        {"a": 1, "b": 2},
        (("a", 1),),
        ("ab", "c"),
        ("a", "bc"),
        2**70,
        float("nan"),
    ]
    atoms += [_Left(value=1), _Right(value=1), _Left(value=(1,))]
    assert len({config.content_hash(atom) for atom in atoms}) == len(atoms)


def test_the_order_of_a_mapping_does_not_count() -> None:
    assert config.content_hash({"a": 1, "b": 2}) == config.content_hash({"b": 2, "a": 1})


def test_a_set_hashes_alike_in_any_order() -> None:
    names = [f"name{number}" for number in range(50)]
    assert config.content_hash(frozenset(names)) == config.content_hash(frozenset(reversed(names)))


def test_what_has_no_content_has_no_hash() -> None:
    with pytest.raises(TypeError, match="cannot hash a object"):
        config.content_hash({"a": object()})


def test_hashes_are_the_same_in_other_processes() -> None:
    code = "from wavecore.hardware.config import *; print(content_hash(load_accelerator()))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {config.content_hash(config.load_accelerator())}


def test_loading_imports_nothing_heavy() -> None:
    code = "import sys, wavecore.hardware.config as c; c.load_accelerator(); print(*sys.modules)"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert not {"numpy", "pandas", "networkx", "simpy", "pydantic", "matplotlib"} & set(done.stdout.split())


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of presets that another package registers."""
    (tmp_path / "plugin.py").write_text(f"FOLDER = {str(tmp_path / 'presets')!r}\n")
    (tmp_path / "presets" / "accelerators").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("plugin", "plugin:FOLDER", registered.ENTRY_POINTS)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point])
    monkeypatch.delitem(sys.modules, "plugin", raising=False)
    registered._roots.cache_clear()
    yield tmp_path / "presets" / "accelerators"
    registered._roots.cache_clear()


def test_another_package_adds_presets(other_package: Path) -> None:
    (other_package / "tiny.toml").write_text('name = "tiny"\nbase = "wavecore"\n[chip]\ncores = 1\n')
    assert "tiny" in config.available("accelerators")
    assert config.load_accelerator("tiny").chip.cores == 1


def test_a_name_that_is_taken_stays_ours_and_is_told(other_package: Path) -> None:
    (other_package / "wavecore.toml").write_text('name = "wavecore"\n')
    assert config.load_accelerator().chip.cores == 2
    (error,) = registered.broken("accelerators")
    assert str(error) == (
        "entry point wavecore.presets: plugin = 'plugin:FOLDER': registers the accelerator 'wavecore', "
        "which wavecore has already; try: another name in one of them, or uninstalling one"
    )


def test_a_broken_package_stops_only_who_may_need_it(other_package: Path) -> None:
    (other_package.parent.parent / "plugin.py").write_text("1 / 0\n")
    assert config.load_accelerator().name == "wavecore"
    with pytest.raises(ConfigError, match=r"no accelerator named 'tiny', and entry point .* ZeroDivisionError"):
        config.load_accelerator("tiny")
