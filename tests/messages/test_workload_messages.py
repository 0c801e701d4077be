"""The whole message for each way in which a workload can be asked for wrongly."""

import math
import re

import pytest

from wavecore.errors import GraphError, InputError, NameLookupError
from wavecore.network.catalog import workload, workload_names, workload_options


@pytest.mark.parametrize(
    ("name", "options", "kind", "message"),
    [
        (
            "resnet5O",
            {},
            NameLookupError,
            "workload: there is no workload named 'resnet5O'; try: resnet50 or resnet152 or resnet34",
        ),
        (
            "resnet50",
            {"imgae": 256},
            NameLookupError,
            "workload resnet50: there is no option named 'imgae'; try: image",
        ),
        (
            "resnet50",
            {"norm": "group"},
            NameLookupError,
            "workload resnet50: there is no option named 'norm'; try: one of classes, image, width",
        ),
        (
            "vgg16",
            {"norm": "groups"},
            NameLookupError,
            "network vgg16: there is no norm named 'groups'; try: group",
        ),
        (
            "vgg16",
            {"norm": 32},
            InputError,
            "workload vgg16: norm is 32, not a text; try: norm='none'",
        ),
        (
            "resnet50",
            {"image": "256"},
            InputError,
            "workload resnet50: image is '256', not a whole number; try: image=224",
        ),
        (
            "resnet50",
            {"image": 256.0},
            InputError,
            "workload resnet50: image is 256.0, not a whole number; try: image=224",
        ),
        (
            "resnet50",
            {"classes": True},
            InputError,
            "workload resnet50: classes is True, not a whole number; try: classes=1000",
        ),
        (
            "resnet50",
            {"width": math.nan},
            InputError,
            "workload resnet50: width is nan, not a finite number; try: width=1.0",
        ),
        (
            "resnet50",
            {"width": 0},
            GraphError,
            "network resnet50: width is 0.0; try: above 0, up to 100; 1 is as published",
        ),
        (
            "resnet50",
            {"width": 1e300},
            GraphError,
            "network resnet50: width is 1e+300; try: above 0, up to 100; 1 is as published",
        ),
        (
            "resnet50",
            {"image": 16},
            GraphError,
            "network resnet50: image is 16; try: 32 to 32768",
        ),
        (
            "inception_v3",
            {"image": 10**30},
            GraphError,
            f"network inception_v3: image is {10**30}; try: 75 to 32768",
        ),
    ],
)
def test_message(name: str, options: dict[str, object], kind: type[InputError], message: str) -> None:
    with pytest.raises(InputError) as caught:
        workload(name, **options)  # type: ignore[arg-type]
    assert type(caught.value) is kind
    assert caught.value.message == message


@pytest.mark.parametrize("name", [name for name in workload_names() if "classes" in workload_options(name)])
def test_no_classes(name: str) -> None:
    with pytest.raises(GraphError, match=rf"network {name}, layer .*: out_features is 0; try: 1 or more"):
        workload(name, classes=0)


@pytest.mark.parametrize(
    ("name", "options", "layer", "what"),
    [
        ("lstm_ptb", {"vocabulary": 0}, "embedding", "vocabulary is 0; try: 1 or more"),
        ("lstm_ptb", {"hidden": 0}, "lstm1.input", "out_features is 0; try: 1 or more"),
        ("lstm_ptb", {"steps": 0}, "input", "has an empty shape 1x0x1; try: other sizes, or a larger image"),
        ("bidaf", {"hidden": 0}, "p0", "has an empty shape 0x400x1; try: other sizes, or a larger image"),
        ("bidaf", {"steps": 0}, "p0", "has an empty shape 800x0x1; try: other sizes, or a larger image"),
    ],
)
def test_nothing_to_run(name: str, options: dict[str, int], layer: str, what: str) -> None:
    with pytest.raises(GraphError) as caught:
        workload(name, **options)
    assert re.sub(r" \(\w+\.py:\d+\)", "", caught.value.message) == f"network {name}, layer {layer}: {what}"


def test_a_name_like_no_other_lists_them_all() -> None:
    with pytest.raises(NameLookupError) as caught:
        workload("zzz")
    assert caught.value.message == (
        "workload: there is no workload named 'zzz'; try: one of " + ", ".join(sorted(workload_names()))
    )
