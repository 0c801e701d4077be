"""Do ``wavecore energy`` and ``wavecore import-ert`` do their work: tables, JSON, CSV and pictures?"""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from wavecore.cli import energytables, main
from wavecore.network.catalog import workload
from wavecore.pictures.marks import Bars
from wavecore.pictures.palette import COLOURS, COMPONENT_COLOURS, OTHER_COLOURS
from wavecore.report.contents import energies
from wavecore.results.energy import EnergyJoules
from wavecore.results.metrics import METRICS
from wavecore.simulation import simulate

Prints = Callable[..., str]

DATA = Path(__file__).parent.parent / "data"
SMALL = ("--image", "32", "--batch", "4", "--engine", "analytic")
ENERGY = ("energy", "resnet18", *SMALL)


@pytest.fixture
def prints(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prints:
    """Run a command that must succeed in a folder of its own, and return its stdout."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str, said: str = "") -> str:
        assert main(words) == 0
        captured = capsys.readouterr()
        assert captured.err == said
        return captured.out

    return call


def reports(prints: Prints, *words: str) -> list[dict[str, Any]]:
    return list(json.loads(prints(*words, "--json")))


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "resnet50", "googlenet", "mobilenet_v2"])
def test_every_kind_of_network(name: str, prints: Prints) -> None:
    (report,) = reports(prints, "energy", name, "--batch", "4", "--engine", "analytic", "--schedules", "mbs2")
    assert report["joules_per_epoch"] == pytest.approx(report["joules_per_step"] / 4 * 1_281_167)
    assert 5 < report["average_watts"] < 100
    assert all(part["joules"] > 0 for part in report["components"])


def test_tables(prints: Prints) -> None:
    text = prints(*ENERGY)
    for words in ("energy per epoch", "of baseline", "arrays", "weight_gradient", "by layer, top 10", "other layers"):
        assert words in text
    assert "energy.interconnect" in text and "907 fJ/bit" in text and "[Keckler 2011]" in text
    assert "ImageNet's ILSVRC 2012" in text


def test_all_layers(prints: Prints) -> None:
    text = prints(*ENERGY, "--all")
    assert "by layer " in text and "other layers" not in text
    (report, _) = reports(prints, *ENERGY)
    assert all(layer["name"] in text for layer in report["layers"])


def test_one_run_is_compared_with_nothing(prints: Prints) -> None:
    text = prints(*ENERGY, "--schedules", "mbs1")
    assert "resnet18 on wavecore with hbm2x2: energy" in text
    assert "of mbs1" not in text


def test_memories_side_by_side(prints: Prints) -> None:
    words = (*ENERGY, "--schedules", "mbs2", "--memories", "hbm2,lpddr4")
    text = prints(*words)
    assert "resnet18 on wavecore, mbs2: energy" in text
    assert "memory.energy (hbm2)" in text and "memory.energy (lpddr4)" in text and "of hbm2" in text
    assert [(each["schedule"], each["memory"]) for each in reports(prints, *words)] == [
        ("mbs2", "hbm2"),
        ("mbs2", "lpddr4"),
    ]


@pytest.mark.parametrize("width", [20, 60, 80, 120, 1000])
def test_runs_that_do_not_fit_beside_each_other_come_below(width: int) -> None:
    sections = [("a title", [("label", ["1.0 J 50.0%"] * 7)])]
    blocks = list(energytables._blocks(sections, ["baseline\nhbm2x2"] * 7, width))
    assert [index for block in blocks for index in block] == list(range(7))
    assert all(len(block) == 1 or len("a title") + 3 + 13 * len(block) <= width for block in blocks)


def test_no_epoch_for_other_classes(prints: Prints) -> None:
    assert "energy per epoch" not in prints(*ENERGY, "--classes", "10")
    (report, _) = reports(prints, *ENERGY, "--classes", "10", "--epoch-samples", "50000")
    assert (report["epoch_samples"], report["epoch_source"]) == (50000, "--epoch-samples")


def test_no_epoch_for_a_topology(prints: Prints) -> None:
    Path("t.csv").write_text("Layer,M,N,K,\nfirst,100,64,27,\nsecond,100,32,64,\n")
    (report,) = reports(prints, "energy", "t.csv", "--engine", "analytic", "--schedules", "baseline")
    assert report["joules_per_epoch"] is None


def test_csv_has_every_row(prints: Prints) -> None:
    text = prints(*ENERGY, "--csv", "e.csv", "--json", said="written to e.csv\n")
    rows = list(csv.DictReader(StringIO(Path("e.csv").read_text())))
    assert {row["schedule"] for row in rows} == {"baseline", "mbs2"}
    total = sum(report["joules_per_step"] for report in json.loads(text))
    assert sum(float(row["energy_joules"]) for row in rows) == pytest.approx(total)


def test_another_table_reaches_the_report(prints: Prints) -> None:
    for name in ("systolic.ERT.yaml", "systolic.map.toml"):
        shutil.copy(DATA / name, name)
    words = ("import-ert", "systolic.ERT.yaml", "--map", "systolic.map.toml")
    text = prints(*words, "-o", "energy.toml", said="written to energy.toml\n")
    assert "5 of 8 constants are from the ERT, the others from 32nm" in text
    assert prints(*words) == Path("energy.toml").read_text()
    assert prints("check", "energy.toml") == "energy.toml: ok, an energy table\n"
    first = reports(prints, *ENERGY, "--energy", "energy.toml")[0]
    constant = next(each for each in first["constants"] if each["name"] == "energy.mac")
    assert (constant["value"], constant["unit"]) == (1.25e-12, "J")
    assert constant["source"].endswith("system.chip.core.mac[1..16384] compute 1.25 pJ")
    same = reports(prints, *ENERGY, "--set", "energy=energy.toml")[0]
    assert same["joules_per_step"] == first["joules_per_step"]


def test_check_knows_erts_and_maps(prints: Prints) -> None:
    text = prints("check", str(DATA / "systolic.ERT.yaml"), str(DATA / "systolic.map.toml"))
    assert text == (
        f"{DATA}/systolic.ERT.yaml: ok, an ERT of 4 components\n{DATA}/systolic.map.toml: ok, a map of an ERT\n"
    )


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_picture_is_the_same_every_time(kind: str, prints: Prints) -> None:
    words = (*ENERGY, "--memories", "hbm2,gddr5", "--plot", f"e.{kind}", "--json")
    prints(*words, said=f"written to e.{kind}\n")
    first = Path(f"e.{kind}").read_bytes()
    prints(*words, "--force", said=f"written to e.{kind}\n")
    assert Path(f"e.{kind}").read_bytes() == first and len(first) > 10_000
    assert [path.name for path in Path().iterdir()] == [f"e.{kind}"]


def test_bars_are_as_long_as_the_energy() -> None:
    runs = [
        simulate(workload(name, image=64), schedule, batch=4, engine="analytic")
        for name in ("resnet18", "alexnet")
        for schedule in ("mbs2", "baseline")
    ]
    picture = energies(runs)
    assert [panel.title for panel in picture.panels] == ["resnet18", "alexnet"]
    assert picture.notes == ("wavecore with hbm2x2, analytic engine; samples a step: 4.",)
    for panel, mine in zip(picture.panels, (runs[:2], runs[2:]), strict=True):
        assert panel.y.names == ("mbs2", "baseline")
        size = {"energy (mJ a step)": 1e-3, "energy (J a step)": 1.0}[panel.x.title]
        bars = {mark.name: mark for mark in panel.of(Bars)}
        for part in COMPONENT_COLOURS:
            mark = bars[METRICS[f"energy_joules.{part}"].title]
            joules = [getattr(run.energy_joules, part) for run in mine]
            assert [length * size for length in mark.lengths] == pytest.approx(joules)
            for text, each, run in zip(mark.inside, joules, mine, strict=True):
                assert text in ("", f"{each / run.energy_joules.total:.0%}")
        assert bars["DRAM"].inside[0] and not bars["vector units"].inside[0]
        last = panel.of(Bars)[-1]
        ratio = mine[1].energy_joules.total / mine[0].energy_joules.total
        assert [text.split()[1] for text in last.texts] == ["(1.00x)", f"({ratio:.2f}x)"], "the first is the reference"


def test_components_have_colours_of_their_own() -> None:
    assert list(COMPONENT_COLOURS) == [part.name for part in fields(EnergyJoules)]
    assert not {*COMPONENT_COLOURS.values()} & {*COLOURS.values(), *OTHER_COLOURS}
