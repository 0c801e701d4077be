"""The definition, formula and unit of every figure: each key of JSON and each column of a table.

A formula is arithmetic over other metrics of the same run and over the accelerator's fields, named as in
``--set`` and taken in base units (bytes, cycles, hertz, joules, watts); tests evaluate it.  A figure without a formula
is counted, as its definition says.  Counters are defined in `program.counters`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from wavecore.program.counters import COUNTERS


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: its dotted ``name`` in JSON, its ``title`` in tables, its ``unit`` ("" for text and plain counts)."""

    name: str
    title: str
    unit: str
    definition: str
    formula: str = ""


def _total_metrics(*counters: str) -> tuple[Metric, ...]:
    """Return the metrics of counters over the step: the sums of their rows."""
    found = []
    for name in counters:
        counter = COUNTERS[name]
        assert counter.total is not None and counter.row is not None
        key, title, definition = counter.total.key, counter.total.title, counter.total.definition
        found.append(Metric(key, title, counter.unit, definition, f"sum(layers.{counter.row.key})"))
    return tuple(found)


def _row_metrics(*counters: str) -> tuple[Metric, ...]:
    """Return the metrics of counters for each layer and phase."""
    found = []
    for name in counters:
        counter = COUNTERS[name]
        assert counter.row is not None
        found.append(Metric(f"layers.{counter.row.key}", counter.row.title, counter.unit, counter.row.definition))
    return tuple(found)


_MACS = ("macs", "effectual_macs", "gated_macs", "skipped_macs", "vector_macs", "surplus_macs")
_BUFFER = ("buffer_read_bytes", "buffer_write_bytes")

_RUN = (
    Metric("schema", "schema", "", "Name and version of the JSON layout."),
    Metric("workload", "workload", "", "The network that is trained."),
    Metric("schedule", "schedule", "", "The schedule, or the plan, that was run."),
    Metric("accelerator", "accelerator", "", "Name of the simulated accelerator."),
    Metric("memory", "memory", "", "Name of the accelerator's DRAM."),
    Metric("engine", "engine", "", "The engine that timed the run: event (simulated) or analytic (closed form)."),
    Metric("batch", "batch", "samples", "Mini-batch of one step, over all cores."),
    Metric("step_cycles", "cycles", "cycles",
           "Core clock cycles of one training step.",
           "sum(layers.cycles)"),
    Metric("step_seconds", "step time", "s", "Time of one training step.", "step_cycles / chip.clock"),
    Metric("samples_per_second", "throughput", "samples/s", "Training throughput.", "batch / step_seconds"),
    *_total_metrics(*_MACS),
    Metric("group_count", "groups", "", "Number of layer groups of the plan."),
    Metric("array_utilization", "array utilization", "share",
           "Multiply-accumulates that the arrays do (macs without skipped_macs and vector_macs) over those that they "
           "could have done in the cycles of the step.",
           "(macs - skipped_macs - vector_macs) / (step_cycles * array.rows * array.columns * chip.cores)"),
    Metric("array_occupancy", "array occupancy", "share",
           "Share of the step in which the array is busy: it loads weights, streams operands or drains results; "
           "mean over cores."),
)  # fmt: skip

_DRAM = (
    Metric("dram_bytes.total", "DRAM traffic", "bytes",
           "All bytes to and from DRAM in a step, all cores.",
           "dram_bytes.read + dram_bytes.write"),
    Metric("dram_bytes.read", "read", "bytes", "Bytes read from DRAM.", "sum(layers.dram_read_bytes)"),
    Metric("dram_bytes.write", "write", "bytes", "Bytes written to DRAM.", "sum(layers.dram_write_bytes)"),
    Metric("dram_bytes.weight", "weights", "bytes",
           "DRAM bytes of fp16 weights, which forward and backward read.",
           "sum(layers.dram_weight_bytes)"),
    Metric("dram_bytes.activation", "activations", "bytes",
           "DRAM bytes of activations: between layers and saved for backward.",
           "sum(layers.dram_activation_bytes)"),
    Metric("dram_bytes.gradient", "gradients", "bytes", "DRAM bytes of gradients of activations.",
           "sum(layers.dram_gradient_bytes)"),
    Metric("dram_bytes.weight_gradient", "weight gradients", "bytes",
           "DRAM bytes of fp32 weight gradients in backward: written once; where the partial sum is not held on chip, "
           "every iteration writes it, and every iteration but the first reads it.",
           "sum(layers.dram_weight_gradient_bytes)"),
    Metric("dram_bytes.mask", "masks and indices", "bytes",
           "DRAM bytes of ReLU masks (1 bit) and pooling indices.",
           "sum(layers.dram_mask_bytes)"),
    Metric("dram_bytes.optimizer", "optimizer", "bytes",
           "DRAM bytes of the update, once per step: every core's gradients, fp32 master weights and momentum, "
           "and the new fp16 weights.",
           "sum(layers.dram_optimizer_bytes)"),
)  # fmt: skip

