"""Is the page whole, safe and the same every time?"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pictured_runs import HOSTILE, SCHEDULES, case, everything, put_sweep, run, shown, sweep_rows

from wavecore.hardware.config import machine_keys
from wavecore.report import page as page_module
from wavecore.report.data import Report, cases, load
from wavecore.report.page import page
from wavecore.report.tables import headline, provenance

MOST_BYTES = 6_000_000


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return everything(tmp_path_factory.mktemp("s"))


@pytest.fixture(scope="module")
def ours(report: Report) -> str:
    """The page without plotly's own script."""
    text = page(report, "1.2.3")
    assert len(text.encode()) < MOST_BYTES
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 2
    return text.replace(scripts[0], "")


def store(text: str) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', text, re.DOTALL)
    content: dict[str, Any] = json.loads(found)
    return content


def test_nothing_is_asked_of_a_network(ours: str) -> None:
    assert re.findall(r"https?://|//[a-z]+\.[a-z]+/|@import|\bsrc=|url\(", ours) == []
    assert "default-src 'none'" in ours


def test_names_are_text_wherever_they_stand(ours: str) -> None:
    markup = re.sub(r"<script.*?</script>", "", ours, flags=re.DOTALL)
    assert "<b>" not in markup
    assert "<title>wavecore report: resnet18, &lt;/script&gt;&lt;b&gt;$x_1$, small</title>" in markup
    assert ours.count("</script>") == 3 and ours.count("<script") == 3


def test_a_value_of_a_sweep_does_not_end_the_script(tmp_path: Path) -> None:
    rows = [[row[0], "</script><b>", *row[2:]] if row[1] == "mbs2" else row for row in sweep_rows()]
    text = page(load([put_sweep(tmp_path / "s", rows=rows)]), "1.2.3")
    assert len(re.findall("</script>", text)) == 3
    names = [trace["meta"] for trace in store(text)["panels"]["lines-small-0"]["data"]]
    assert "</script><b>" in names


def test_names_are_whole_in_the_figures(ours: str) -> None:
    content = store(ours)
    names = content["shared"][content["panels"]["traffic-odd-0"]["layout"]["xaxis"]["labelalias"]]
    assert names["0"] == "&lt;/script&gt;&lt;b&gt;&amp;\"'bold"
    assert names["2"] == HOSTILE[2]


def test_every_panel_has_its_place(ours: str) -> None:
    assert set(re.findall(r'<div class="panel" id="([^"]*)"', ours)) == set(store(ours)["panels"])


def test_every_entry_of_the_contents_leads_somewhere(ours: str) -> None:
    links = re.findall(r'<a href="#([^"]*)"', ours)
    assert len(links) == len(set(links)) >= 15
    assert set(links) == set(re.findall(r'<h2 id="([^"]*)"', ours))


def test_shared_lists_come_back_as_they_were(report: Report, ours: str) -> None:
    content = store(ours)
    trace = content["panels"]["traffic-resnet18-1"]["data"][0]
    assert isinstance(trace["x"], int)
    layers = case().layers
    assert content["shared"][trace["x"]] == [-0.5, *range(len(layers)), len(layers) - 0.5]
    assert content["shared"][trace["text"]] == [layers[0], *layers, layers[-1]]


def test_the_page_is_the_same_every_time(report: Report) -> None:
    assert page(report, "1.2.3") == page(report, "1.2.3")


def test_plotly_is_asked_for_when_it_is_missing(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "plotly.offline", None)
    with pytest.raises(page_module.InputError) as caught:
        page(report, "1.2.3")
    hint = 'pip install "wavecore[report]", or --plot FILE'
    assert caught.value.message == f"--html: the page needs plotly, which is not installed; try: {hint}"


def test_the_headline_table_is_the_runs() -> None:
    table = headline(case())
    assert [row[0] for row in table.rows] == list(SCHEDULES)
    first, last = run("baseline"), run("mbs2")
    assert table.rows[0][2] == "1.00x"
    assert table.rows[2][2] == f"{first.step_seconds / last.step_seconds:.2f}x"
    assert table.rows[2][5] == f"{last.dram_bytes.total / first.dram_bytes.total:.2f}x"
    assert table.rows[2][7] == f"{last.energy_joules.total / first.energy_joules.total:.2f}x"
    assert table.title == "resnet18 (ratios to baseline)"


def test_provenance_has_hashes_versions_settings_and_sources() -> None:
    runs, hashes, machine = provenance(Report(cases=(case(),)))
    assert [row[:3] for row in runs.rows] == [(name, "there", run(name).manifest.version) for name in SCHEDULES]
    assert json.loads(runs.rows[2][5])["schedule"] == "mbs2"
    assert hashes.rows[1][2] == run("il").manifest.hashes["plan"]
    assert [row[0] for row in machine.rows] == list(machine_keys())
    assert all(source for _, _, source in machine.rows)
    assert ("core.global_buffer", "10 MiB", "[S] 10 MiB a core") in machine.rows
    assert machine.title == "wavecore with hbm2x2: baseline, il, mbs2"


def test_two_machines_have_two_tables() -> None:
    (found,) = cases([shown("mbs2"), shown("mbs2", "there", "core.global_buffer=5 MiB")])
    *_, first, second = provenance(Report(cases=(found,)))
    assert dict(row[:2] for row in first.rows)["core.global_buffer"] == "10 MiB"
    assert dict(row[:2] for row in second.rows)["core.global_buffer"] == "5 MiB"


def test_a_page_of_sweeps_alone(tmp_path: Path) -> None:
    text = page(load([put_sweep(tmp_path / "s")]), "1.2.3")
    assert "<title>wavecore report: small</title>" in text
    assert "small: best of 12 points" in text
    assert '<h2 id="front-small">' in text
