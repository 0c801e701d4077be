"""Does the event engine take the cycles that a hand count says?  Programs here are made by hand."""

from __future__ import annotations

import pytest
from builders import command, load, machine, program, store

from wavecore.engines.event import run_events
from wavecore.engines.memory import REQUEST_BYTES
from wavecore.engines.timing import Stall, Timing
from wavecore.errors import InvariantError
from wavecore.hardware.specs import Accelerator
from wavecore.network.catalog import workload
from wavecore.network.graph import Network
from wavecore.network.layers import Conv, CrossEntropy
from wavecore.network.shapes import Shape
from wavecore.program.commands import Command, Flow, StepProfile, Token
from wavecore.results.run import Run
from wavecore.simulation import simulate
from wavecore.training.unroll import training_graph

MIB = 1 << 20
DEFAULT = machine()
CLOCK_HZ = DEFAULT.chip.clock_hz
FAST_PORT = machine("core.memory_port=64 KiB/cycle")
QUIET = machine("memory.trefi=1 ms")  # no refresh during the test, so that single cycles can be counted


def run(
    *commands: Command, accelerator: Accelerator = DEFAULT, cores: int = 1, iterations: int = 1, buffer: int = 10 * MIB
) -> Timing:
    return run_events(program(*commands, cores=cores, iterations=iterations, buffer_bytes=buffer), accelerator)


def gemm(name: str = "gemm", array: int = 8000, vector: int = 0, steps: int = 8, **changes: object) -> Command:
    work = {"array_cycles": array, "fill_cycles": 128, "drain_cycles": 254, "vector_cycles": vector}
    return command(name, work=work, steps=steps, **changes)


def sweep(name: str, vector: int, steps: int = 8, **changes: object) -> Command:
    return command(name, work={"vector_cycles": vector}, steps=steps, **changes)


def dram_cycles(accelerator: Accelerator, nbytes: float) -> float:
    """Cycles of a long stream: peak bandwidth but for the time around each refresh."""
    memory = accelerator.memory
    lost = (memory.trfc_seconds + memory.trp_seconds + memory.trcd_seconds) / memory.trefi_seconds
    return nbytes / memory.bandwidth_bytes_per_second / (1 - lost) * CLOCK_HZ


# -- array and vector unit -----------------------------------------------------------------------------------


def test_a_gemm_alone_fills_issues_and_drains() -> None:
    """Fill, all steps back to back, the drain, and the last step's share of the vector unit."""
    timing = run(gemm(array=8000, vector=800))
    assert timing.step_cycles == 128 + 8000 + 254 + 100
    assert timing.units["array"].busy_cycles == 8000


def test_gemms_follow_each_other_without_a_new_fill() -> None:
    assert run(gemm("a"), gemm("b")).step_cycles == 128 + 8000 + 8000 + 254


def test_the_vector_unit_may_be_the_slower() -> None:
    """Fill, the first step, all drains back to back, the array's drain before the last."""
    timing = run(gemm(array=800, vector=8000))
    assert timing.step_cycles == 128 + 100 + 8000 + 254
    # accumulators hold two steps: the third waits 900 cycles for the first one's drain, each later one
    # 1000 - 128 - 100; the last drain but the array's own ends 1772 cycles behind the last step
    assert timing.units["array"].stall_cycles[Stall.VECTOR] == 900 + 5 * 772 + 1772


def test_a_sweep_takes_its_vector_cycles() -> None:
    timing = run(sweep("a", 1000), sweep("b", 500))
    assert timing.step_cycles == 1500
    assert timing.rows["a", "forward"].cycles == 1000
    assert timing.rows["b", "forward"].busy_cycles["vector"] == 500


def test_a_sweep_overlaps_the_next_gemm() -> None:
    """Two steps of the GEMM run beside the sweep; then the accumulators are full until the first is drained."""
    both = run(sweep("sweep", 4000), gemm(array=8000, vector=80)).step_cycles
    assert both == 4000 + 10 + 128 + 6 * 1000 + 254 + 10


def test_a_consumer_follows_its_producer_step_by_step() -> None:
    """Both have 8000 cycles: the sweep ends one of its own steps after the GEMM's last result."""
    made = gemm("maker", posts=(Token("x", Flow(800, StepProfile.EVEN)),), reserves=(("x", 800),))
    used = sweep("user", 4000, waits=(Token("x", Flow(800, StepProfile.EVEN)),), releases=(("x", 800),))
    assert run(made, used).step_cycles == 128 + 8000 + 254 + 4000  # the vector queue drains the GEMM first
    chained = gemm("user", waits=(Token("x", Flow(800, StepProfile.EVEN)),), releases=(("x", 800),))
    assert run(made, chained).step_cycles == pytest.approx(128 + 8000 + 8000 + 254, abs=128 + 254)


