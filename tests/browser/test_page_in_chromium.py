"""Does a real browser show the page: every figure, with tooltips, nothing cut, no errors, nothing from a network?"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pictured_runs import SCHEDULES, case, everything

from wavecore.pictures.marks import Bars, Heat, LineMark, Points, Steps, legend
from wavecore.report.contents import pictures
from wavecore.report.data import Report
from wavecore.report.page import page

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTHS = (1280, 800)
DRAWN = (Bars, Steps, LineMark, Points, Heat)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which(CHROMIUM) and shutil.which(DRIVER)),
        reason="Chromium is missing: apt-get install chromium chromium-driver",
    ),
]

Open = Callable[[int], Any]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return everything(tmp_path_factory.mktemp("s"))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def file(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(report, "1.2.3"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def opened(chromium: Any, file: Path) -> Open:
    """Open the page at a width, and wait until everything is drawn; a page that is open stays."""
    from selenium.webdriver.support.ui import WebDriverWait

    at: list[int] = []

    def go(width: int) -> Any:
        if at != [width]:
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            chromium.get("about:blank")
            chromium.get_log("performance"), chromium.get_log("browser")
            chromium.get(file.as_uri())
            at[:] = [width]
            WebDriverWait(chromium, 60).until(
                lambda driver: driver.execute_script("return document.body.dataset.drawn")
            )
        return chromium

    return go


def test_no_request_leaves_and_no_error_is_logged(opened: Open, file: Path) -> None:
    driver = opened(1280)
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
    assert file.as_uri() in asked
    assert [url for url in asked if url != file.as_uri() and not url.startswith(("data:", "blob:"))] == []
    assert driver.get_log("browser") == []


def test_the_page_cannot_ask_a_network_even_if_it_tried(opened: Open) -> None:
    driver = opened(1280)
    refused = driver.execute_async_script(
        "const done = arguments[0]; fetch('http://127.0.0.1:9/').then(() => done('came'), (e) => done(e.name));"
    )
    assert refused == "TypeError"
    assert "Content Security Policy" in driver.get_log("browser")[0]["message"]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_panel_has_its_size_and_its_traces(opened: Open, report: Report, width: int) -> None:
    driver = opened(width)
    found = driver.execute_script(
        """return Object.fromEntries([...document.querySelectorAll(".panel")].map((panel) => {
             const area = panel.querySelector(".nsewdrag").getBoundingClientRect();
             const drawn = panel.querySelectorAll(".cartesianlayer path, .cartesianlayer image").length;
             return [panel.id, [panel.data.length, panel.clientWidth, area.width, area.height, drawn]];
           }));"""
    )
    expected = {
        f"{picture.key}-{at}": sum(len(panel.of(kind)) for kind in DRAWN)
        + sum(bool(bars.texts and bars.inside) for bars in panel.of(Bars))  # a trace for the texts at the ends
        for picture in pictures(report)
        for at, panel in enumerate(picture.panels)
    }
    assert {key: traces for key, (traces, *_) in found.items()} == expected
    for key, (_, wide, across, high, drawn) in found.items():
        assert across > 0.35 * wide and high > 30 and drawn > 0, (key, wide, across, high, drawn)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_wider_than_the_window(opened: Open, width: int) -> None:
    driver = opened(width)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width
    cut = driver.execute_script(
        """const cut = [];
           for (const panel of document.querySelectorAll(".panel")) {
             const frame = panel.getBoundingClientRect();
             for (const text of panel.querySelectorAll("svg text")) {
               const box = text.getBoundingClientRect();
               const out = box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1
                 || box.bottom > frame.bottom + 1;
               if (box.width && out) cut.push([panel.id, text.textContent]);
             }
           }
           return cut;"""
    )
    assert cut == []


OVERLAPS = """
  const shown = (element) => element.getBoundingClientRect().width > 0;
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  const bad = [];
  for (const panel of document.querySelectorAll(".panel")) {
    const area = panel.querySelector(".nsewdrag").getBoundingClientRect();
    const groups = {
      ticks: [...panel.querySelectorAll(".xtick text, .ytick text")],
      titles: [...panel.querySelectorAll(".xtitle, .ytitle")],
      labels: [...panel.querySelectorAll(".annotation text")],
      bar: [...panel.querySelectorAll(".modebar")],
    };
    const flat = Object.entries(groups)
      .flatMap(([kind, found]) => found.filter(shown).map((element) => [kind, element]));
    for (const [kind, element] of flat) {
      const box = element.getBoundingClientRect();
      if (meet(box, area)) bad.push([panel.id, kind, element.textContent, "covers the plot"]);
    }
    for (let i = 0; i < flat.length; i += 1) {
      for (let j = 0; j < i; j += 1) {
        const tilted = flat[i][0] === "ticks" && flat[j][0] === "ticks" && panel.layout.xaxis.tickangle === -60;
        if (!tilted && meet(flat[i][1].getBoundingClientRect(), flat[j][1].getBoundingClientRect())) {
          bad.push([panel.id, flat[i][1].textContent, flat[j][1].textContent, "overlap"]);
        }
      }
    }
  }
  return bad;
