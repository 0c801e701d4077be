"""Does the example of an ERT, after the format of Accelergy 0.4, come out as the same energy table as before?"""

from collections.abc import Callable
from pathlib import Path

import pytest

from wavecore.common.toml import read_document
from wavecore.hardware.config import load_accelerator
from wavecore.hardware.ert import read_ert
from wavecore.hardware.ert_map import import_table, parse_map, table_text

DATA = Path(__file__).parent.parent / "data"


def test_the_example(golden: Callable[[str, str], Path]) -> None:
    ert = read_ert(DATA / "systolic.ERT.yaml")
    mapping = parse_map(read_document(DATA / "systolic.map.toml"))
    path = golden("ert/energy.toml", table_text(import_table(ert, mapping, "32nm"), ert, mapping, "32nm"))
    energy, before = (load_accelerator(overrides=each).energy for each in ([f"energy={path}"], []))
    assert energy.mac_joules == 1.25e-12
    assert energy.register_joules_per_byte == pytest.approx(0.144e-12 / 2)
    assert energy.global_buffer_joules_per_byte == pytest.approx((104e-12 + 80e-12) / 2 / 8)
    assert energy.static_watts_per_core == pytest.approx(16384 * (0.125e-12 + 0.00025e-12) / 1e-9)
    assert energy.static_watts_per_global_buffer_byte == pytest.approx(262.144e-12 / 1e-9 / (10 * 2**20))
    assert energy.vector_operation_joules == before.vector_operation_joules
    assert energy.local_buffer_joules_per_byte == before.local_buffer_joules_per_byte
    assert energy.interconnect_joules_per_bit == before.interconnect_joules_per_bit
