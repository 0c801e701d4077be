"""Are constants worked out as numpy does, layers named by the rule, and graphs brought into one form?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from wavecore.importers.builder import LayerDraft
from wavecore.importers.canonical import canonical_form, unused_layers
from wavecore.importers.folding import LARGEST_STATE, fold, target
from wavecore.importers.model import Activation, Fixed, OperatorNode, Origin, unknown
from wavecore.importers.naming import LONGEST_NAME, clean, dotted, layer_names
from wavecore.network.layers import Add, Concat, Conv, Dropout, Flatten, Input, LayerKind
from wavecore.network.shapes import Shape

SHAPE = Shape(4, 2, 2)


def known(value: Any) -> Fixed:
    return Fixed(np.array(value), True, Origin.COMPUTED)


def folded(operator: str, *inputs: Any, **attributes: Any) -> Any:
    """What an operator makes of constants; None if it is not worked out."""
    node = OperatorNode(operator=operator, name="n", path="", inputs=(), outputs=("y",), attributes=attributes)
    values = [value if isinstance(value, Fixed | Activation | None) else known(value) for value in inputs]
    found = fold(node, values)
    return found if found is None or not found.known else found.array.tolist()


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes", "result"),
    [
        ("Gather", ([5, 6, 7], 1), {}, 6),
        ("Gather", ([[5, 6], [7, 8]], [0]), {"axis": 1}, [[5], [7]]),
        ("Concat", ([1], [2, 3]), {"axis": 0}, [1, 2, 3]),
        ("Slice", ([1, 2, 3, 4], [1], [3]), {}, [2, 3]),
        ("Slice", ([1, 2, 3, 4], [-1], [-(1 << 62)], [0], [-2]), {}, [4, 2]),
        ("Squeeze", ([[7]], [0]), {}, [7]),
        ("Unsqueeze", (7,), {"axes": [0]}, [7]),
        ("Reshape", ([1, 2, 3, 4], [2, -1]), {}, [[1, 2], [3, 4]]),
        ("Expand", ([1], [3]), {}, [1, 1, 1]),
        ("Range", (1, 7, 2), {}, [1, 3, 5]),
        ("ConstantOfShape", ([2],), {}, [0, 0]),
        ("ConstantOfShape", ([2],), {"value": known([7])}, [7, 7]),
        ("Add", ([1, 2], 1), {}, [2, 3]),
        ("Div", (7, 2), {}, 3),
        ("Div", (7.0, 2), {}, 3.5),
        ("Transpose", ([[1, 2]],), {}, [[1], [2]]),
        ("CastLike", (7, Activation(0, (1, 2))), {}, 7),
        ("Shape", (Activation(0, (1, 4, 2, 2)),), {}, [1, 4, 2, 2]),
        ("Shape", (unknown((3, 5)),), {"start": 1}, [5]),
        ("Size", (unknown((3, 5)),), {}, 15),
        ("Gather", (unknown((3,)), 0), {}, None),
        ("Relu", ([1.0],), {}, None),
        ("Add", (Activation(0, (1, 2)), 1), {}, None),
    ],
)
def test_constants(operator: str, inputs: tuple[Any, ...], attributes: dict[str, Any], result: Any) -> None:
    assert folded(operator, *inputs, **attributes) == result


@pytest.mark.parametrize(
    ("operator", "inputs"),
    [
        ("Expand", ([1], [1 << 40])),
        ("ConstantOfShape", ([LARGEST_STATE + 1],)),
        ("Range", (0, 1 << 60, 1)),
        ("Gather", (list(range(200)), list(range(200)))),
        ("Div", (1, 0)),
        ("Gather", ([1, 2], 5)),
        ("Slice", ([1, 2], [0], [1], [9])),
        ("Reshape", ([1, 2, 3], [2, -1])),
        ("Range", (0, 1, 0)),
    ],
)
def test_constants_that_make_no_sense_or_are_too_large(operator: str, inputs: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"fit|fill|constant"):
        folded(operator, *inputs)


def test_a_view_of_a_weight_is_a_weight() -> None:
    seen = folded("Transpose", unknown((3, 5)), perm=[1, 0])
    assert seen.dims == (5, 3) and not seen.known and seen.origin is Origin.STORED


@pytest.mark.parametrize(
    ("dims", "wanted", "allow_zero", "result"),
    [((2, 6), (0, -1), False, (2, 6)), ((2, 6), (-1,), False, (12,)), ((2, 0), (0, 5), True, (0, 5))],
)
def test_reshape_targets(dims: Any, wanted: Any, allow_zero: bool, result: Any) -> None:
    assert target(dims, wanted, allow_zero) == result


def test_names() -> None:
    paths = ["conv1", "relu", "relu", "block", "block.conv", "block", "", "", "input", "relu_1"]
    kinds = ["conv", "relu", "relu", "add", "conv", "relu", "concat", "concat", "conv", "relu"]
    assert layer_names(zip(paths, kinds, strict=True)) == [
        "conv1", "relu", "relu_1", "block.add", "block.conv", "block.relu", "concat", "concat_1", "input_1", "relu_1_1",
    ]  # fmt: skip


def test_no_name_is_the_beginning_of_anothers_tensor() -> None:
    """``a.mask`` is a tensor of layer ``a``, so no other layer is called that."""
    assert layer_names([("a", "conv"), ("a.mask", "conv")]) == ["a.conv", "a.mask"]


def test_names_are_clean_and_short() -> None:
    assert clean("\x1b[31mred\n") == "_31mred_"
    assert len(clean("x" * 1000)) == LONGEST_NAME
    assert dotted("/features/features.1/conv/conv.0/conv.0.0") == "features.1.conv.0.0"


def drafts(*layers: tuple[LayerKind, tuple[int, ...]]) -> list[LayerDraft]:
    """Layers behind an input."""
    return [LayerDraft(Input(SHAPE), (), SHAPE, "input", "")] + [
        LayerDraft(kind, inputs, SHAPE, f"layer{index}", "") for index, (kind, inputs) in enumerate(layers, start=1)
    ]


def test_concatenations_are_joined() -> None:
    found = drafts((Conv(4), (0,)), (Concat(), (0, 1)), (Concat(), (1, 2)), (Concat(), (3, 2)))
    tidied = canonical_form(found, [4])
    assert [draft.inputs for draft in tidied[3:]] == [(1, 2), (1, 2, 2)]  # 2 is read twice, so it stays
    assert unused_layers(tidied, [4]) == {3}


def test_dropouts_go_behind_a_flatten() -> None:
    found = drafts((Dropout(0.1), (0,)), (Dropout(0.2), (1,)), (Flatten(), (2,)))
    tidied = canonical_form(found, [3])
    assert [draft.kind for draft in tidied[1:]] == [Flatten(), Dropout(0.1), Dropout(0.2)]
    assert [draft.path for draft in tidied[1:]] == ["layer3", "layer1", "layer2"]
    assert [draft.inputs for draft in tidied[1:]] == [(0,), (1,), (2,)]


def test_a_dropout_that_is_read_twice_stays() -> None:
    found = drafts((Dropout(0.1), (0,)), (Flatten(), (1,)), (Conv(4), (1,)))
    assert [draft.kind for draft in canonical_form(found, [2, 3])[1:]] == [Dropout(0.1), Flatten(), Conv(4)]


@pytest.mark.parametrize("inputs", [(1, 2), (2, 1)])
def test_sums_read_what_is_read_elsewhere_last(inputs: tuple[int, ...]) -> None:
    shared = drafts((Conv(4), (0,)), (Conv(4), (1,)), (Add(), inputs))
    own = drafts((Conv(4), (0,)), (Conv(4), (0,)), (Add(), inputs))
    assert canonical_form(shared, [3])[3].inputs == (2, 1)
    assert canonical_form(own, [3])[3].inputs == (1, 2)