"""


@pytest.mark.parametrize("width", WIDTHS)
def test_labels_cover_neither_plots_nor_each_other(opened: Open, width: int) -> None:
    assert opened(width).execute_script(OVERLAPS) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_tilted_names_have_room(opened: Open, width: int) -> None:
    """Names at 60 degrees are as far apart as their letters are high."""
    gaps = opened(width).execute_script(
        """return [...document.querySelectorAll(".panel")].filter((panel) => panel.layout.xaxis.tickangle === -60)
             .map((panel) => {
               const names = [...panel.querySelectorAll(".xtick text")];
               const ends = names.map((text) => text.getBoundingClientRect().right);
               const gaps = ends.sort((a, b) => a - b).map((end, at) => (at ? end - ends[at - 1] : 1000));
               return [panel.id, Math.min(...gaps)];
             });"""
    )
    found = [(key, gap) for key, gap in gaps if gap is not None]  # what is named in a panel below has no names
    assert len(found) > 5
    assert [(key, gap) for key, gap in found if gap < 10 / 0.87] == []


def hover(driver: Any, panel: str, across: float = 0.5, down: float = 0.5) -> list[str]:
    """Move the mouse over a place of a plot, and return the tooltip's lines."""
    from selenium.common.exceptions import TimeoutException
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    area = driver.find_element("css selector", f"#{panel} .nsewdrag")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", area)
    size = area.size
    by = round((across - 0.5) * size["width"]), round((down - 0.5) * size["height"])
    ActionChains(driver).move_to_element(area).move_to_element_with_offset(area, *by).perform()

    def lines(_: Any = None) -> list[str]:
        return [text.text for text in driver.find_elements("css selector", f"#{panel} .hoverlayer text") if text.text]

    try:
        return list(WebDriverWait(driver, 5).until(lines))
    except TimeoutException:
        return []


def test_bars_say_what_they_are(opened: Open) -> None:
    said = hover(opened(1280), "comparison-0", 0.05, 0.1)
    assert len(said) == 1 and said[0].startswith("baseline, ") and said[0].endswith("(1.00x)")


def test_parts_of_bars_say_what_they_are(opened: Open) -> None:
    assert hover(opened(1280), "energy-0", 0.01, 0.08)[0].startswith("resnet18: baseline, arrays: ")


@pytest.mark.parametrize("at", range(len(SCHEDULES)))
def test_layers_say_their_name_and_all_classes(opened: Open, at: int) -> None:
    layers = case().layers
    name, *values = hover(opened(1280), f"traffic-resnet18-{at}", 0.5 / len(layers) + 10 / len(layers))
    assert name == layers[10]
    assert any(value.startswith("activations : ") and value.endswith("iB") for value in values)