_CAPACITY = (
    Metric("dram_capacity_bytes.total", "DRAM capacity", "bytes",
           "Bytes of DRAM that a step needs, all cores: the most that are taken at a time, where the space of tensors "
           "that are read no more is used again without loss. What a memory has is memory.capacity.",
           "dram_capacity_bytes.weight + dram_capacity_bytes.activation + dram_capacity_bytes.gradient + "
           "dram_capacity_bytes.weight_gradient + dram_capacity_bytes.mask + dram_capacity_bytes.optimizer"),
    Metric("dram_capacity_bytes.weight", "weights in DRAM", "bytes",
           "Weights in fp16, one copy for all cores, through the whole step."),
    Metric("dram_capacity_bytes.activation", "activations in DRAM", "bytes",
           "Inputs of the network, through the whole step, and activations that are in DRAM when most is taken, each "
           "from its first store to its last load."),
    Metric("dram_capacity_bytes.gradient", "gradients in DRAM", "bytes",
           "Gradients of activations that are in DRAM when most is taken."),
    Metric("dram_capacity_bytes.weight_gradient", "weight gradients in DRAM", "bytes",
           "Weight gradients in fp32 that are in DRAM when most is taken, a copy for each core."),
    Metric("dram_capacity_bytes.mask", "masks and indices in DRAM", "bytes",
           "ReLU masks and pooling indices that are in DRAM when most is taken."),
    Metric("dram_capacity_bytes.optimizer", "optimizer in DRAM", "bytes",
           "Master weights and momentum in fp32, one copy for all cores, through the whole step."),
)  # fmt: skip

_BUFFER_AND_STALLS = (
    *_total_metrics(*_BUFFER),
    Metric("global_buffer_bytes.peak", "global buffer peak", "bytes",
           "Largest occupancy of any core's global buffer at any time of the step; at most "
           "core.global_buffer."),
    Metric("stall_cycles.dram", "waits for DRAM", "cycles",
           "Cycles in which the array finally waits for data on their way to or from DRAM, mean over cores. An array "
           "that waits for a queue which waits itself is counted for what the last of them waits for."),
    Metric("stall_cycles.vector", "waits for vector unit", "cycles",
           "Cycles in which the array finally waits for work of the vector unit, mean over cores."),
    Metric("stall_cycles.array", "waits for its own skew", "cycles",
           "Cycles in which the array fills, or drains what the vector unit needs before the array can go on; mean "
           "over cores."),
    Metric("stall_cycles.space", "waits for buffer space", "cycles",
           "Cycles in which the array finally waits for loads that have no room in the global buffer, though nothing "
           "that takes the room is on its way to DRAM; mean over cores."),
    Metric("stall_cycles.core", "waits for another core", "cycles",
           "Cycles in which the array finally waits for gradients of another core, or for the end of its step; mean "
           "over cores; 0 in the analytic engine, where all cores do the same."),
    Metric("stall_cycles.update", "waits for the update", "cycles",
           "Cycles after the last work of the array in which weights are updated, mean over cores. With the other "
           "waits and the cycles in which the array works they add up to step_cycles."),
    Metric("bound_cycles.array", "bound of the array", "cycles",
           "Cycles in which the array works, mean over cores: a lower bound of cycles for any order."),
    Metric("bound_cycles.vector", "bound of the vector unit", "cycles",
           "Cycles in which the vector unit works, mean over cores: a lower bound of cycles."),
    Metric("bound_cycles.dram", "bound of DRAM", "cycles",
           "Cycles that all DRAM traffic takes at the bandwidth of the pins: a lower bound of cycles."),
    Metric("bound_cycles.critical_path", "bound of the critical path", "cycles",
           "Cycles of the longest chain of operations that need each other's results: a lower bound of cycles."),
)  # fmt: skip

