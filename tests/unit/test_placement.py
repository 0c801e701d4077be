"""Is every tensor where its residency says, and in DRAM exactly when someone reads it there?"""

from __future__ import annotations

from builders import chain, inception, residual

from wavecore.network.catalog import workload
from wavecore.network.graph import LayerGraph
from wavecore.plan.model import Group, Residency
from wavecore.plan.placement import Direction, Place, PlacedOperation, operations_of, place, place_group
from wavecore.training.unroll import training_graph

KEPT, NEXT = Residency.KEPT, Residency.NEXT
FORWARD, BACKWARD = Direction.FORWARD, Direction.BACKWARD


def placed(
    network: LayerGraph,
    direction: Direction,
    residency: dict[str, Residency],
    units: tuple[int, int] | None = None,
    passes: int = 2,
) -> dict[str, PlacedOperation]:
    training = training_graph(network)
    first, last = units or (0, len(training.units) - 1)
    return {op.operation.name: op for op in place(training, first, last, direction, residency, passes)}


def places(op: PlacedOperation) -> dict[str, Place]:
    return {read.tensor.name: read.place for read in op.reads}


def written(op: PlacedOperation) -> dict[str, tuple[bool, bool]]:
    """(kept, stored) of everything that an operation writes."""
    return {write.tensor.name: (write.kept, write.stored) for write in op.writes}


def test_the_order_of_the_directions() -> None:
    training = training_graph(chain())
    names = {way: [op.name for _, op in operations_of(training, 0, 2, way)] for way in Direction}
    assert names == {
        "forward": ["one.forward", "two.forward", "loss.forward"],
        "backward": ["loss.data_gradient", "two.weight_gradient", "two.data_gradient", "one.weight_gradient"],
        "update": ["one.update", "two.update"],
    }


def test_without_residency_everything_goes_through_dram() -> None:
    for way in (FORWARD, BACKWARD):
        for op in placed(residual(), way, {}).values():
            assert set(places(op).values()) == {Place.STREAMED}
            assert set(written(op).values()) == {(False, True)}
            assert (op.live_bytes, op.frees) == (0, ())


def test_next_lasts_until_the_following_unit_is_done() -> None:
    ops = placed(residual(), FORWARD, {"stem": NEXT, "b": NEXT, "sum": NEXT})
    assert written(ops["stem.forward"]) == {"stem": (True, True)}  # a reads it on chip, the sum and backward do not
    assert places(ops["a.forward"])["stem"] is Place.RESIDENT
    assert ops["a.forward"].frees == ("stem",)
    assert places(ops["sum.forward"]) == {"b": Place.RESIDENT, "stem": Place.STREAMED}
    assert written(ops["b.forward"]) == {"b": (True, False)}  # nobody saves it


def test_next_lasts_from_unit_to_unit_and_is_in_dram_for_the_later_ones() -> None:
    ops = placed(inception(), FORWARD, {"stem": NEXT}, units=(0, 3))
    assert [places(ops[f"{name}.forward"])["stem"] for name in "abc"] == [Place.RESIDENT] * 3
    assert [ops[f"{name}.forward"].frees for name in "abc"] == [(), (), ("stem",)]
    assert written(ops["stem.forward"]) == {"stem": (True, True)}


