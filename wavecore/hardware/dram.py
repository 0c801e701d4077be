"""The timing of one shared DRAM and its controller, for requests of tens of KiB that are striped over all channels.

All channels work in lockstep: a request takes as long as its part in channel 0, where every tensor begins, and the
model is that of one channel.  Its bursts occupy column *slots*.  The slot of a read is the moment of its column command
(its data follow tCL later); the slot of a write is the moment its data are on the bus.  Times are whole picoseconds.

**Addresses.**  From the low end: the byte in a burst, the bank group, the column, the bank in its group, the row.  So
consecutive bursts alternate between bank groups, and a *row set* is one row in a bank of every group, opened together:
what a channel can stream at full rate.  There are ``banks / bank groups`` *bank sets*; each has one row set open.

The rules, each the earliest moment that JEDEC's constraints allow (parameters: `MemorySpec`):

* **Burst**: ``burst bytes * channels / bandwidth``, or tCCD_L / bank groups if that is longer.
* **Row**: bursts of a row set that is not open wait for: precharge, tRP, activation, tRCD (a write's data: tCWL more).
  The precharge comes tRTP after the bank's last read command, tWR after its last written data, tRAS after its
  activation.  Groups are activated tRRD apart, the sets at least tFAW for every four rows.
* **Lookahead**: the controller sees a request ``queue_bursts`` before its first slot, but not before it arrives, and
  precharges and activates from then on.
* **Turnaround**: read then write: tCL (data still to come) + tRTW;  write then read: tWTR_S, since the next read goes
  to another group than the last write.
* **Refresh**, of all banks at once: at each multiple of tREFI no slot begins, banks are precharged as above, and rows
  may be activated tRP + tRFC later.  A transfer that meets a refresh continues after it.
* **Writes wait** in the controller's write queue while there is room.  When ``write_queue_bursts`` are there, as many
  are written at once; an idle bus empties the queue.  Reads do not wait for them.

Not modelled: postponed or per-bank refresh, reordering among reads or among writes.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from wavecore.errors import ConfigError, InvariantError

if TYPE_CHECKING:
    from wavecore.hardware.specs import MemorySpec

PS_PER_SECOND = 10**12


def picoseconds(seconds: float) -> int:
    """Return the nearest whole number of picoseconds."""
    return round(seconds * PS_PER_SECOND)


def row_set_bytes(memory: MemorySpec) -> int:
    """Return the bytes of one row set in all channels."""
    return memory.row_bytes * memory.bank_groups * memory.channels


def bank_sets(memory: MemorySpec) -> int:
    """Return how many row sets a channel can have open."""
    return memory.banks // memory.bank_groups


def channel_bytes(memory: MemorySpec, address: int) -> int:
    """Return the bytes of channel 0, in whole bursts, that lie below an address."""
    stripes, rest = divmod(address, memory.interleave_bytes * memory.channels)
    burst = memory.burst_bytes
    return stripes * memory.interleave_bytes + min(-(-rest // burst) * burst, memory.interleave_bytes)


def burst_ps(memory: MemorySpec) -> tuple[int, int]:
    """Return the picoseconds from one burst of a channel to its next in a long stream, as a fraction."""
    bus = memory.burst_bytes * memory.channels * PS_PER_SECOND, memory.bandwidth_bytes_per_second
    group = picoseconds(memory.tccd_l_seconds), memory.bank_groups
    return bus if bus[0] * group[1] >= group[0] * bus[1] else group


def transfer_ps(memory: MemorySpec, bursts: int) -> int:
    """Return the picoseconds that ``bursts`` slots of a channel take where no rule but the bus delays them."""
    numerator, denominator = burst_ps(memory)
    return -(-bursts * numerator // denominator)


class DramTiming:
    """The constraints of a `MemorySpec` in picoseconds.  Raises ConfigError unless they leave time for transfers."""

    __slots__ = (
        "activation", "cas", "faw", "precharge", "queue", "ras", "rcd", "read_tail", "refi", "rfc", "rp", "rrd", "rtp",
        "stagger", "to_read", "to_write", "wl", "wr", "write_queue",
    )  # fmt: skip

    def __init__(self, memory: MemorySpec) -> None:
        _check_sizes(memory)
        cas = picoseconds(memory.tcl_seconds)
        groups, rrd = memory.bank_groups, picoseconds(memory.trrd_seconds)
        self.rcd = picoseconds(memory.trcd_seconds)
        self.rp = picoseconds(memory.trp_seconds)
        self.ras = picoseconds(memory.tras_seconds)
        self.rtp = max(0, picoseconds(memory.trtp_seconds) - transfer_ps(memory, 1))  # after the slot's end
        self.wr = picoseconds(memory.twr_seconds)
        self.wl = picoseconds(memory.tcwl_seconds)
        self.stagger = (groups - 1) * rrd  # the first group of a row set is as far ahead of the last
        self.activation = max(groups * rrd, groups * picoseconds(memory.tfaw_seconds) // 4)  # from row set to row set
        self.to_write = cas + picoseconds(memory.trtw_seconds)
        self.to_read = picoseconds(memory.twtr_seconds)
        self.read_tail = cas + picoseconds(memory.controller_seconds)
        self.refi = picoseconds(memory.trefi_seconds)
        self.rfc = picoseconds(memory.trfc_seconds)
        self.queue = transfer_ps(memory, memory.queue_bursts)
        self.write_queue = transfer_ps(memory, memory.write_queue_bursts)
        self._check(memory)

    def _check(self, memory: MemorySpec) -> None:
        """Raise ConfigError unless the interval between two refreshes has time for transfers after the longest wait."""
        reopen = self.ras + self.wr + self.rp + self.rfc + self.rcd + self.wl
        needed = reopen + self.to_read + self.to_write + transfer_ps(memory, 1)
        if self.refi <= needed:
            what = f"tREFI of {self.refi} ps leaves no time between refreshes"
            raise ConfigError(f"memory {memory.name!r}", what, f"trefi above {needed} ps")


def verify_memory(memory: MemorySpec) -> None:
    """Raise ConfigError unless sizes are positive, whole bursts, and leave time for transfers between refreshes."""
    DramTiming(memory)


def _check_sizes(memory: MemorySpec) -> None:
    where = f"memory {memory.name!r}"
    for field in (
        "channels",
        "bandwidth_bytes_per_second",
        "interleave_bytes",
        "burst_bytes",
        "row_bytes",
        "banks",
        "bank_groups",
        "queue_bursts",
        "write_queue_bursts",
    ):
        if getattr(memory, field) <= 0:
            raise ConfigError(where, f"{field} is {getattr(memory, field)}", "a positive number")
    for field in ("interleave_bytes", "row_bytes"):
        if getattr(memory, field) % memory.burst_bytes:
            what = f"{field} is {getattr(memory, field)}, not a whole number of {memory.burst_bytes}-byte bursts"
            raise ConfigError(where, what, f"a multiple of {memory.burst_bytes}")
    if memory.banks % memory.bank_groups:
        what = f"{memory.banks} banks do not form {memory.bank_groups} equal bank groups"
        raise ConfigError(where, what, f"banks a multiple of {memory.bank_groups}")


def sustained_bytes_per_second(memory: MemorySpec, run_bytes: int | None = None) -> float:
    """Return the bandwidth of an endless backlog of whole stripes, in closed form.

    By default it is that of one sequential stream of reads.  With ``run_bytes``, that many bytes are read and that many
    written in turn, or as many as the controller's write queue makes of them if that is more; row changes between
    streams are taken to be hidden.  Each refresh costs what precharge, refresh and activation take.
    """
    timing = DramTiming(memory)
    numerator, denominator = burst_ps(memory)
    closed = timing.rtp + timing.rp + timing.rfc + timing.rcd
    per_interval = -(-(timing.refi - closed) * denominator // numerator)
    seconds = timing.refi / PS_PER_SECOND
    # a burst that begins before a refresh ends after its beginning; no more than the pins carry
    rate = min(per_interval * memory.burst_bytes * memory.channels / seconds, memory.bandwidth_bytes_per_second)
    if run_bytes is None:
        return rate
    run = max(run_bytes, memory.write_queue_bursts * memory.burst_bytes * memory.channels)
    turns = (timing.to_read + timing.to_write) / PS_PER_SECOND
    return 2 * run / (2 * run / rate + turns)


class Dram:
    """The data bus of one chip's DRAM, which serves requests in the order of the calls by the module's rules."""

    __slots__ = (
        "_activated", "_burst", "_bytes_queued", "_closed", "_free", "_open", "_per", "_queued", "_ready", "_reopened",
        "_set_bytes", "_timing", "_window", "_write", "memory",
    )  # fmt: skip

    def __init__(self, memory: MemorySpec) -> None:
        """Raise ConfigError if ``memory`` has no time left between its refreshes."""
        self.memory = memory
        self._timing = DramTiming(memory)
        self._burst, self._per = burst_ps(memory)
        self._set_bytes = memory.row_bytes * memory.bank_groups
        self._free = 0  # end of the last slot
        self._write = False  # whether that was a write
        self._window = 0  # index of the last refresh before that
        self._reopened = 0  # when rows may be activated after that refresh
        self._closed = 0  # when all banks may be precharged
        self._activated = -self._timing.activation  # when a row set was activated last
        self._open = [(-1, -1)] * bank_sets(memory)  # of each bank set, the refresh before its activation, and its row
        self._ready = [0] * bank_sets(memory)  # of each bank set, when it may be precharged
        self._queued: deque[tuple[int, int]] = deque()  # writes that wait: their bytes of a channel, from and to
        self._bytes_queued = 0

    def serve(self, now_ps: int, address: int, nbytes: int, write: bool) -> tuple[int, int]:
        """Accept the next request as early as the rules allow from ``now_ps`` on.

        Return ``(accepted_ps, done_ps)``: when all of it is in the controller's queue, which then takes the next
        request; and when the last data of a read have arrived, tCL and the controller's time after its last slot.  A
        write is done when it is accepted: reads of what is in the write queue are answered from there.
        Raises InvariantError unless ``nbytes`` is positive.
        """
        if nbytes <= 0:
            raise InvariantError("dram", f"a request of {nbytes} bytes")
        begin, end = channel_bytes(self.memory, address), channel_bytes(self.memory, address + nbytes)
        if now_ps > self._free:
            self._drain(self._free, self._bytes_queued)
        if not write:
            self._transfer(now_ps, begin, end, False)
            return max(now_ps, self._free - self._timing.queue), max(now_ps, self._free) + self._timing.read_tail
        self._queued.append((begin, end))
        self._bytes_queued += end - begin
        batch = self.memory.write_queue_bursts * self.memory.burst_bytes
        accepted = now_ps
        if self._bytes_queued >= batch:
            self._drain(now_ps, self._bytes_queued // batch * batch)
            accepted = max(now_ps, self._free - self._timing.write_queue)
        return accepted, accepted

    def flush(self) -> int:
        """Write what the write queue holds; return when the bus is free for good."""
        self._drain(self._free, self._bytes_queued)
        return self._free

    def _drain(self, now: int, nbytes: int) -> None:
        """Write the first ``nbytes`` of a channel that are in the write queue."""
        self._bytes_queued -= nbytes
        while nbytes > 0:
            begin, end = self._queued.popleft()
            if end - begin > nbytes:
                self._queued.appendleft((begin + nbytes, end))
                end = begin + nbytes
            self._transfer(now, begin, end, True)
            nbytes -= end - begin

    def _transfer(self, now: int, begin: int, end: int, write: bool) -> None:
        """Move bytes ``begin`` to ``end`` of a channel, row set by row set."""
        size, burst_bytes = self._set_bytes, self.memory.burst_bytes
        while begin < end:
            row_set = begin // size
            until = min(end, (row_set + 1) * size)
            self._move(now, row_set, (until - begin) // burst_bytes, write)
            begin = until

    def _move(self, now: int, row_set: int, bursts: int, write: bool) -> None:
        """Move bursts of one row set, interrupted by every refresh on the way."""
        timing, bank = self._timing, row_set % len(self._open)
        while bursts:
            slot = self._first_slot(now, bank, row_set, write)
            until = (self._window + 1) * timing.refi
            if slot >= until:
                self._free = max(self._free, until)
                continue
            fit = min(bursts, -(-(until - slot) * self._per // self._burst))
            self._free = slot - (-fit * self._burst // self._per)
            self._write = write
            self._ready[bank] = max(self._ready[bank], self._free + (timing.wr if write else timing.rtp))
            self._closed = max(self._closed, self._ready[bank])
            bursts -= fit

    def _first_slot(self, now: int, bank: int, row_set: int, write: bool) -> int:
        """Return the first slot that the rules allow for a row set; activate it if it is not open."""
        timing = self._timing
        slot = max(now, self._free)
        if write != self._write:
            slot = max(slot, self._free + (timing.to_write if write else timing.to_read))
        if slot // timing.refi > self._window:
            self._refresh(slot // timing.refi)
        if self._open[bank] != (self._window, row_set):
            seen = max(now, self._free - timing.queue)
            if self._open[bank][0] == self._window:  # another row set is open
                ahead = 0 if write != self._write else timing.stagger
                active = max(seen, self._ready[bank] - ahead) + timing.rp
            else:
                active = max(seen, self._reopened)
            active = max(active, self._activated + timing.activation)
            self._activated = active
            self._open[bank] = self._window, row_set
            self._ready[bank] = active + timing.ras
            self._closed = max(self._closed, self._ready[bank])
            slot = max(slot, active + timing.rcd + (timing.wl if write else 0))
        return slot

    def _refresh(self, window: int) -> None:
        """Note the refresh with which an interval begins: no row is open, and none can be until it is over."""
        begin = window * self._timing.refi
        self._window = window
        self._reopened = max(begin, self._closed) + self._timing.rp + self._timing.rfc
