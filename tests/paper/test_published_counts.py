"""Parameters and multiply-accumulates of every network, against published counts to the last digit."""

import pytest

from wavecore.network.catalog import workload, workload_info, workload_names
from wavecore.network.graph import LayerGraph
from wavecore.network.layers import Conv, GroupNorm

# torchvision's documentation, "Table of all available classification weights" (Params, GFLOPS), Inception v3
# less its auxiliary head; Inception v4 from timm's results, see below.  The LSTM's weights from arXiv 1709.05027; its
# MACs, and both of BiDAF's LSTMs, which are a piece of a network, are counted by hand.
TABLE = {
    "alexnet": ("61.10", "0.714"),
    "vgg11": ("132.86", "7.61"),
    "vgg13": ("133.05", "11.31"),
    "vgg16": ("138.36", "15.47"),
    "vgg19": ("143.67", "19.63"),
    "resnet18": ("11.69", "1.81"),
    "resnet34": ("21.80", "3.66"),
    "resnet50": ("25.56", "4.09"),
    "resnet101": ("44.55", "7.80"),
    "resnet152": ("60.19", "11.51"),
    "inception_v3": ("23.83", "5.71"),
    "inception_v4": ("42.68", None),
    "googlenet": ("6.62", "1.50"),
    "mobilenet_v2": ("3.50", "0.30"),
    "lenet5": ("0.431080", "0.002293"),
    "lenet300": ("0.266610", "0.0002662"),
    "lstm_ptb": ("66.0", "1.785"),
    "bidaf": ("2.162400", "0.864"),
}


def printed(value: float, like: str) -> str:
    """``value`` with as many decimals as ``like`` has."""
    return f"{value:.{len(like.partition('.')[2])}f}"


def elements(graph: LayerGraph, kind: type) -> int:
    """Elements of one sample that the layers of this kind write."""
    return sum(layer.shape.elements for layer in graph if isinstance(layer.kind, kind))


def test_every_workload_has_a_published_count() -> None:
    assert set(TABLE) == set(workload_names())


@pytest.mark.parametrize("name", TABLE)
def test_parameters(name: str) -> None:
    millions, _ = TABLE[name]
    assert printed(workload(name).parameter_count / 1e6, millions) == millions


@pytest.mark.parametrize(("name", "gmacs"), [(name, row[1]) for name, row in TABLE.items() if row[1]])
def test_forward_macs(name: str, gmacs: str) -> None:
    assert printed(workload(name).forward_macs / 1e9, gmacs) == gmacs


def test_inception_v4_forward_macs() -> None:
    """12.27 and 12.28 GMAC are printed too: the counts with one or two operations a normalized element.

    fvcore's rule for an affine batch normalization is two, which makes ResNet-50 4.11 instead of 4.09 GMAC.
    """
    resnet, inception = workload("resnet50"), workload("inception_v4")
    once = inception.forward_macs + elements(inception, GroupNorm)
    assert f"{inception.forward_macs / 1e9:.2f}" == "12.25"
    assert f"{once / 1e9:.2f}" == "12.27"
    assert f"{(once + elements(inception, GroupNorm)) / 1e9:.2f}" == "12.28"
    assert f"{(resnet.forward_macs + 2 * elements(resnet, GroupNorm)) / 1e9:.2f}" == "4.11"


@pytest.mark.parametrize(
    ("name", "millions"), [("resnet50", "11.1"), ("inception_v4", "15.1"), ("inception_v3", "9.0")]
)
def test_activations_on_timms_model_cards(name: str, millions: str) -> None:
    """timm's "Activations (M)" are the outputs of all convolutions."""
    assert printed(elements(workload(name), Conv) / 1e6, millions) == millions


@pytest.mark.parametrize("name", TABLE)
def test_the_catalogs_own_figures(name: str) -> None:
    graph, published = workload(name), workload_info(name).published
    assert published is not None
    assert published.source
    assert graph.parameter_count == published.parameters
    assert printed(graph.forward_macs / 1e9, str(published.forward_gmacs)) == str(published.forward_gmacs)


@pytest.mark.parametrize(
    ("width", "image", "mmacs"),
    [
        (1.4, 224, 582),
        (1.3, 224, 509),
        (1.0, 192, 221),
        (1.0, 160, 154),
        (0.75, 224, 209),
        (0.5, 224, 97),
        (0.35, 224, 59),
    ],
)
def test_mobilenets_of_other_sizes(width: float, image: int, mmacs: int) -> None:
    """The table of MobileNet V2 checkpoints in TensorFlow's research/slim/nets/mobilenet/README.md."""
    assert int(workload("mobilenet_v2", width=width, image=image).forward_macs / 1e6) == mmacs