def test_kept_lasts_until_the_last_branch() -> None:
    ops = placed(residual(), FORWARD, {"stem": KEPT, "a": NEXT, "b": NEXT, "sum": NEXT})
    assert places(ops["sum.forward"]) == {"b": Place.RESIDENT, "stem": Place.RESIDENT}
    assert set(ops["sum.forward"].frees) == {"stem", "b"}
    image = 4 * 8 * 8 * 2
    live = {name: op.live_bytes // image for name, op in ops.items() if op.live_bytes % image == 0}
    # stem; stem and a; stem, a and b; stem and b, which the sum overwrites; the sum; nothing
    assert list(live.values()) == [1, 2, 3, 2, 1, 0]


def test_a_sum_takes_over_the_space_of_what_dies_in_it() -> None:
    ops = placed(residual(), FORWARD, {"b": NEXT, "sum": NEXT})
    (write,) = ops["sum.forward"].writes
    assert (write.kept, write.overwrites) == (True, "b")
    ops = placed(residual(), FORWARD, {"sum": NEXT})
    assert ops["sum.forward"].writes[0].overwrites is None  # b came from DRAM


def test_the_first_reader_of_a_groups_input_loads_it_for_the_others() -> None:
    ops = placed(inception(), FORWARD, {"stem": KEPT}, units=(1, 3))
    assert [places(ops[f"{name}.forward"])["stem"] for name in "abc"] == [
        Place.LOADED,
        Place.RESIDENT,
        Place.RESIDENT,
    ]
    assert [ops[f"{name}.forward"].frees for name in "abc"] == [(), (), ("stem",)]
    assert all(op.live_bytes == 512 for op in ops.values())


def test_what_has_one_reader_in_a_group_is_streamed_whatever_its_residency() -> None:
    ops = placed(chain(), FORWARD, {"input": KEPT, "one": KEPT}, units=(1, 1))
    assert places(ops["two.forward"])["one"] is Place.STREAMED
    assert ops["two.forward"].live_bytes == 0


def test_results_are_stored_for_later_groups_and_for_backward_only() -> None:
    kept = dict.fromkeys(("one", "two"), KEPT)
    ops = placed(chain(), FORWARD, kept)
    assert written(ops["one.forward"]) == {"one": (True, True), "one.mask": (False, True)}  # saved
    assert written(ops["two.forward"]) == {"two": (True, False)}  # read here by the loss alone
    ops = placed(chain(), FORWARD, kept, units=(0, 1))
    assert written(ops["two.forward"]) == {"two": (False, True)}  # the loss is in the next group


def test_gradients_are_stored_for_groups_that_run_later() -> None:
    kept = {"one.gradient": KEPT, "two.gradient": KEPT}
    ops = placed(chain(), BACKWARD, kept)
    assert written(ops["two.data_gradient"]) == {"one.gradient": (True, False)}
    assert written(ops["two.weight_gradient"]) == {"two.weight_gradient": (False, True)}
    ops = placed(chain(), BACKWARD, kept, units=(1, 2))
    assert written(ops["two.data_gradient"]) == {"one.gradient": (False, True)}


def test_held_gradients_are_kept_and_stored_once() -> None:
    training = training_graph(chain())
    group = Group(tuple(unit.name for unit in training.units), 1, held=frozenset({"two.weight_gradient"}))
    ops = {op.operation.name: op for op in place_group(training, group, BACKWARD, 2)}
    assert written(ops["two.weight_gradient"]) == {"two.weight_gradient": (True, True)}


def test_what_is_placed_alike_is_one_object() -> None:
    """So that commands made for one group serve all others in which an operation finds the same."""
    training = training_graph(residual())
    last = len(training.units) - 1
    whole, part = (place(training, 0, end, FORWARD, {}) for end in (last, last - 1))
    assert all(one is other for one, other in zip(whole, part, strict=False))


def test_normalization_passes_count_only_what_streams() -> None:
    network = workload("resnet18", image=32, width=0.25)
    norm = next(layer.name for layer in network if layer.kind.kind == "norm")
    source = network.by_name[norm].inputs[0]
    for passes in (1, 2):
        read = placed(network, FORWARD, {}, passes=passes)[f"{norm}.forward"].reads[0]
        assert (read.tensor.name, read.place, read.passes) == (source, Place.STREAMED, passes)
    kept = placed(network, FORWARD, {source: KEPT})[f"{norm}.forward"].reads[0]
    assert (kept.place, kept.passes) == (Place.RESIDENT, 1)
