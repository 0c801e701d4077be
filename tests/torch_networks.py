"""Published networks as PyTorch modules, the four of images written from the papers with torchvision's module names.

``from torch_networks import MODULES``: the name of the built-in workload -> (the module's class, side of its image).
`LanguageModel` is ``lstm_ptb``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != 4 * channels:
            projection = nn.Conv2d(inputs, 4 * channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(4 * channels))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)  # type: ignore[no-any-return]


class ResNet50(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for stage, (depth, channels) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True), start=1):
            blocks = []
            for index in range(depth):
                blocks.append(Bottleneck(inputs, channels, 2 if stage > 1 and not index else 1))
                inputs = 4 * channels
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(inputs, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))  # type: ignore[no-any-return]


class VGG16(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for depth, channels in zip((2, 2, 3, 3, 3), (64, 128, 256, 512, 512), strict=True):
            for _ in range(depth):
                layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = channels
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096), nn.ReLU(True), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(True), nn.Dropout(),
            nn.Linear(4096, 1000),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.avgpool(self.features(x))
        return self.classifier(x.view(x.size(0), -1))  # type: ignore[no-any-return]


class BasicConv2d(nn.Module):
    def __init__(self, inputs: int, channels: int, kernel: int | tuple[int, int], **options: object) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, kernel, bias=False, **options)  # type: ignore[arg-type]
        self.bn = nn.BatchNorm2d(channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)), inplace=True)


class Towers(nn.Module):
    """Branches by name; each is a chain of convolutions, which may begin with a pooling or end in a fork."""

    def __init__(self, inputs: int, branches: dict[str, list[tuple[object, ...]]]) -> None:
        super().__init__()
        self.plans: list[list[object]] = []
        for branch in branches.values():
            plan: list[object] = []
            channels = inputs
            for step in branch:
                plan.append(step[0])
                if step[0] in ("max", "average"):
                    continue
                names = step[0] if isinstance(step[0], tuple) else (step[0],)
                for name, spec in zip(names, step[1:], strict=True):
                    out, kernel, *rest = spec  # type: ignore[misc]
                    options = rest[0] if rest else {"padding": _half(kernel)}
                    self.add_module(name, BasicConv2d(channels, out, kernel, **options))
                channels = out
            self.plans.append(plan)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._run(plan, x) for plan in self.plans], 1)

    def _run(self, plan: list[object], x: Tensor) -> Tensor:
        for step in plan:
            if step == "max":
                x = functional.max_pool2d(x, kernel_size=3, stride=2)
            elif step == "average":
                x = functional.avg_pool2d(x, kernel_size=3, stride=1, padding=1)
            elif isinstance(step, tuple):
                x = torch.cat([getattr(self, name)(x) for name in step], 1)
            else:
                x = getattr(self, str(step))(x)
        return x


def _half(kernel: int | tuple[int, int]) -> int | tuple[int, int]:
    return kernel // 2 if isinstance(kernel, int) else (kernel[0] // 2, kernel[1] // 2)


HALVE = {"stride": 2}


def _block_a(inputs: int, pool: int) -> Towers:
    return Towers(inputs, {
        "1": [("branch1x1", (64, 1))],
        "5": [("branch5x5_1", (48, 1)), ("branch5x5_2", (64, 5))],
        "3": [("branch3x3dbl_1", (64, 1)), ("branch3x3dbl_2", (96, 3)), ("branch3x3dbl_3", (96, 3))],
        "p": [("average",), ("branch_pool", (pool, 1))],
    })  # fmt: skip


def _block_b(inputs: int) -> Towers:
    return Towers(inputs, {
        "3": [("branch3x3", (384, 3, HALVE))],
        "d": [("branch3x3dbl_1", (64, 1)), ("branch3x3dbl_2", (96, 3)), ("branch3x3dbl_3", (96, 3, HALVE))],
        "p": [("max",)],
    })  # fmt: skip


def _block_c(c: int) -> Towers:
    return Towers(768, {
        "1": [("branch1x1", (192, 1))],
        "7": [("branch7x7_1", (c, 1)), ("branch7x7_2", (c, (1, 7))), ("branch7x7_3", (192, (7, 1)))],
        "d": [
            ("branch7x7dbl_1", (c, 1)), ("branch7x7dbl_2", (c, (7, 1))), ("branch7x7dbl_3", (c, (1, 7))),
            ("branch7x7dbl_4", (c, (7, 1))), ("branch7x7dbl_5", (192, (1, 7))),
        ],
        "p": [("average",), ("branch_pool", (192, 1))],
    })  # fmt: skip


def _block_d() -> Towers:
    return Towers(768, {
        "3": [("branch3x3_1", (192, 1)), ("branch3x3_2", (320, 3, HALVE))],
        "7": [
            ("branch7x7x3_1", (192, 1)), ("branch7x7x3_2", (192, (1, 7))), ("branch7x7x3_3", (192, (7, 1))),
            ("branch7x7x3_4", (192, 3, HALVE)),
        ],
        "p": [("max",)],
    })  # fmt: skip


def _block_e(inputs: int) -> Towers:
    fork = ((384, (1, 3)), (384, (3, 1)))
    return Towers(inputs, {
        "1": [("branch1x1", (320, 1))],
        "3": [("branch3x3_1", (384, 1)), (("branch3x3_2a", "branch3x3_2b"), *fork)],
        "d": [
            ("branch3x3dbl_1", (448, 1)), ("branch3x3dbl_2", (384, 3)),
            (("branch3x3dbl_3a", "branch3x3dbl_3b"), *fork),
        ],
        "p": [("average",), ("branch_pool", (192, 1))],
    })  # fmt: skip


class InceptionV3(nn.Module):
    """Without the auxiliary head; like torchvision's, it drops out before it flattens."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = BasicConv2d(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = BasicConv2d(32, 32, 3)
        self.Conv2d_2b_3x3 = BasicConv2d(32, 64, 3, padding=1)
        self.maxpool1 = nn.MaxPool2d(3, 2)
        self.Conv2d_3b_1x1 = BasicConv2d(64, 80, 1)
        self.Conv2d_4a_3x3 = BasicConv2d(80, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, 2)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _block_a(192, 32), _block_a(256, 64), _block_a(288, 64)
        self.Mixed_6a = _block_b(288)
        self.Mixed_6b, self.Mixed_6c = _block_c(128), _block_c(160)
        self.Mixed_6d, self.Mixed_6e = _block_c(160), _block_c(192)
        self.Mixed_7a = _block_d()
        self.Mixed_7b, self.Mixed_7c = _block_e(1280), _block_e(2048)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(2048, 1000)

    def forward(self, x: Tensor) -> Tensor:
        *trunk, _, _, _ = self.children()
        for child in trunk:
            x = child(x)
        return self.fc(torch.flatten(self.dropout(self.avgpool(x)), 1))  # type: ignore[no-any-return]