_ENERGY = (
    Metric("energy_joules.total", "energy", "J",
           "Energy of one training step, all cores and DRAM.",
           "energy_joules.array + energy_joules.local_buffer + energy_joules.global_buffer + "
           "energy_joules.vector + energy_joules.dram + energy_joules.interconnect + "
           "energy_joules.static"),
    Metric("energy_joules.array", "arrays", "J",
           "Multiply-accumulates that are neither gated nor skipped, times energy.mac, plus bytes shifted through PE "
           "registers, times energy.register."),
    Metric("energy_joules.local_buffer", "local buffers", "J",
           "Bytes read from and written to the local buffers A, B and C, times energy.local_buffer."),
    Metric("energy_joules.global_buffer", "global buffers", "J",
           "Bytes read from and written to the global buffers, times energy.global_buffer.",
           "(global_buffer_bytes.read + global_buffer_bytes.write) * energy.global_buffer"),
    Metric("energy_joules.vector", "vector units", "J",
           "Lane-operations of the vector units, times energy.vector_operation.",
           "sum(layers.vector_operations) * energy.vector_operation"),
    Metric("energy_joules.dram", "DRAM", "J",
           "Bits to and from DRAM times memory.energy, plus memory.background over the time of the step.",
           "dram_bytes.total * 8 * memory.energy + memory.background * step_seconds"),
    Metric("energy_joules.interconnect", "interconnect", "J",
           "Bits of weight gradients that pass from core to core, times energy.interconnect."),
    Metric("energy_joules.static", "leakage", "J",
           "Static power of cores and global buffers over the step.",
           "chip.cores * (energy.static_per_core + energy.static_per_global_buffer_byte * "
           "core.global_buffer) * step_seconds"),
    Metric("average_watts", "average power", "W",
           "Energy of a step over its time, all cores and DRAM.",
           "energy_joules.total / step_seconds"),
    Metric("energy_delay_joule_seconds", "energy-delay product", "J s",
           "Energy of a step times its time.",
           "energy_joules.total * step_seconds"),
    Metric("samples_per_joule", "samples a joule", "samples/J",
           "Samples of a step over its energy.",
           "batch / energy_joules.total"),
)  # fmt: skip

_AREA = (
    Metric("area_mm2.total", "area", "mm2",
           "Area of the parts of the chip that are modelled, all cores (docs/energy.md).",
           "area_mm2.array + area_mm2.local_buffer + area_mm2.global_buffer + area_mm2.vector + "
           "area_mm2.memory_interface + area_mm2.interconnect"),
    Metric("area_mm2.array", "arrays", "mm2",
           "Processing elements: an fp16 multiplier, an fp32 adder, and registers of an operand, the weights (two "
           "with array.weight_double_buffering) and a partial sum."),
    Metric("area_mm2.local_buffer", "local buffers", "mm2",
           "Both halves of the local buffers A, B and C; C has a read and a write port."),
    Metric("area_mm2.global_buffer", "global buffers", "mm2",
           "Cells of the global buffers, and the buses of their ports over half of a buffer's side."),
    Metric("area_mm2.vector", "vector units", "mm2",
           "Lanes: an fp32 multiplier and adder, and registers of three operands and a result."),
    Metric("area_mm2.memory_interface", "memory interface", "mm2",
           "The physical interfaces of DRAM's channels on the chip.",
           "memory.channels * memory.channel_interface"),
    Metric("area_mm2.interconnect", "interconnect", "mm2",
           "Buses between the cores, each as wide as a core's port to memory."),
)  # fmt: skip

_ENERGY_COMPONENTS = tuple(each for each in _ENERGY[1:] if each.name.startswith("energy_joules."))

_GROUPS = (
    Metric("groups.layers", "layers", "", "Layers of the group, in order."),
    Metric("groups.sub_batch", "sub-batch", "samples",
           "Samples that pass through the layers of the group together, on one core."),
    Metric("groups.iterations", "iterations", "",
           "Number of sub-batches into which the samples of a core are cut; the last may be smaller."),
)  # fmt: skip

