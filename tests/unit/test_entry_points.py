"""What the registry finds, seen through distributions that stand on the path as an outsider's would."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wavecore.cli import main
from wavecore.common import entry_points as registry
from wavecore.errors import ConfigError, NameLookupError
from wavecore.network import catalog

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """``install(group, one="ITEMS = ...")``: a distribution whose entry points are modules of that text."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules: set[str] = set()

    def add(group: str, /, *names: str, **texts: str) -> None:
        info = tmp_path / "outside-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
        entries = [f"{name} = outside_{name}" for name in texts] + list(names)
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *entries]) + "\n")
        for name, text in texts.items():
            (tmp_path / f"outside_{name}.py").write_text(text)
            modules.add(f"outside_{name}")
        registry._load.cache_clear()

    yield add
    registry._load.cache_clear()
    for module in modules:
        sys.modules.pop(module, None)


def test_tables_are_put_together_in_the_order_of_entry_points(install: Install) -> None:
    install("some.group", b="ITEMS = {'z': 1, 'a': 2}", a="ITEMS = {'m': 3}")
    assert list(registry.collect("some.group", "ITEMS").items()) == [("m", 3), ("z", 1), ("a", 2)]


def test_a_group_without_entry_points_is_empty() -> None:
    assert registry.collect("wavecore.no_such_group", "ITEMS") == {}


def test_a_table_cannot_be_changed(install: Install) -> None:
    install("some.group", a="ITEMS = {'m': 3}")
    with pytest.raises(TypeError):
        registry.collect("some.group", "ITEMS")["n"] = 4  # type: ignore[index]


def test_a_module_named_twice_is_read_once(install: Install) -> None:
    install("some.group", "again = outside_a", a="ITEMS = {'m': 3}")
    assert registry.collect("some.group", "ITEMS") == {"m": 3}


def test_a_name_of_two_modules_is_an_error_that_names_both_when_it_is_asked_for(install: Install) -> None:
    install("some.group", a="ITEMS = {'m': 3, 'n': 4}", b="ITEMS = {'m': 3}")
    assert registry.collect("some.group", "ITEMS") == {"n": 4}
    with pytest.raises(ConfigError) as caught:
        registry.find("here", "item", "m", "some.group", "ITEMS")
    assert caught.value.message == (
        "here: there is no item named 'm', and entry point some.group: b = 'outside_b' of package outside registers "
        "'m', which entry point some.group: a = 'outside_a' of package outside has already; "
        "try: one of n, or another name in one of them, or uninstalling one"
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("import no_such_module", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "cannot be loaded: ZeroDivisionError: division by zero"),
        ("THINGS = {}", "has no table named ITEMS"),
        ("ITEMS = [1]", "has no table named ITEMS"),
        ("ITEMS = {'x': 'text'}", "'x' is a str, not a int"),
    ],
)
def test_a_broken_entry_point_spoils_no_other_name(install: Install, text: str, complaint: str) -> None:
    install("some.group", good="ITEMS = {'m': 3}", bad=text)
    assert registry.collect("some.group", "ITEMS", int) == {"m": 3}
    assert registry.find("here", "item", "m", "some.group", "ITEMS", int) == 3
    (error,) = registry.broken("some.group", "ITEMS", int)
    assert error.what == complaint
    assert error.where == "entry point some.group: bad = 'outside_bad' of package outside"


def test_a_missing_name_tells_of_what_is_broken(install: Install) -> None:
    install("some.group", good="ITEMS = {'meter': 3}", bad="1 / 0")
    with pytest.raises(ConfigError) as caught:
        registry.find("here", "item", "metre", "some.group", "ITEMS")
    assert caught.value.message == (
        "here: there is no item named 'metre', and entry point some.group: bad = 'outside_bad' "
        "of package outside cannot be loaded: ZeroDivisionError: division by zero; "
        "try: meter, or repairing or uninstalling the package that registers it"
    )


def test_a_missing_name_offers_the_nearest(install: Install) -> None:
    install("some.group", good="ITEMS = {'meter': 3}")
    with pytest.raises(NameLookupError, match="there is no item named 'metre'; try: meter"):
        registry.find("here", "item", "metre", "some.group", "ITEMS")


