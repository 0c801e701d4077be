"""Words of the field and labels of tables, and the metrics that they mean: what ``wavecore explain`` looks up."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from wavecore.errors import NameLookupError, nearest
from wavecore.results.metrics import METRICS, Metric

_FIELD = (
    Metric("achieved bandwidth", "achieved bandwidth", "bytes/s",
           "DRAM bytes of a step over its time, all cores; its share of the memory's peak says how much a step waits "
           "for DRAM at most.",
           "dram_bytes.total / step_seconds"),
    Metric("arithmetic intensity", "arithmetic intensity", "MACs/B",
           "Multiply-accumulates over DRAM bytes, of a step, a layer or a phase: the horizontal axis of the roofline.",
           "macs / dram_bytes.total"),
    Metric("MFU", "MFU", "share",
           "Model FLOPs utilization: the operations that the network needs over those that the machine could do in the "
           "time of the step. It is array_utilization where no tile is skipped: a multiply-accumulate is two "
           "operations in both.",
           "macs / (step_cycles * array.rows * array.columns * chip.cores)"),
    Metric("roofline", "roofline", "",
           "The picture of wavecore report in which each layer stands at its arithmetic intensity and its throughput, "
           "below two limits: the arrays' peak, and the memory's bandwidth times the intensity."),
    Metric("Pareto front", "Pareto front", "",
           "The points of a sweep than which no other one is at least as good in every objective and better in one."),
)  # fmt: skip

_MEANINGS: Mapping[str, tuple[str, ...]] = {
    "utilization": ("array_utilization", "gemm.utilization"),
    "power": ("average_watts", "energy.average_watts"),
    "edp": ("energy_delay_joule_seconds", "energy.energy_delay_joule_seconds"),
    "capacity": ("dram_capacity_bytes.total",),
    "bandwidth": ("achieved bandwidth",),
    "pareto": ("Pareto front",),
    "latency": ("step_seconds",),
    "flops": ("macs",),
    "speedup": ("compare.speedup",),
}

WORDS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _FIELD})
"""Terms of the field that no output has as a key."""


def explain(name: str) -> tuple[Metric, ...]:
    """Return the metric called ``name``, those of a section (``dram_bytes``), or those that the word or label means.

    Capitals, dashes and underscores do not matter, except in the names of metrics.  Raises `NameLookupError`, which
    offers the nearest names, if there are none.
    """
    if name in METRICS:
        return (METRICS[name],)
    section = tuple(metric for key, metric in METRICS.items() if key.startswith(f"{name}."))
    word = _folded(name)
    meant = tuple((METRICS.get(each) or WORDS[each]) for each in _MEANINGS.get(word, ()))
    field = tuple(metric for key, metric in WORDS.items() if _folded(key) == word)
    last = tuple(metric for key, metric in METRICS.items() if _folded(key.rpartition(".")[2]) == word)
    titled = tuple(metric for metric in METRICS.values() if _folded(metric.title) == word)
    found = section or meant or field or tuple(dict.fromkeys((*last, *titled)))
    if not found:
        labels = (metric.title for metric in (*METRICS.values(), *_FIELD))
        known = {part for key in (*METRICS, *labels, *_MEANINGS) for part in (key, *key.split("."))}
        hint = " or ".join(nearest(name, sorted(known))) or "wavecore list metrics"
        raise NameLookupError("explain", f"there is no metric named {name!r}", hint)
    return found


def _folded(text: str) -> str:
    return " ".join(text.lower().replace("-", " ").replace("_", " ").split())