_PACKED = (
    Metric("packed.tensor", "tensor", "", "A tensor that is compressed in DRAM (sparsity.compression)."),
    Metric("packed.traffic_class", "class", "", "The class of its DRAM traffic, as in dram_bytes: weight, activation, "
           "..."),
    Metric("packed.encoding", "encoding", "", "The encoding that makes it smallest: bitmask, run_length or csr."),
    Metric("packed.dense_bytes", "dense", "bytes", "Its bytes on chip: per sample, or of all weights of a layer."),
    Metric("packed.packed_bytes", "packed", "bytes",
           "Its bytes in DRAM: counted if the sparsity profile has a mask of it, else expected from its density."),
)  # fmt: skip

_LAYERS = (
    Metric("layers.name", "layer", "", "Name of the layer."),
    Metric("layers.kind", "kind", "", "What the layer computes."),
    Metric("layers.fused", "fused", "", "Elementwise layers that run in the same pass."),
    Metric("layers.phase", "phase", "", "Phase of the row: forward, data_gradient, weight_gradient or update."),
    Metric("layers.mapping", "mapping", "",
           "How the products of this row run: plain (on the array, one after the other); for the data gradient of an "
           "unpadded convolution perhaps trimmed (on the array, where waves leave out the positions that none of their "
           "taps reaches); for a grouped or depthwise convolution by_group (on the array, group by group), packed (on "
           "the array, several groups side by side) or vector (taps as lane operations of the vector unit).  Of those "
           "that the accelerator's section mapping allows, the one is taken that keeps its busiest unit for the fewest "
           "cycles.  Joined by + where sub-batches differ; empty without products."),
    Metric("layers.cycles", "cycles", "cycles",
           "Cycles by which the completion of this layer and phase moved the end of the step, so that overlapped "
           "work counts once."),
    Metric("layers.array_busy_cycles", "array busy", "cycles",
           "Cycles in which the array works for this row, mean over cores."),
    Metric("layers.vector_busy_cycles", "vector busy", "cycles",
           "Cycles in which the vector unit works for this row, mean over cores."),
    *_row_metrics(*_MACS, "vector_operations"),
    Metric("layers.dram_read_bytes", "DRAM read", "bytes",
           "Bytes that this row reads from DRAM, all cores."),
    Metric("layers.dram_write_bytes", "DRAM write", "bytes",
           "Bytes that this row writes to DRAM, all cores."),
    *(Metric(f"layers.dram_{metric.name.removeprefix('dram_bytes.')}_bytes", f"DRAM {metric.title}", "bytes",
             f"The part of {metric.name} that this row moves.")
      for metric in _DRAM[3:]),
    *_row_metrics(*_BUFFER),
    Metric("layers.energy_joules", "energy", "J",
           "Energy of this row: its counted events, and static power over its cycles."),
    *(Metric(f"layers.energy_{metric.name.removeprefix('energy_joules.')}_joules", f"energy of {metric.title}", "J",
             f"The part of {metric.name} that is this row's.")
      for metric in _ENERGY_COMPONENTS),
)  # fmt: skip

_MANIFEST = (
    Metric("manifest.version", "version", "", "Version of wavecore that made the run."),
    Metric("manifest.hashes", "hashes", "",
           "SHA-256 of the workload, of the plan and of the accelerator."),
    Metric("manifest.sources", "sources", "", "Where every value of the accelerator comes from."),
    Metric("manifest.machine", "machine", "", "The accelerator: every field, in its base unit."),
    Metric("manifest.settings", "settings", "", "The options that the run was given."),
    Metric("manifest.events", "events", "", "Number of events that the engine processed."),
    Metric("manifest.seconds_to_simulate", "simulated in", "s",
           "Wall-clock time of the simulation itself; the only figure that differs between equal runs."),
)  # fmt: skip

_COMPARE = (
    Metric("compare.speedup", "speed-up", "ratio",
           "Step time of the first schedule over that of this one; above 1 means that this one is faster."),
    Metric("compare.dram_ratio", "of first", "ratio", "DRAM traffic over that of the first schedule."),
    Metric("compare.energy_ratio", "of first", "ratio", "Energy over that of the first schedule."),
)  # fmt: skip