OUTSIDE = """
from wavecore.network.catalog import Workload
from wavecore.network.graph import Network
from wavecore.network.layers import CrossEntropy, Flatten, Linear
from wavecore.network.shapes import Shape

def tiny(features=10, {more}):
    net = Network("tiny", Shape(3, 2, 2))
    net(CrossEntropy(), net(Linear(features), net(Flatten(), net.input)))
    return net.build()

WORKLOADS = {{"tiny": Workload(name="tiny", build=tiny, summary="one layer")}}
"""


def test_an_outside_workload_stands_beside_ours(install: Install) -> None:
    install("wavecore.workloads", tiny=OUTSIDE.format(more=""))
    assert {"tiny", "resnet50"} <= set(catalog.workload_names())
    assert catalog.workload("tiny", features=7).parameter_count == 12 * 7 + 7


SCHEDULE = """
from wavecore.plan.schedule import Schedule

def policy({arguments}):
    {body}

SCHEDULES = {{{name!r}: Schedule({name!r}, "outside", policy)}}
"""


@pytest.mark.parametrize(
    ("arguments", "body", "said"),
    [
        ("training, accelerator, batch_per_core, choices", "return None", "returned a NoneType, not a Plan"),
        ("training, accelerator, batch_per_core, choices", "return 1 / 0", "failed: ZeroDivisionError: division by"),
        ("training", "return None", "failed: TypeError: policy() takes 1 positional argument but 4 were given"),
    ],
)
def test_a_schedule_at_fault_is_named_with_its_package(
    install: Install, capsys: pytest.CaptureFixture[str], arguments: str, body: str, said: str
) -> None:
    install("wavecore.schedules", bad=SCHEDULE.format(name="bad", arguments=arguments, body=body))
    assert main(["run", "lenet5", "--schedule", "bad"]) == 2
    error = capsys.readouterr().err
    assert "schedule bad (entry point wavecore.schedules: bad = 'outside_bad' of package outside): " + said in error
    assert "report" not in error
    assert main(["run", "lenet5", "--schedule", "mbs2", "--engine", "analytic", "--json"]) == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [("return 3", "its function returned int 3, not a LayerGraph"), ("1 / 0", "failed: ZeroDivisionError: division")],
)
def test_a_workload_at_fault_is_named_with_its_package(
    install: Install, capsys: pytest.CaptureFixture[str], body: str, said: str
) -> None:
    text = "from wavecore.network.catalog import Workload\ndef build():\n    " + body
    install("wavecore.workloads", bad=text + "\nWORKLOADS = {'bad': Workload(name='bad', build=build, summary='')}")
    assert main(["run", "bad"]) == 2
    error = capsys.readouterr().err
    assert "workload bad (entry point wavecore.workloads: bad = 'outside_bad' of package outside): " + said in error
    assert "report" not in error


def test_a_name_of_ours_stays_ours(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    body = "return None"
    install("wavecore.schedules", mine=SCHEDULE.format(name="mbs2", arguments="*all", body=body), bad="1 / 0")
    assert main(["run", "lenet5", "--engine", "analytic", "--json"]) == 0
    assert main(["list", "schedules"]) == 0
    warned = capsys.readouterr().err
    assert "mine = 'outside_mine' of package outside: registers 'mbs2', which entry point wavecore.schedules" in warned
    assert "bad = 'outside_bad' of package outside: cannot be loaded" in warned


@pytest.mark.parametrize("more", ["must=None", "flag=True", "*others", "**others"])
def test_an_option_without_a_simple_default_is_reported(install: Install, more: str) -> None:
    install("wavecore.workloads", tiny=OUTSIDE.format(more=more))
    with pytest.raises(ConfigError, match=r"workload tiny: its option '\w+' has no int, float or str as default"):
        catalog.workload("tiny")


def test_no_workload_is_imported_before_it_is_asked_for() -> None:
    code = "import sys, wavecore.network.catalog; print([m for m in sys.modules if m.startswith('wavecore.workloads')])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
