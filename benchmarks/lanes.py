"""What is public about the number of lanes of WaveCore's vector unit: a section of docs/silicon.md."""

from __future__ import annotations

import re
from math import sqrt
from textwrap import fill

from wavecore.common.precision import ELEMENT_BYTES
from wavecore.hardware.area import area_mm2, global_buffer_mm2, lane_mm2, port_bytes_per_cycle
from wavecore.hardware.config import load_accelerator, ranges
from wavecore.hardware.specs import Accelerator

RECALLED_VECTOR_MM2 = 4.33
RECALLED_BUFFER_MM2 = 18.7
NORMALIZATION_LANE_OPERATIONS = (3, 5)
"""Of an element, forward and backward: docs/model.md, section 2."""

_OF_A_LANE = ("fp32_multiplier", "fp32_adder", "flip_flop_area", "placement_density")

RECALLED_ARRAY_MM2 = 199

TEXT = """\
TPU v2 has 1,024 lanes a core, the default machine {default}. What is public that says how many WaveCore has:

* **Area of the unit.** The paper's vector units are recalled to take {recalled} mm² (not checked against its text). A
  lane of the area model takes {lane:,.0f} µm², so that is {lanes:.0f} lanes: {per_core:.0f} a core if it is the area
  of both cores' units, {lanes:.0f} if it is of one. With the constants of a lane's area at their ends it is {least:.0f}
  to {most:.0f} a core, or twice that. The array is recalled to take {array_times:.1f} times what the model says; if the
  lanes did, too, it would be {scaled:.0f} a core, or twice that. 1,024 lanes a core would take {of_1024:.1f} mm²,
  {times:.1f} times what is recalled.
* **Bytes a cycle of the buffer.** A lane that reads and writes one fp16 element a cycle needs {bytes_per_lane} B of
  port: {port:,} B for {default} lanes. A buffer is recalled to take {buffer} mm², of which the model's cells take
  {cells:.1f}; that leaves {left:.1f} mm² for the buses of all ports, or about {room:,.0f} B a cycle. The default's
  ports have {ports:,} B ({all_ports:.1f} mm² with the cells), those of 1,024 lanes {wide_ports:,} B
  ({wide_buffer:.1f} mm²).
* **The array's results.** {columns} columns finish at most {columns} results a cycle. A drain takes one lane operation
  for each, and one more for an activation or an added operand: {default} lanes keep up with two.
* **DRAM.** Two stacks of HBM2 bring a core {dram:.0f} B a cycle, so {elements:.0f} elements in and as many out. A sweep
  of normalization takes {forward} lane operations an element forward and {backward} backward: {keep_forward:.0f} and
  {keep_backward:.0f} lanes keep up with DRAM. Sweeps on chip, as under `mbs2`, could use more.
* **TPU v2** has 1,024 lanes of two ALUs, so a multiplication and an addition, for the same array at the same clock, but
  in 16 nm.

Only the areas are about WaveCore itself. The first gives {default} as the nearest power of two if it is that of both
cores' units, and 512 if it is that of one; the second speaks for narrow ports. So the preset stays at {default}. It is
at the low end of what is plausible: the rate of DRAM asks for 512, TPU v2 has 1,024, and the speed-up of serialization
depends on it. [headline.md](headline.md) shows it for all three."""


def derivation() -> str:
    """Return the section as text; its numbers are the default machine's."""
    machine, wide = load_accelerator(), load_accelerator(overrides=["vector.lanes=1024"])
    cores, lane = machine.chip.cores, lane_mm2(machine)
    lanes = RECALLED_VECTOR_MM2 / lane
    least, most = (RECALLED_VECTOR_MM2 / lane_mm2(_at_end(end)) / cores for end in (1, 0))
    cells = machine.core.global_buffer_bytes * machine.technology.sram_area_mm2_per_byte
    left = RECALLED_BUFFER_MM2 - cells
    dram = machine.memory.bandwidth_bytes_per_second / cores / machine.chip.clock_hz
    array_times = RECALLED_ARRAY_MM2 / (area_mm2(machine).array / cores)
    elements = dram / (2 * ELEMENT_BYTES)
    forward, backward = NORMALIZATION_LANE_OPERATIONS
    text = TEXT.format(
        default=machine.vector.lanes,
        recalled=RECALLED_VECTOR_MM2,
        lane=1e6 * lane,
        lanes=lanes,
        per_core=lanes / cores,
        least=least,
        most=most,
        array_times=array_times,
        scaled=lanes / cores / array_times,
        of_1024=1024 * cores * lane,
        times=1024 * cores * lane / RECALLED_VECTOR_MM2,
        bytes_per_lane=2 * ELEMENT_BYTES,
        port=machine.core.vector_port_bytes_per_cycle,
        buffer=RECALLED_BUFFER_MM2,
        cells=cells,
        left=left,
        room=left / (8 * machine.technology.wire_pitch_mm * sqrt(cells) / 2),
        ports=port_bytes_per_cycle(machine.core),
        all_ports=global_buffer_mm2(machine),
        wide_ports=port_bytes_per_cycle(wide.core),
        wide_buffer=global_buffer_mm2(wide),
        columns=machine.array.columns,
        dram=dram,
        elements=elements,
        forward=forward,
        backward=backward,
        keep_forward=elements * forward,
        keep_backward=elements * backward,
    )
    return "\n".join(_filled(part) for part in re.split(r"\n(?=\n|\* )", text))


def _filled(part: str) -> str:
    """Return a paragraph or an item of a list in lines of at most 120 characters; an empty line before it stays."""
    blank = "\n" if part.startswith("\n") else ""
    return blank + fill(" ".join(part.split()), 120, subsequent_indent="  " if part.lstrip().startswith("* ") else "")


def _at_end(end: int) -> Accelerator:
    """Return the default machine with the constants of a lane's area at the end where it is smallest (0) or largest."""
    ends = ranges()
    overrides = []
    for name in _OF_A_LANE:
        which = end if name != "placement_density" else 1 - end  # dense cells take less area
        overrides.append(f"technology.{name}={ends[f'technology.{name}'][which]}")
    return load_accelerator(overrides=overrides)