def test_a_consumer_of_the_whole_waits_for_the_last_result() -> None:
    made = gemm("maker", posts=(Token("x", Flow(800, StepProfile.EVEN)),), reserves=(("x", 800),))
    used = gemm("user", waits=(Token("x", Flow(800, StepProfile.AT_ONCE)),), releases=(("x", 800),))
    assert run(made, used).step_cycles == 2 * (128 + 8000 + 254)


# -- DRAM ----------------------------------------------------------------------------------------------------


def test_a_stream_is_bound_by_dram() -> None:
    timing = run(command(steps=64, loads=(load(64 * MIB),)), accelerator=FAST_PORT)
    assert timing.step_cycles == pytest.approx(dram_cycles(FAST_PORT, 64 * MIB), rel=0.015)
    assert timing.step_cycles >= dram_cycles(FAST_PORT, 64 * MIB) * 0.999


def test_a_stream_in_and_out_shares_the_bus() -> None:
    """Turns of 64 KiB: every pair pays tCL + tRTW and tWTR, and at most waits for a row of a bank just written."""
    copied = command(steps=512, loads=(load(32 * MIB),), stores=(store(32 * MIB),))
    memory = FAST_PORT.memory
    turns = 32 * MIB / REQUEST_BYTES * (memory.tcl_seconds + memory.trtw_seconds + memory.twtr_seconds) * CLOCK_HZ
    found = run(copied, accelerator=FAST_PORT).step_cycles
    least = dram_cycles(FAST_PORT, 64 * MIB) + turns
    row = (memory.twr_seconds + memory.trp_seconds + memory.trcd_seconds) * CLOCK_HZ
    assert 0.97 * least < found < 1.03 * (least + 32 * MIB / REQUEST_BYTES * row)


@pytest.mark.parametrize("port", [512, 256, 128])
def test_one_core_is_bound_by_its_memory_port(port: int) -> None:
    """The default 512 B a cycle are less than the 920 B a cycle of two stacks."""
    quiet, refreshed = (
        run(command(steps=64, loads=(load(16 * MIB),)), accelerator=machine(f"core.memory_port={port} B/cycle", *more))
        for more in (("memory.trefi=1 ms",), ())
    )
    assert quiet.step_cycles == pytest.approx(16 * MIB / port, rel=0.001)
    refreshes = refreshed.step_cycles / CLOCK_HZ / DEFAULT.memory.trefi_seconds
    assert 0 <= refreshed.step_cycles - quiet.step_cycles <= (refreshes + 1) * 378e-9 * CLOCK_HZ


def test_refresh_is_visible() -> None:
    """The time lost is that around a refresh: 291 of 3900 ns by default, 32 with a tRFC of one."""
    rare = machine("core.memory_port=64 KiB/cycle", "memory.trfc=1 ns")
    streams = [
        run(command(steps=64, loads=(load(64 * MIB),)), accelerator=each).step_cycles for each in (FAST_PORT, rare)
    ]
    assert streams[0] / streams[1] == pytest.approx((1 - 32 / 3900) / (1 - 291 / 3900), rel=0.01)


def test_two_cores_share_dram_evenly() -> None:
    both = run(command(steps=64, loads=(load(32 * MIB),)), cores=2)
    least = dram_cycles(DEFAULT, 64 * MIB)  # and rows of one bank that both want
    assert 0.99 * least < both.step_cycles < 1.08 * least
    assert sum(both.dram_bytes.values()) == 64 * MIB


def test_two_cores_end_within_a_request_of_each_other() -> None:
    """The step ends with the slower core; the faster one is at most a turn ahead, so rows differ by no more."""
    alone = run(
        command(steps=64, loads=(load(32 * MIB),)), accelerator=machine("memory=hbm2", "core.memory_port=512 B/cycle")
    )
    both = run(command(steps=64, loads=(load(32 * MIB),)), cores=2)
    request = REQUEST_BYTES / DEFAULT.memory.bandwidth_bytes_per_second * CLOCK_HZ
    assert alone.step_cycles - 2 * request < both.step_cycles < 1.08 * alone.step_cycles


def test_data_arrive_after_latency() -> None:
    """tRCD, one burst of each channel, tCL and the controller: 14 + 12.7 + 34 ns are 43 cycles."""
    found = run(
        command(loads=(load(8192, StepProfile.AT_ONCE, StepProfile.AT_END),), work={"vector_cycles": 100})
    ).step_cycles
    assert found == pytest.approx(100 + 60.7e-9 * CLOCK_HZ, abs=2)


# -- overlap -------------------------------------------------------------------------------------------------


def held(name: str, nbytes: int, array: int) -> Command:
    """A GEMM whose operands are all there before it starts."""
    return gemm(name, array, loads=(load(nbytes, StepProfile.AT_ONCE, StepProfile.AT_END),))


