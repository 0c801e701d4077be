"""A timeline in Perfetto's own format: track events, as https://perfetto.dev reads them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from itertools import count
from typing import IO, Any

from wavecore.errors import InputError
from wavecore.timeline.drawing import Args, DrawnRow, Meter, TrackGroup, nanoseconds

SEQUENCE = 1  # there is one writer, so all packets are of one sequence
ROOT = 0  # the track above all others
HELD_PACKETS = 4096


def perfetto_classes(where: str) -> Any:
    """Return the message classes of the format.  Raises `InputError` at ``where`` if they are not installed."""
    try:
        return import_module("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    except ImportError:
        hint = 'pip install "wavecore[trace]", or a name that ends in .json'
        raise InputError(where, "the package perfetto is not installed", hint) from None


def write_perfetto(file: IO[bytes], groups: Sequence[TrackGroup], clock_hz: int) -> None:
    """Write groups as a trace.  Raises `InputError` if the package perfetto is missing."""
    writer = _Writer(file, clock_hz)
    for rank, group in enumerate(groups):
        writer.group(group, rank)
    writer.flush()


class _Writer:
    """Makes packets; a string is written once and then referred to by its number."""

    def __init__(self, file: IO[bytes], clock_hz: int) -> None:
        self._pb = perfetto_classes("--trace")
        self._file = file
        self._clock_hz = clock_hz
        self._trace = self._pb.Trace()
        self._uuids = count(1)
        self._numbers: dict[tuple[str, str], int] = {}
        first = self._packet()
        first.sequence_flags = self._pb.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED

    def group(self, group: TrackGroup, rank: int) -> None:
        """Write a track for a group with its overview, and below it one for each of its rows and meters."""
        overview = group.overview
        if isinstance(overview, DrawnRow):
            parent = self._track(group.name, ROOT, rank)
            self._row(overview, parent)
        else:
            parent = self._track(f"{group.name} {overview.name}", ROOT, rank, overview.unit)
            self._meter(overview, parent)
        for place, row in enumerate(group.rows):
            self._row(row, self._track(row.name, parent, place))
        for place, meter in enumerate(group.meters, len(group.rows)):
            self._meter(meter, self._track(meter.name, parent, place, meter.unit))

    def flush(self) -> None:
        """Write the packets that have been collected."""
        self._file.write(self._trace.SerializeToString())
        self._trace.Clear()

    def _packet(self) -> Any:
        if len(self._trace.packet) >= HELD_PACKETS:
            self.flush()
        packet = self._trace.packet.add()
        packet.trusted_packet_sequence_id = SEQUENCE
        packet.sequence_flags = self._pb.TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
        return packet

    def _track(self, name: str, parent: int, rank: int, unit: str = "") -> int:
        """Describe a track, a counter if it has a unit; return its number."""
        track = self._packet().track_descriptor
        track.uuid = next(self._uuids)
        track.name = name
        track.sibling_order_rank = rank
        track.child_ordering = self._pb.TrackDescriptor.EXPLICIT
        if parent != ROOT:
            track.parent_uuid = parent
        if unit:
            track.counter.unit_name = unit
        return int(track.uuid)

    def _event(self, cycle: int, kind: int, track: int) -> tuple[Any, Any]:
        """Return a packet with an event at a cycle, and the event."""
        packet = self._packet()
        packet.timestamp = nanoseconds(cycle, self._clock_hz)
        event = packet.track_event
        event.type = kind
        event.track_uuid = track
        return packet, event

    def _row(self, row: DrawnRow, track: int) -> None:
        for box in row.boxes():
            packet, event = self._event(box.start, self._pb.TrackEvent.TYPE_SLICE_BEGIN, track)
            event.name_iid = self._number(packet, "event_names", box.name)
            event.category_iids.append(self._number(packet, "event_categories", box.category))
            event.flow_ids.extend(number for number, _ in box.outgoing)
            event.terminating_flow_ids.extend(number for number, _ in box.incoming)
            self._annotate(packet, box.args)
            self._event(box.end, self._pb.TrackEvent.TYPE_SLICE_END, track)

    def _annotate(self, packet: Any, args: Args) -> None:
        for key, value in args.items():
            note = packet.track_event.debug_annotations.add()
            note.name_iid = self._number(packet, "debug_annotation_names", key)
            if isinstance(value, int):
                note.int_value = value
            else:
                note.string_value_iid = self._number(packet, "debug_annotation_string_values", value)

    def _number(self, packet: Any, table: str, text: str) -> int:
        """Return the number of an interned string; a new one is defined in this packet."""
        known = self._numbers.get((table, text))
        if known is not None:
            return known
        number = self._numbers[table, text] = len(self._numbers) + 1
        entry = getattr(packet.interned_data, table).add()
        entry.iid = number
        if table == "debug_annotation_string_values":
            entry.str = text.encode()
        else:
            entry.name = text
        return number

    def _meter(self, meter: Meter, track: int) -> None:
        for cycle, value in meter.points:
            _, event = self._event(cycle, self._pb.TrackEvent.TYPE_COUNTER, track)
            event.double_counter_value = value