_COMPONENT_TITLES = {metric.name.removeprefix("energy_joules."): metric.title for metric in _ENERGY_COMPONENTS}

_ENERGY_REPORT = (
    Metric("energy.joules_per_step", "energy per step", "J",
           "Energy of one training step, all cores and DRAM: energy_joules.total of the run.",
           "sum(energy.components.joules)"),
    Metric("energy.joules_per_sample", "energy per sample", "J",
           "Energy of a step over the samples of its mini-batch.",
           "energy.joules_per_step / batch"),
    Metric("energy.joules_per_epoch", "energy per epoch", "J",
           "Energy of training on every sample of the data set once, each at the energy per sample of this step.",
           "energy.joules_per_sample * energy.epoch_samples"),
    Metric("energy.epoch_samples", "samples per epoch", "samples",
           "Samples of the data set: as given by --epoch-samples, else ImageNet's for a network with its 1000 "
           "classes, else unknown (null)."),
    Metric("energy.epoch_source", "source", "", "Where the number of samples comes from."),
    Metric("energy.average_watts", "average power", "W",
           "Energy of a step over its time, all cores and DRAM.",
           "energy.joules_per_step / step_seconds"),
    Metric("energy.energy_delay_joule_seconds", "energy-delay product", "J s",
           "Energy of a step times its time.",
           "energy.joules_per_step * step_seconds"),
    Metric("energy.components.component", "component", "", "Part of the machine, as in energy_joules."),
    Metric("energy.components.joules", "energy", "J", "Energy of the component over the step."),
    Metric("energy.components.share", "share", "share", "Its energy over that of the step."),
    Metric("energy.phases.phase", "phase", "", "Phase of the step: forward, data_gradient, weight_gradient or update."),
    Metric("energy.phases.joules", "energy", "J", "Energy of all rows of the phase."),
    Metric("energy.phases.share", "share", "share", "Its energy over that of the step."),
    Metric("energy.layers.name", "layer", "", "Name of the layer."),
    Metric("energy.layers.kind", "kind", "", "What the layer computes."),
    Metric("energy.layers.joules", "energy", "J", "Energy of all rows of the layer, over all phases."),
    Metric("energy.layers.share", "share", "share", "Its energy over that of the step."),
    *(Metric(f"energy.layers.{phase}_joules", phase, "J", "Energy of the layer in this phase.")
      for phase in ("forward", "data_gradient", "weight_gradient", "update")),
    *(Metric(f"energy.{rows}.{part}_joules", title, "J", f"Energy of the {rows[:-1]} in this component.")
      for rows in ("phases", "layers") for part, title in _COMPONENT_TITLES.items()),
    Metric("energy.constants.name", "constant", "", "A field of the accelerator that energy depends on, as in --set."),
    Metric("energy.constants.value", "value", "", "Value of the constant, in its base unit."),
    Metric("energy.constants.unit", "unit", "", "Base unit of the constant."),
    Metric("energy.constants.source", "source", "", "Where the value of the constant comes from."),
)  # fmt: skip

_PLAN = (
    Metric("plan.kept_forward", "kept forward", "",
           "Number of tensors that stay in the global buffer between layers in forward."),
    Metric("plan.kept_backward", "kept backward", "",
           "Number of tensors that stay in the global buffer between layers in backward."),
    Metric("plan.held", "held", "",
           "Number of weights and weight gradients that stay on chip over all iterations of the group."),
)  # fmt: skip

_FOOTPRINTS = (
    Metric("footprints.layer", "layer", "", "Name of the layer; footprints.csv of a run's folder has a row for each "
           "layer and direction, on one core."),
    Metric("footprints.group", "group", "", "Number of its group in the plan, from 1."),
    Metric("footprints.direction", "direction", "", "forward or backward."),
    Metric("footprints.sub_batch", "sub-batch", "samples", "The group's sub-batch: groups.sub_batch."),
    Metric("footprints.sample_bytes", "inputs and outputs", "bytes",
           "Bytes per sample that the layer reads and writes, on chip or in DRAM, in its largest operation."),
    Metric("footprints.kept_bytes", "kept", "bytes",
           "Bytes per sample that the plan keeps in the global buffer while the layer runs, for it or for other "
           "layers."),
    Metric("footprints.used_bytes", "taken", "bytes",
           "Bytes of the global buffer in use at the group's sub-batch: tensors that are kept, data staged for DRAM, "
           "and weights and weight gradients that are held; at most core.global_buffer."),
)  # fmt: skip