def test_groups_say_what_a_layer_takes(opened: Open) -> None:
    said = hover(opened(800), "groups-resnet18-2", 0.3)
    assert said[1].startswith("inputs and outputs: ")
    assert "of 1 MiB at a sub-batch of 2" in said[2]


def place_of(driver: Any, panel: str, trace: int, point: int) -> tuple[float, float]:
    """Where a point of a trace is drawn, as shares of the plot."""
    across, down = driver.execute_script(
        """const panel = document.getElementById(arguments[0]), {xaxis, yaxis} = panel._fullLayout;
           const {x, y} = panel.data[arguments[1]], point = arguments[2];
           return [xaxis.d2p(x[point]) / xaxis._length, yaxis.d2p(y[point]) / yaxis._length];""",
        panel,
        trace,
        point,
    )
    return across, down


def test_points_of_the_roofline_say_their_layer(opened: Open) -> None:
    driver = opened(1280)
    said = hover(driver, "roofline-resnet18-1", *place_of(driver, "roofline-resnet18-1", 2, 0))
    assert said and " MAC/byte, " in said[0] and said[0].endswith(" TMAC/s")


def test_points_of_a_sweep_say_what_they_are(opened: Open) -> None:
    driver = opened(1280)
    said = hover(driver, "lines-small-1", *place_of(driver, "lines-small-1", 1, 1))
    assert said == ["core.global_buffer 10 MiB, vector.lanes 256, schedule baseline: step time 87.5 ms"]


@pytest.mark.parametrize(
    ("panel", "place", "words"),
    [
        ("occupancy-odd-0", (0.5, 0.3), "core 0: "),
        ("map-small-1", (0.5, 0.25), "core.global_buffer 10 MiB, vector.lanes 256, schedule mbs2: step time "),
    ],
)
def test_other_figures_say_what_they_show(opened: Open, panel: str, place: tuple[float, float], words: str) -> None:
    said = hover(opened(1280), panel, *place)
    assert any(line.startswith(words) for line in said)


def test_hostile_names_are_shown_as_they_are(opened: Open) -> None:
    driver = opened(1280)
    assert hover(driver, "traffic-odd-0", 0.001)[0] == "</script><b>&\"'bold"
    assert driver.find_element("css selector", "#traffic-odd").text == "DRAM traffic by layer: </script><b>$x_1$"


def test_a_legend_has_every_entry_and_hides_what_it_names(opened: Open, report: Report) -> None:
    driver = opened(1280)
    for picture in pictures(report):
        items = driver.find_elements("css selector", f'figure[data-key="{picture.key}"] .legend li')
        assert [item.text for item in items] == [entry.name for entry in legend(picture)]
    item = driver.find_element("css selector", 'figure[data-key="traffic-resnet18"] .legend li')
    hidden = 'return document.getElementById("traffic-resnet18-0").data.map((trace) => trace.visible === false)'
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", item)
    item.click()
    assert driver.execute_script(hidden)[0] is True and item.get_attribute("aria-pressed") == "false"
    item.send_keys("\n")
    assert not any(driver.execute_script(hidden)) and item.get_attribute("aria-pressed") == "true"


def test_zooming_one_panel_zooms_those_below(opened: Open) -> None:
    driver = opened(1280)
    ranges = driver.execute_async_script(
        """const done = arguments[0], panels = [0, 1, 2].map((at) => document.getElementById(`time-resnet18-${at}`));
           Plotly.relayout(panels[0], {"xaxis.range[0]": 5, "xaxis.range[1]": 15})
             .then(() => setTimeout(() => done(panels.map((panel) => panel.layout.xaxis.range)), 500));"""
    )
    assert ranges == [[5, 15]] * 3


def test_it_prints_on_paper(opened: Open) -> None:
    driver = opened(1280)
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    assert len(printed["data"]) > 100_000
    widths = driver.execute_script(
        "return [...document.querySelectorAll('.panel')].map((panel) => panel._fullLayout.width)"
    )
    assert min(widths) > 300  # and it is as it was again
    assert driver.get_log("browser") == []
