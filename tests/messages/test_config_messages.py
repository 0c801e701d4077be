"""Whole messages of mistakes in machine descriptions: where, what, what to try."""

from pathlib import Path

import pytest

from wavecore.common import units
from wavecore.errors import ConfigError, FileError, InputError, NameLookupError, UnitError
from wavecore.hardware import config

BASE = 'name = "mine"\nbase = "wavecore"\n'


@pytest.mark.parametrize(
    ("text", "unit", "message"),
    [
        (10, "bytes", "x: 10 has no unit; try: 10 MiB or 10 KiB or 10 MB"),
        ("0.3 B", "bytes", "x: 0.3 B is not a whole number of bytes; try: 1 B"),
        ("0.1 B/s", "bytes_per_second", "x: 0.1 B/s is less than one B/s; try: 10 GiB/s or 10 GB/s"),
        ("10 ns", "bytes", "x: ns is a unit of time, not of data; try: 10 MiB or 10 KiB or 10 MB"),
        ("3 pJ/B", "joules", "x: pJ/B is a unit of energy per data, not of energy; try: 3 pJ or 3 fJ"),
        ("64 KB", "bytes", "x: there is no unit 'KB'; try: kB or KiB or kbit"),
        ("10 mw", "watts", "x: there is no unit 'mw'; try: mW or MW or W"),
        ("10 cows", "hz", "x: there is no unit 'cows'; try: 10 GHz or 10 MHz"),
        ("-1 ns", "seconds", "x: -1 ns is negative; try: 10 ns or 10 us"),
        ("0 GHz", "hz", "x: 0 GHz is zero; try: 10 GHz or 10 MHz"),
        (float("nan"), "watts", "x: nan is not a finite quantity; try: 10 W or 10 mW"),
        ("-inf W", "watts", "x: -inf W is not a finite quantity; try: 10 W or 10 mW"),
        ("1e400 B", "bytes", "x: 1e400 B is out of range; try: 10 MiB or 10 KiB or 10 MB"),
        ("ten MiB", "bytes", "x: 'ten MiB' is not a number and a unit; try: 10 MiB or 10 KiB or 10 MB"),
        (True, "hz", "x: True is not a quantity; try: 10 GHz or 10 MHz"),
        (
            "1" * 99 + " B",
            "bytes",
            "x: a quantity of 101 characters is too long; try: 10 MiB or 10 KiB or 10 MB",
        ),
    ],
)
def test_quantity(text: object, unit: str, message: str) -> None:
    with pytest.raises(UnitError) as caught:
        units.parse(text, unit, where="x")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            BASE + '[core]\n\nglobl_buffer = "1 MiB"\n',
            "F:5: core.globl_buffer: unknown key; try: global_buffer",
        ),
        (
            BASE + 'core = { globl_buffer = "1 MiB" }\n',
            "F:3: core.globl_buffer: unknown key; try: global_buffer",
        ),
        (BASE + "[cor]\n", "F:3: cor: unknown section; try: core or vector"),
        (BASE + "cores = 2\n", "F:3: cores: unknown key; try: chip.cores"),
        (BASE + "core = 2\n", "F:3: core: expected a section; try: [core]"),
        (BASE + "memory = 2\n", 'F:3: memory: 2 is not a name; try: "..."'),
        (
            BASE + "[core]\nglobal_buffer = 10\n",
            "F:4: core.global_buffer: 10 has no unit; try: 10 MiB or 10 KiB or 10 MB",
        ),
        (
            BASE + '[chip]\ncores = { value = 2, sorce = "me" }\n',
            "F:4: chip.cores.sorce: unknown key; try: value and source",
        ),
        (
            BASE + '[technology]\nwire = { value = "1 fJ/bit/mm", low = "2 fJ/bit/mm", high = "3 fJ/bit/mm" }\n',
            "F:4: technology.wire: 1 fJ/bit/mm is not between 2 fJ/bit/mm and 3 fJ/bit/mm; try: low <= value <= high",
        ),
        (
            BASE + '[technology]\nwire = { value = "1 fJ/bit/mm", low = "1 fJ/bit/mm" }\n',
            "F:4: technology.wire: states one end of its uncertainty; try: low and high, or neither",
        ),
        (
            BASE + '[technology]\nalpha = "1.3"\n',
            "F:4: technology.alpha: '1.3' is no number above 0, up to 4096; try: 1.3, without quotes",
        ),
        (
            BASE + "[technology]\nplacement_density = 1.5\n",
            "F:4: technology.placement_density: 1.5 is above 1; try: a share of the area, as 0.7",
        ),
        (
            BASE + '[technology]\nthreshold_voltage = "0.9 V"\n',
            "F:4: technology.threshold_voltage: 0.9 V is not below technology.nominal_voltage of 0.9 V; "
            "try: a lower one",
        ),
        (
            BASE + '[technology]\nhighest_voltage = "0.8 V"\n',
            "F:4: technology.highest_voltage: 0.8 V is below technology.nominal_voltage of 0.9 V; try: 0.9 V or more",
        ),
        (
            BASE + '[chip]\nclock = "5 GHz"\n',
            "F:4: chip.clock: 5 GHz is beyond the technology that energy is derived from: 1.2 V carry 1.8 GHz; "
            "try: a slower clock, or an energy table made for this clock (docs/energy.md)",
        ),
        (
            BASE + '[chip]\ncores = { source = "me" }\n',
            'F:4: chip.cores: there is no value; try: { value = "...", source = "..." }',
        ),
        (
            BASE + '[chip]\ncores = { value = 2, source = "" }\n',
            'F:4: chip.cores: the source is not a text; try: { value = "...", source = "..." }',
        ),
        (
            BASE + '[chip]\ncores = "2"\n',
            "F:4: chip.cores: '2' is not a whole number; try: 1 to 1024, without quotes or unit",
        ),
        (BASE + "[chip]\ncores = 0\n", "F:4: chip.cores: 0 is out of range; try: 1 to 1024"),
        (BASE + "[array]\nrows = 5000\n", "F:4: array.rows: 5000 is out of range; try: 1 to 4096"),
        (BASE + '[memory]\ntrcd = "14 s"\n', "F:4: memory.trcd: 14 s is out of range; try: at most 1 ms"),
        (BASE + '[memory]\ntrefi = "0 s"\n', "F:4: memory.trefi: 0 s is zero; try: 10 ns or 10 us"),
        (
            BASE + "[array]\nweight_double_buffering = 1\n",
            "F:4: array.weight_double_buffering: 1 is not true or false; try: true or false, without quotes",
        ),
        (
            BASE + '[array]\nweight_load = "skew"\n',
            "F:4: array.weight_load: 'skew' is not allowed; try: skewed or global",
        ),
        (
            BASE + '[local_buffer]\nb = "16 KiB"\n',
            'F:4: local_buffer.b: 16384 B is too small: array.rows x array.columns x 2 bytes = 32768 B; try: "32768 B"',
        ),
        (
            BASE + '[memory]\nburst = "64 B"\ninterleave = "32 B"\n',
            'F:5: memory.interleave: 32 B is not a multiple of memory.burst = 64 B; try: "64 B"',
        ),
        (
            BASE + '[memory]\ninterleave = "1 KiB"\nrow = "512 B"\n',
            'F:5: memory.row: 512 B is not a multiple of memory.interleave = 1024 B; try: "1024 B"',
        ),
        (
            BASE + '[memory]\ntrfc = "4 us"\ntrefi = "3.9 us"\n',
            "F:4: memory.trfc: a refresh of 4 us every memory.trefi = 3.9 us leaves no time; try: a shorter one",
        ),
        ('name = "mine"\nbase = "F"\n', "F:2: base: the bases go in a circle: F -> F"),
        ('base = "wavecor"\n', "F:1: base: there is no accelerator named 'wavecor'; try: wavecore"),
        (BASE + 'memory = "hbm22"\n', "F:3: memory: there is no memory named 'hbm22'; try: hbm2x2 or hbm2"),
        (
            'memory = "hbm2"\nenergy = "32nm"\n[chip]\ncores = 1\n',
            'F: chip lacks clock; try: base = "wavecore" and only the differences',
        ),
        (
            BASE + "[chip]\ncores = 1\ncores = 2\n",
            "F:5: not TOML: Cannot overwrite a value (at line 5, column 10); try: state each key once",
        ),
        (
            BASE + "[core\n",
            "F:3: not TOML: Expected ']' at the end of a table declaration (at line 3, column 6)",
        ),
        (BASE + 'memory = "hb', "F:3: not TOML: Unterminated string (at end of document)"),
        ("", "F: is empty"),
        (BASE + "x = " + "[" * 9999, "F: is nested too deeply"),
        (b"\x00\xff\x00", "F: is not a text file (byte 1 is not UTF-8)"),
        (b"#" * (1 << 20) + b"#", "F: is larger than 1 MiB; try: a description in TOML"),
    ],
)
def test_file(text: str | bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.replace('"F"', '"./mine.toml"').encode())
    with pytest.raises(InputError) as caught:
        config.load_accelerator(str(path))
    assert str(caught.value).replace(str(path), "F") == message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "core.global_buffer=10",
            "--set core.global_buffer=10: 10 has no unit; try: 10 MiB or 10 KiB or 10 MB",
        ),
        (
            "core.global_buffer",
            "--set core.global_buffer: there is no '='; try: core.global_buffer=\"5 MiB\"",
        ),
        ("core.globl=1 B", "--set core.globl=1 B: unknown key 'globl' of core; try: global_buffer"),
        ("cor.global_buffer=1 B", "--set cor.global_buffer=1 B: unknown section 'cor'; try: core or vector"),
        (
            "chip.cores=two",
            "--set chip.cores=two: 'two' is not a whole number; try: 1 to 1024, without quotes or unit",
        ),
        ("chip.cores=-1", "--set chip.cores=-1: -1 is out of range; try: 1 to 1024"),
        (
            "local_buffer.a=1 KiB",
            "--set local_buffer.a=1 KiB: 1024 B is too small:"
            ' array.tile_rows x array.rows x 2 bytes = 65536 B; try: "65536 B"',
        ),
        ("mapping.packed=0", "--set mapping.packed=0: '0' is not true or false; try: true or false, without quotes"),
        ("mapping.pack=true", "--set mapping.pack=true: unknown key 'pack' of mapping; try: packed"),
        ("memory=hbm3", "--set memory=hbm3: there is no memory named 'hbm3'; try: hbm2 or hbm2x2"),
    ],
)
def test_override(override: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        config.load_accelerator(overrides=[override])
    assert str(caught.value) == message


def test_unknown_names() -> None:
    with pytest.raises(NameLookupError) as caught:
        config.load_accelerator("wavcore")
    assert str(caught.value) == "accelerator: there is no accelerator named 'wavcore'; try: wavecore"
    with pytest.raises(NameLookupError) as caught:
        config.load_accelerator(memory="lpddr5")
    assert str(caught.value) == "memory: there is no memory named 'lpddr5'; try: lpddr4 or gddr5"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(FileError) as caught:
        config.load_accelerator(str(tmp_path / "none.toml"))
    assert str(caught.value) == f"{tmp_path}/none.toml: there is no such file"
    with pytest.raises(FileError) as caught:
        config.load_accelerator(f"{tmp_path}/")
    assert str(caught.value) == f"{tmp_path}: is a folder, not a file; try: the path of a .toml file in it"


def test_a_memory_file_lacks_a_field(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('name = "m"\nchannels = 1\n')
    with pytest.raises(
        ConfigError, match="memory lacks bandwidth, interleave, burst, row, banks, bank_groups, trcd"
    ) as caught:
        config.load_accelerator(memory=str(tmp_path / "m.toml"))
    assert caught.value.where == f"{tmp_path}/m.toml"
