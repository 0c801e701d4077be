"""Are the DRAM bytes of a step under `baseline` those that follow from the published shapes alone, class by class?

The networks are written down here once more, as tables of shapes, and every layer adds what it must move when each of
its tensors goes through DRAM: values and gradients have 2 bytes, a mask 1 bit, a normalization reads what it normalizes
twice in each direction.  A gradient of a value that n layers read is written n times and read as a summand n - 1 times;
an addition writes none, since its own gradient is that of each summand.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import gcd

import pytest

from wavecore.plan.model import BranchGradients, Choices
from wavecore.simulation import evaluate

CORES, SAMPLES = 2, 32
CLASSES = ("activation", "gradient", "mask", "weight", "weight_gradient", "optimizer")


@dataclass(eq=False)
class Value:
    """The output of one layer: channels of a square image; whether a ReLU is applied to it."""

    channels: int
    side: int
    relu: bool = False
    trained: bool = True
    readers: int = 0  # layers that give it a gradient
    passed_on: int = 0  # those of them that are additions

    @property
    def elements(self) -> int:
        return self.channels * self.side * self.side


Image = tuple[Value, ...]
"""Values side by side: a concatenation takes no bytes."""


def elements(image: Image) -> int:
    return sum(value.elements for value in image)


class Hand:
    """The bytes of a network by class, ``sample`` and ``core``: of one sample, and of one core whatever its samples."""

    def __init__(self, side: int) -> None:
        self.sample: Counter[str] = Counter()
        self.core: Counter[str] = Counter()
        self.optimizer = 0  # of all cores
        self.values: list[Value] = []
        self.image: Image = (Value(3, side, trained=False),)

    def _made(self, channels: int, side: int, relu: bool = False) -> Image:
        self.values.append(Value(channels, side, relu))
        return (self.values[-1],)

    def _reads(self, image: Image, passes_on: bool = False) -> None:
        for value in image:
            value.readers += 1
            value.passed_on += passes_on

    def _parameters(self, count: int, readings: int) -> None:
        self.core["weight"] += 2 * count * readings
        self.core["weight_gradient"] += 4 * count
        self.optimizer += count * (4 * CORES + 8 + 8 + 2)  # every core's gradient; master, momentum and weights

    def conv(self, image: Image, channels: int, kernel: tuple[int, int], side: int, bias: int = 0) -> Image:
        """A convolution or a linear layer: it reads its input twice, its gradient once for each of two products."""
        inputs, trained = sum(value.channels for value in image), image[0].trained
        made = self._made(channels, side)
        self.sample["activation"] += 2 * (2 * elements(image) + elements(made))
        self.sample["gradient"] += 2 * elements(made) * (1 + trained)
        self._parameters(inputs * channels * kernel[0] * kernel[1] + bias, 1 + trained)
        if trained:
            self._reads(image)
        return made

    def norm(self, image: Image, relu: bool) -> Image:
        channels, side = image[0].channels, image[0].side
        made = self._made(channels, side, relu)
        statistics = gcd(channels, 32) * 2 * 4  # mean and deviation of each group, fp32, written and read
        self.sample["activation"] += 2 * (4 * elements(image) + elements(made)) + 2 * statistics
        self.sample["gradient"] += 2 * 2 * elements(made)
        self._parameters(2 * channels, 2)
        self._reads(image)
        return made

    def unit(self, image: Image, channels: int, kernel: tuple[int, int], side: int, relu: bool = True) -> Image:
        """A convolution and its normalization, mostly with a ReLU."""
        return self.norm(self.conv(image, channels, kernel, side), relu)

    def pool(self, image: Image, side: int, index_bits: int) -> Image:
        """A pooling, which saves so many bits for each output."""
        made = self._made(sum(value.channels for value in image), side)
        self.sample["activation"] += 2 * (elements(image) + elements(made))
        self.sample["gradient"] += 2 * elements(made)
        self.sample["mask"] += 2 * -(-elements(made) * index_bits // 8)
        self._reads(image)
        return made

    def add(self, one: Image, other: Image) -> Image:
        made = self._made(one[0].channels, one[0].side, relu=True)
        self.sample["activation"] += 2 * (elements(one) + elements(other) + elements(made))
        self._reads(one, passes_on=True)
        self._reads(other, passes_on=True)
        return made

    def summed(self) -> int:
        """Bytes of the gradients that are added to others, of all samples."""
        return CORES * SAMPLES * sum(2 * value.elements * (value.readers - 1) for value in self.values)

    def finish(self, image: Image, dropout: bool) -> dict[str, int]:
        """The mean of each channel, a linear layer to 1000 classes, the loss; then the sums of all gradients."""
        pooled = self.pool(image, 1, 0)
        pooled[0].relu = dropout  # a bit for each element as well
        (scores,) = self.conv(pooled, 1000, (1, 1), 1, bias=1000)
        self.sample["activation"] += 2 * scores.elements * 3  # read; probabilities written and read
        self._reads((scores,))
        for value in self.values:
            self.sample["gradient"] += 2 * value.elements * (value.readers - value.passed_on)  # written
            self.sample["gradient"] += 2 * value.elements * (value.readers - 1)  # added
            self.sample["mask"] += 2 * -(-value.elements // 8) * value.relu
        total = {name: CORES * (SAMPLES * self.sample[name] + self.core[name]) for name in CLASSES}
        return total | {"optimizer": self.optimizer}


def resnet50() -> Hand:
    """He et al., table 1, with the stride in the 3x3 convolution."""
    hand = Hand(224)
    x = hand.pool(hand.unit(hand.image, 64, (7, 7), 112), 56, 4)
    for channels, side, blocks in ((64, 56, 3), (128, 28, 4), (256, 14, 6), (512, 7, 3)):
        for block in range(blocks):
            y = hand.unit(hand.unit(x, channels, (1, 1), x[0].side), channels, (3, 3), side)
            y = hand.unit(y, 4 * channels, (1, 1), side, relu=False)
            x = hand.add(y, x if block else hand.unit(x, 4 * channels, (1, 1), side, relu=False))
    hand.image = x
    return hand


def inception_v3() -> Hand:
    """Szegedy et al., table 1 and figures 5 to 7."""
    hand = Hand(299)

    def chain(x: Image, side: int, *units: tuple[int, int, int]) -> Image:
        for channels, rows, columns in units:
            x = hand.unit(x, channels, (rows, columns), side)
        return x

    x = hand.unit(hand.unit(hand.unit(hand.image, 32, (3, 3), 149), 32, (3, 3), 147), 64, (3, 3), 147)
    x = hand.unit(hand.unit(hand.pool(x, 73, 4), 80, (1, 1), 73), 192, (3, 3), 71)
    x = hand.pool(x, 35, 4)
    for channels in (32, 64, 64):
        x = (
            *chain(x, 35, (64, 1, 1)),
            *chain(x, 35, (48, 1, 1), (64, 5, 5)),
            *chain(x, 35, (64, 1, 1), (96, 3, 3), (96, 3, 3)),
            *chain(hand.pool(x, 35, 0), 35, (channels, 1, 1)),
        )
    double = chain(x, 35, (64, 1, 1), (96, 3, 3))
    x = (*chain(x, 17, (384, 3, 3)), *chain(double, 17, (96, 3, 3)), *hand.pool(x, 17, 4))
    for c in (128, 160, 160, 192):
        x = (
            *chain(x, 17, (192, 1, 1)),
            *chain(x, 17, (c, 1, 1), (c, 1, 7), (192, 7, 1)),
            *chain(x, 17, (c, 1, 1), (c, 7, 1), (c, 1, 7), (c, 7, 1), (192, 1, 7)),
            *chain(hand.pool(x, 17, 0), 17, (192, 1, 1)),
        )
    one, other = chain(x, 17, (192, 1, 1)), chain(x, 17, (192, 1, 1), (192, 1, 7), (192, 7, 1))
    x = (*chain(one, 8, (320, 3, 3)), *chain(other, 8, (192, 3, 3)), *hand.pool(x, 8, 4))
    for _ in range(2):
        one, other = chain(x, 8, (384, 1, 1)), chain(x, 8, (448, 1, 1), (384, 3, 3))
        forks = [chain(each, 8, (384, *kernel)) for each in (one, other) for kernel in ((1, 3), (3, 1))]
        x = (
            *chain(x, 8, (320, 1, 1)),
            *(value for fork in forks for value in fork),
            *chain(hand.pool(x, 8, 0), 8, (192, 1, 1)),
        )
    hand.image = x
    return hand


HANDS = {"resnet50": (resnet50, False), "inception_v3": (inception_v3, True)}
GIGABYTES = {"resnet50": 23.986, "inception_v3": 22.045}


@pytest.mark.parametrize("network", HANDS)
def test_every_class_of_bytes_follows_from_the_shapes(network: str) -> None:
    build, dropout = HANDS[network]
    hand = build()
    expected = hand.finish(hand.image, dropout)
    found = evaluate(network, "baseline", batch=CORES * SAMPLES).dram_bytes
    assert {name: getattr(found, name) for name in CLASSES} == expected
    assert round(sum(expected.values()) / 1e9, 3) == GIGABYTES[network]


@pytest.mark.parametrize("network", HANDS)
def test_a_sweep_reads_and_writes_each_gradient_that_is_added_once_more(network: str) -> None:
    build, dropout = HANDS[network]
    hand = build()
    expected = hand.finish(hand.image, dropout)
    choices = Choices(branch_gradients=BranchGradients.SWEEP)
    found = evaluate(network, "baseline", batch=CORES * SAMPLES, choices=choices).dram_bytes
    assert {name: getattr(found, name) for name in CLASSES} == {
        **expected,
        "gradient": expected["gradient"] + 2 * hand.summed(),
    }
