"""The timing of one shared DRAM, for long transfers that are striped over all its channels.

The unit of service is a *request*: tens of KiB, contiguous in one stream.  Its bursts occupy the column *slots* of all
channels in lockstep.  The slot of a read is the moment of its column command (its data follow tCL later); the slot of a
write is the moment its data are on the bus.  Times are exact fractions of a picosecond inside `Dram`; the results of
`Dram.serve` are rounded up to whole picoseconds, and rounded times are never added up.

The rules, each the earliest moment that JEDEC's constraints allow (parameters: `MemorySpec`):

* **Burst**: a burst takes ``burst bytes * channels / bandwidth``.  A request starts at channel 0, and takes as long as
  its busiest channel, so a request of less than a stripe leaves other channels idle.
* **Row change inside a stream**: the next row is opened while the present one is transferred.  With ``banks`` banks a
  row takes at least ``(its transfer + tRP + tRCD) / banks``; this exceeds the transfer itself only where rows are short
  or banks are few.
* **Another stream** than the last request's: tRP + tRCD first.  The controller looks one request ahead: if the request
  was already waiting (``now <= bus free``), that time begins with the previous transfer, else with the request.
* **Turnaround**: read then write: tCL (data still to come) + tRTW;  write then read: tWTR.
* **Refresh**, of all banks at once: no slot in ``[k tREFI - tRP, k tREFI + tRFC)``, k = 1, 2, ..., because all banks
  must be precharged before it.  Afterwards all rows are closed and the next slot needs tRCD.  A transfer that meets a
  refresh is interrupted between two bursts and continues after it.

Only a waiting request activates early.  So a request that arrives just after the bus became free can be served up to
tRP + tRCD later than it would have been on a slightly slower bus, where it would have waited.

Not modelled: postponed or per-bank refresh, tFAW, bank-group conflicts (tCCD_L), row hits across a switch back to an
earlier stream (a switch always takes tRP + tRCD), write latency (hidden in the queue).
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Literal, TextIO, get_args

from wavecore.errors import ConfigError, InvariantError

if TYPE_CHECKING:
    from wavecore.hardware.specs import MemorySpec

PS_PER_SECOND = 10**12
STREAM_BYTES = 1 << 30
"""The part of the address space that each stream owns in an exported trace."""

TraceFormat = Literal["ramulator2", "dramsim3"]
TRACE_FORMATS: tuple[TraceFormat, ...] = get_args(TraceFormat)


def picoseconds(seconds: float) -> int:
    """Return the nearest whole number of picoseconds."""
    return round(seconds * PS_PER_SECOND)


def bursts_of_busiest_channel(memory: MemorySpec, nbytes: int) -> int:
    """Return the bursts of the busiest channel, channel 0, in a transfer of ``nbytes`` that starts there."""
    stripes, rest = divmod(nbytes, memory.interleave_bytes * memory.channels)
    whole = stripes * (memory.interleave_bytes // memory.burst_bytes)
    return whole - (-min(rest, memory.interleave_bytes) // memory.burst_bytes)


def burst_ps(memory: MemorySpec) -> Fraction:
    """Return the time from one burst of a channel to its next in a long stream, in exact picoseconds.

    It is the larger of the bus's time for a burst and, spread over the bursts of a row, the row's
    ``(transfer + tRP + tRCD) / banks``.
    """
    bus = Fraction(memory.burst_bytes * memory.channels * PS_PER_SECOND, memory.bandwidth_bytes_per_second)
    bursts_per_row = memory.row_bytes // memory.burst_bytes
    activate = picoseconds(memory.trp_seconds) + picoseconds(memory.trcd_seconds)
    return max(bus, (bus + Fraction(activate, bursts_per_row)) / memory.banks)


def transfer_ps(memory: MemorySpec, nbytes: int) -> int:
    """Return the picoseconds that the column slots of ``nbytes`` of one stream take without refresh, rounded up."""
    return ceil(bursts_of_busiest_channel(memory, nbytes) * burst_ps(memory))


def sustained_bytes_per_second(
    memory: MemorySpec,
    request_bytes: int | None = None,
    *,
    run_requests: int | None = None,
    scattered: bool = False,
) -> float:
    """Return the bandwidth of an endless backlog of requests, in closed form.

    ``request_bytes`` is the size of each request; by default it is a whole stripe, so that no channel idles.
    With ``run_requests``, that many reads of one stream and that many writes of another take turns.  With
    ``scattered``, every request is of another stream.  The result is exact for one sequential stream of whole
    stripes; otherwise its relative error is at most (gap + burst) / tREFI, because a gap between requests may coincide
    with a refresh.
    """
    stripe = memory.interleave_bytes * memory.channels
    nbytes = stripe if request_bytes is None else request_bytes
    burst = burst_ps(memory)
    busy = bursts_of_busiest_channel(memory, nbytes) * burst
    timing = _DramTiming(memory)
    exposed = max(timing.switch - busy, Fraction(0))
    requests = 1
    inside = exposed if scattered else Fraction(0)
    total = busy + inside
    if run_requests is not None:
        requests = 2 * run_requests
        switches = max(exposed, Fraction(timing.to_write)) + max(exposed, Fraction(timing.to_read))
        total = requests * busy + (requests - 2) * inside + switches
    usable = timing.refi - timing.closed - timing.rcd
    per_interval = usable // burst * burst / timing.refi
    return float(nbytes * requests * PS_PER_SECOND * per_interval / total)


def verify_memory(memory: MemorySpec) -> None:
    """Raise ConfigError unless sizes are positive, whole bursts, and leave time for transfers between refreshes."""
    _DramTiming(memory)


class _DramTiming:
    """The constraints of a `MemorySpec` in picoseconds.  Raises ConfigError as `_check` does."""

    __slots__ = ("closed", "rcd", "read_tail", "refi", "rp", "switch", "to_read", "to_write")

    def __init__(self, memory: MemorySpec) -> None:
        self.rp = picoseconds(memory.trp_seconds)
        self.rcd = picoseconds(memory.trcd_seconds)
        self.switch = self.rp + self.rcd
        cas = picoseconds(memory.tcl_seconds)
        self.to_write = cas + picoseconds(memory.trtw_seconds)
        self.to_read = picoseconds(memory.twtr_seconds)
        self.read_tail = cas + picoseconds(memory.controller_seconds)
        self.refi = picoseconds(memory.trefi_seconds)
        self.closed = self.rp + picoseconds(memory.trfc_seconds)
        _check(memory, self)


def _check(memory: MemorySpec, timing: _DramTiming) -> None:
    """Raise ConfigError unless sizes are positive, whole bursts, and leave time for transfers between refreshes."""
    where = f"memory {memory.name!r}"
    sizes = (
        "channels",
        "bandwidth_bytes_per_second",
        "interleave_bytes",
        "burst_bytes",
        "row_bytes",
        "banks",
    )
    for field in sizes:
        if getattr(memory, field) <= 0:
            raise ConfigError(where, f"{field} is {getattr(memory, field)}", "a positive number")
    for field in ("interleave_bytes", "row_bytes"):
        if getattr(memory, field) % memory.burst_bytes:
            what = f"{field} is {getattr(memory, field)}, not a whole number of {memory.burst_bytes}-byte bursts"
            raise ConfigError(where, what, f"a multiple of {memory.burst_bytes}")
    turnaround = timing.to_read + timing.to_write + 2 * timing.switch + ceil(burst_ps(memory))
    if timing.refi <= timing.closed + turnaround:
        what = f"tREFI of {timing.refi} ps leaves no time between refreshes"
        raise ConfigError(where, what, f"trefi above {timing.closed + turnaround} ps")


class Dram:
    """The data bus of one chip's DRAM, which serves requests in the order of the calls by the module's rules."""

    __slots__ = (
        "_burst", "_closed", "_free", "_per_interval", "_rcd", "_read_tail", "_refi", "_rp", "_scale",
        "_started", "_stream", "_switch", "_to_read", "_to_write", "_window", "_write", "memory",
    )  # fmt: skip

    def __init__(self, memory: MemorySpec) -> None:
        """Raise ConfigError if ``memory`` has no time left between its refreshes."""
        self.memory = memory
        timing = _DramTiming(memory)
        burst = burst_ps(memory)
        self._scale = scale = burst.denominator  # internal time: 1/scale of a picosecond, exact
        self._burst = burst.numerator
        self._rcd = timing.rcd * scale
        self._rp = timing.rp * scale
        self._switch = timing.switch * scale
        self._to_write = timing.to_write * scale
        self._to_read = timing.to_read * scale
        self._read_tail = timing.read_tail * scale
        self._refi = timing.refi * scale
        self._closed = timing.closed * scale
        self._per_interval = (self._refi - self._closed - self._rcd) // self._burst
        self._free = 0  # end of the last slot
        self._started = 0  # when the bus began what it transferred last, without interruption
        self._window = 0  # index of the last refresh before that
        self._stream: int | None = None
        self._write = False

    def serve(self, now_ps: int, nbytes: int, write: bool, stream: int) -> tuple[int, int]:
        """Serve the next request, of ``nbytes`` of a ``stream``, as early as the rules allow from ``now_ps`` on.

        Return ``(bus_free_ps, done_ps)``: when the bus is free for the next request, and when the last data have
        arrived: tCL and the controller's time after the last slot of a read, the end of the last slot of a write.
        A request that comes in the same picosecond in which the bus becomes free counts as waiting.
        Raises InvariantError unless ``nbytes`` is positive.
        """
        if nbytes <= 0:
            raise InvariantError("dram", f"a request of {nbytes} bytes")
        begin = self._begin(now_ps * self._scale, write, stream)
        end = self._transfer(begin, bursts_of_busiest_channel(self.memory, nbytes))
        self._free = end
        self._stream = stream
        self._write = write
        scale = self._scale
        done = end if write else end + self._read_tail
        return -(-end // scale), -(-done // scale)

    def _begin(self, now: int, write: bool, stream: int) -> int:
        """Return the start of the first slot that the rules allow, in internal time; note the refresh before it."""
        free = self._free
        waiting = now < free + self._scale
        base = free if waiting else now
        window = (base + self._rp) // self._refi
        if self._stream is None or window > self._window:  # all rows are closed
            opened = window * self._refi + self._closed - self._rp if window else 0
            begin = (base if base > opened else opened) + self._rcd
        elif stream == self._stream:
            begin = base
        else:
            ready = (self._started if waiting else now) + self._switch
            begin = ready if ready > base else base
        if self._stream is not None and write != self._write:
            turned = free + (self._to_write if write else self._to_read)
            begin = turned if turned > begin else begin
        else:
            turned = 0
        if begin >= (window + 1) * self._refi - self._rp:  # overtaken by a refresh: activate anew after it
            window += 1
            opened = window * self._refi + self._closed - self._rp + self._rcd
            begin = turned if turned > opened else opened
        self._window = window
        return begin

    def _transfer(self, begin: int, bursts: int) -> int:
        """Return the end of ``bursts`` slots that start at ``begin``, interrupted by every refresh on the way."""
        self._started = begin
        window = self._window
        burst = self._burst
        fit = ((window + 1) * self._refi - self._rp - begin) // burst
        if bursts <= fit:
            return begin + bursts * burst
        intervals, last = divmod(bursts - fit - 1, self._per_interval)
        self._window = window = window + 1 + intervals
        self._started = window * self._refi + self._closed - self._rp + self._rcd
        return self._started + (last + 1) * burst


def trace_address(stream: int, offset_bytes: int) -> int:
    """Return the address of a byte of a stream: each stream has `STREAM_BYTES` of its own, and wraps around in them."""
    return stream * STREAM_BYTES + offset_bytes % STREAM_BYTES


class TraceWriter:
    """A writer of DRAM accesses in the input format of another simulator.

    ``ramulator2``: ``LD 0x1f00`` or ``ST 0x1f00`` without a time (its ``LoadStoreTrace`` sends one access per cycle).
    ``dramsim3``: ``0x1f00 READ 12`` or ``0x1f00 WRITE 12``, with cycles that do not decrease.
    """

    def __init__(self, file: TextIO, trace_format: TraceFormat, access_bytes: int = 64) -> None:
        """Make a writer of one line to ``file`` for each aligned piece of ``access_bytes``."""
        self._file = file
        self._format = trace_format
        self._access_bytes = access_bytes
        self._cycle = 0

    def write(self, cycle: int, address: int, write: bool) -> None:
        """Write one access.  Raise InvariantError if ``cycle`` is before that of the last one."""
        if cycle < self._cycle:
            raise InvariantError("dram trace", f"cycle {cycle} after cycle {self._cycle}")
        self._cycle = cycle
        if self._format == "ramulator2":
            self._file.write(f"{'ST' if write else 'LD'} {address:#x}\n")
        else:
            self._file.write(f"{address:#x} {'WRITE' if write else 'READ'} {cycle}\n")

    def transfer(self, cycle: int, stream: int, offset_bytes: int, nbytes: int, write: bool) -> None:
        """Write the accesses that cover ``nbytes`` of a stream from ``offset_bytes`` on, all issued at ``cycle``."""
        first = offset_bytes - offset_bytes % self._access_bytes
        for offset in range(first, offset_bytes + nbytes, self._access_bytes):
            self.write(cycle, trace_address(stream, offset), write)