_GEMM = (
    Metric("gemm.m", "M", "", "Rows of the left operand and of the product."),
    Metric("gemm.k", "K", "", "Columns of the left operand, rows of the right one."),
    Metric("gemm.n", "N", "", "Columns of the right operand and of the product."),
    Metric("gemm.macs", "MACs", "MACs", "Multiply-accumulates of the product.", "gemm.m * gemm.k * gemm.n"),
    Metric("gemm.waves", "waves", "",
           "Passes of the array: each multiplies one tile of the left operand by one of the right operand."),
    Metric("gemm.output_tiles", "output tiles", "",
           "Tiles of the product, each the sum of its waves' results."),
    Metric("gemm.cycles", "cycles", "cycles",
           "From the first entry into an idle array to the last output.",
           "gemm.fill_cycles + gemm.stream_cycles + gemm.weight_gap_cycles + gemm.drain_cycles"),
    Metric("gemm.fill_cycles", "fill", "cycles",
           "Loading the first tile that stays, of weights in a forward pass, into an idle array."),
    Metric("gemm.stream_cycles", "stream", "cycles",
           "One cycle for each row or column that streams through the array in every wave."),
    Metric("gemm.weight_gap_cycles", "weight-load gap", "cycles",
           "What streaming waits between waves until the next tile that stays is loaded."),
    Metric("gemm.drain_cycles", "drain", "cycles",
           "From the entry of the last row or column that streams to the last output."),
    Metric("gemm.first_output_cycle", "first output", "cycle",
           "Cycle in which the first finished element leaves the array, counted from 0."),
    Metric("gemm.last_output_cycle", "last output", "cycle",
           "Cycle in which the last element leaves the array, counted from 0.",
           "gemm.cycles - 1"),
    Metric("gemm.utilization", "utilization", "share",
           "Multiply-accumulates of the product over those that the array could have done in these cycles.",
           "gemm.macs / (gemm.cycles * array.rows * array.columns)"),
    Metric("gemm.seconds", "time", "s", "Time of the product on one core.", "gemm.cycles / chip.clock"),
)  # fmt: skip

_SCALESIM = (
    Metric("scalesim.layer", "layer", "", "Name of the layer in the topology file."),
    Metric("scalesim.macs", "MACs", "MACs",
           "Multiply-accumulates that SCALE-Sim counts for the layer, batch 1."),
    Metric("scalesim.scalesim_cycles", "SCALE-Sim", "cycles",
           "SCALE-Sim 3.0.0's compute cycles: every fold takes the time of a fold that fills the array, and folds do "
           "not overlap."),
    Metric("scalesim.wavecore_cycles", "wavecore", "cycles",
           "The same GEMM on the accelerator's array in its own dataflow, whatever that of SCALE-Sim is."),
    Metric("scalesim.difference_cycles", "difference", "cycles",
           "SCALE-Sim's cycles minus wavecore's.",
           "scalesim.scalesim_cycles - scalesim.wavecore_cycles"),
    Metric("scalesim.explanation", "why", "", "The terms that only one of the two counts."),
)  # fmt: skip


def _by_name(metrics: Iterable[Metric]) -> Mapping[str, Metric]:
    return MappingProxyType({metric.name: metric for metric in metrics})


RUN_METRICS = _by_name(
    (*_RUN, *_DRAM, *_CAPACITY, *_BUFFER_AND_STALLS, *_ENERGY, *_AREA, *_GROUPS, *_LAYERS, *_PACKED, *_MANIFEST)
)
"""Every key of a run's JSON, by its dotted name; all items of a list share one name (``layers.cycles``)."""

METRICS = _by_name((*RUN_METRICS.values(), *_COMPARE, *_ENERGY_REPORT, *_PLAN, *_FOOTPRINTS, *_GEMM, *_SCALESIM))
"""Every metric, by name."""