def test_the_next_operands_load_while_the_array_works() -> None:
    """4 MiB take 8192 cycles through the port; the array 10000: only the first load shows."""
    found = run(*(held(f"{index}", 4 * MIB, 10000) for index in range(5)), accelerator=QUIET).step_cycles
    assert found == pytest.approx(8192 + 128 + 5 * 10000 + 254, abs=50)


def test_they_do_not_where_the_buffer_holds_one_only() -> None:
    """Every load waits for the one before to be done: nothing overlaps."""
    found = run(
        *(held(f"{index}", 4 * MIB, 10000) for index in range(5)), buffer=7 * MIB, accelerator=QUIET
    ).step_cycles
    assert found == pytest.approx(5 * (8192 + 128 + 10000 + 254), rel=0.01)


def test_a_slow_memory_hides_the_array() -> None:
    found = run(*(held(f"{index}", 4 * MIB, 4000) for index in range(5)), accelerator=QUIET).step_cycles
    assert found == pytest.approx(5 * 8192 + 128 + 4000 + 254, rel=0.01)


def test_streamed_operands_overlap_inside_a_command() -> None:
    """In 64 steps only the first load and the last step are exposed."""
    stream = gemm("stream", 64 * 256, steps=64, loads=(load(4 * MIB),))
    assert run(stream, accelerator=QUIET).step_cycles == pytest.approx(128 + 128 + 64 * 256 + 254, rel=0.01)


def test_iterations_overlap_too() -> None:
    found = run(held("gemm", 4 * MIB, 10000), iterations=5, accelerator=QUIET).step_cycles
    assert found == pytest.approx(8192 + 128 + 5 * 10000 + 254, abs=50)


def test_stores_leave_while_the_array_works() -> None:
    """The last step's results are the only ones that leave after it: an eighth of 4 MiB."""
    found = run(gemm("gemm", 10000, stores=(store(4 * MIB),)), accelerator=QUIET).step_cycles
    assert found == pytest.approx(128 + 10000 + 254 + 4 * MIB / 8 / 512, abs=50)


# -- space ---------------------------------------------------------------------------------------------------


def test_the_peak_is_what_is_there_at_once() -> None:
    a = command("a", reserves=(("x", 3 * MIB),), stage_bytes=MIB, work={"vector_cycles": 100})
    b = command("b", reserves=(("y", 2 * MIB),), releases=(("x", 3 * MIB), ("y", 2 * MIB)), work={"vector_cycles": 100})
    assert run(a, b).buffer_peak_bytes == 6 * MIB  # b takes its space while a still works
    assert run(a, b, buffer=5 * MIB).buffer_peak_bytes == 5 * MIB
    assert run(a, b, buffer=5 * MIB).step_cycles == run(a, b).step_cycles == 200


def test_a_program_that_does_not_fit_is_caught() -> None:
    with pytest.raises(InvariantError, match=r"^core 0: stopped at cycle 0: load queue in big"):
        run(command("big", stage_bytes=2 * MIB), buffer=MIB)


def test_space_that_is_never_freed_is_caught() -> None:
    with pytest.raises(InvariantError, match=r"^core 0: 100 bytes of the buffer were never freed$"):
        run(command("leak", reserves=(("x", 100),)))


def test_a_wait_for_what_nobody_posts_is_caught() -> None:
    with pytest.raises(InvariantError, match=r"^core 0: stopped at cycle 0: .*array queue in lonely"):
        run(gemm("lonely", waits=(Token("x", Flow(1, StepProfile.AT_ONCE)),)))


# -- whole networks ------------------------------------------------------------------------------------------


def small(accelerator: Accelerator, batch: int) -> Run:
    training = training_graph(workload("resnet18", image=64, width=0.25))
    return simulate(training, "mbs2", accelerator, batch=batch)


def without_update(run_: Run) -> int:
    return sum(row.cycles for row in run_.rows if row.phase != "update")


def test_a_core_with_half_the_memory_and_half_the_batch_is_half_of_the_chip() -> None:
    """hbm2 is one of hbm2x2's two stacks.  Without the update, which two cores share."""
    chip, half = small(DEFAULT, 16), small(machine("chip.cores=1", "memory=hbm2"), 8)
    assert without_update(chip) == pytest.approx(without_update(half), rel=0.04)
    assert chip.macs == 2 * half.macs


def test_a_compute_bound_convolution_takes_its_array_cycles() -> None:
    net = Network("dense", Shape(512, 28, 28))
    net(CrossEntropy(), net(Conv(2, 28), net(Conv(512, 3, padding=1), net.input, name="dense")))
    result = simulate(net.build(), "archopt", DEFAULT, batch=32)
    (row,) = (row for row in result.rows if (row.name, row.phase) == ("dense", "forward"))
    issue = 49 * 36 * 4 * 256  # row tiles of 16*784, waves of 512*9, column tiles of 512; m = 256 > k = 128
    assert row.array_busy_cycles == issue
    assert issue < row.cycles < issue * 1.03