def _conv_norm_relu(inputs: int, channels: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers = [_conv_norm_relu(inputs, hidden, 1)] if expansion != 1 else []
        layers += [_conv_norm_relu(hidden, hidden, 3, stride, hidden)]
        last = (nn.Conv2d(hidden, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.conv = nn.Sequential(*layers, *last)
        self.residual = stride == 1 and inputs == channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)  # type: ignore[no-any-return]


class MobileNetV2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        table = (
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
        )  # fmt: skip
        layers: list[nn.Module] = [_conv_norm_relu(3, 32, 3, 2)]
        inputs = 32
        for expansion, channels, blocks, stride in table:
            for block in range(blocks):
                layers.append(InvertedResidual(inputs, channels, 1 if block else stride, expansion))
                inputs = channels
        self.features = nn.Sequential(*layers, _conv_norm_relu(inputs, 1280, 1))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(torch.flatten(x, 1))  # type: ignore[no-any-return]


class LanguageModel(nn.Module):
    def __init__(
        self, vocabulary: int = 10_000, embedding: int = 1500, hidden: int = 1500, layers: int = 2, **options: bool
    ) -> None:
        super().__init__()
        self.embedding, self.dropout = nn.Embedding(vocabulary, embedding), nn.Dropout(0.65)
        self.layers = layers
        for layer in range(1, layers + 1):
            lstm = nn.LSTM(embedding if layer == 1 else hidden, hidden, **options)  # type: ignore[arg-type]
            self.add_module(f"lstm{layer}", lstm)
            self.add_module(f"dropout{layer}", nn.Dropout(0.65))
        self.decoder = nn.Linear(hidden, vocabulary)

    def forward(self, words: Tensor) -> Tensor:
        x = self.dropout(self.embedding(words))
        for layer in range(1, self.layers + 1):
            x = getattr(self, f"dropout{layer}")(getattr(self, f"lstm{layer}")(x)[0])
        return self.decoder(x)  # type: ignore[no-any-return]


MODULES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet50": (ResNet50, 224),
    "vgg16": (VGG16, 224),
    "inception_v3": (InceptionV3, 299),
    "mobilenet_v2": (MobileNetV2, 224),
}
