"""What a report finds in files and folders, and what it calls it."""

from dataclasses import replace
from pathlib import Path

import pytest
from pictured_runs import SCHEDULES, SWEEP, case, occupancy, put_json, put_run, put_sweep, run, shown

from wavecore.errors import InputError
from wavecore.report.data import OWN_REFERENCE, cases, load, parse_occupancy
from wavecore.report.figures.comparison import comparison


def labels(path: Path) -> list[str]:
    (found,) = load([path]).cases
    return [each.label for each in found.runs]


def test_a_folder_of_a_run(tmp_path: Path) -> None:
    report = load([put_run(tmp_path / "a", "mbs2", full=True)])
    (only,) = report.cases[0].runs
    assert only.run == run("mbs2", engine="event")
    assert only.footprints and set(only.occupancy or {}) == {0, 1}
    assert only.source == str(tmp_path / "a")


def test_a_folder_of_runs_and_sweeps(tmp_path: Path) -> None:
    for schedule in reversed(SCHEDULES):
        put_run(tmp_path / f"z-{schedule}", schedule)
    put_sweep(tmp_path / "sweep")
    (tmp_path / "notes.txt").write_text("mine")
    report = load([tmp_path])
    assert [each.label for each in report.cases[0].runs] == list(SCHEDULES)
    assert report.cases[0].reference_name == "baseline"
    assert [each.summary.name for each in report.sweeps] == ["small"]


def test_bare_files_have_no_tables(tmp_path: Path) -> None:
    one = put_json(tmp_path / "one.json", [run("mbs2")])
    several = put_json(tmp_path / "several.json", [run("il"), run("baseline")])
    (found,) = load([one, several]).cases
    assert [each.source for each in found.runs] == [f"{several}[1]", f"{several}[0]", str(one)]
    assert [(each.footprints, each.occupancy) for each in found.runs] == [((), None)] * 3


def test_the_same_folder_counts_once(tmp_path: Path) -> None:
    folder = put_run(tmp_path / "a", "mbs2")
    assert len(load([tmp_path, folder, tmp_path / "." / "a"]).cases[0].runs) == 1


def test_the_first_is_the_reference_without_a_baseline() -> None:
    assert case("mbs2", "il").reference_name == "il"  # in the known order


def test_labels_say_what_differs() -> None:
    (found,) = cases([shown("mbs2"), shown("mbs2", "there", "core.global_buffer=5 MiB")])
    assert [each.label for each in found.runs] == ["mbs2", "mbs2, core.global_buffer=5 MiB"]


def test_equal_runs_are_told_apart_by_their_place(tmp_path: Path) -> None:
    for name in ("one", "two"):
        put_run(tmp_path / name, "mbs2")
    assert labels(tmp_path) == ["mbs2 (one)", "mbs2 (two)"]


def test_equal_places_are_told_apart_by_their_path(tmp_path: Path) -> None:
    paths = [put_run(tmp_path / name / "same", "mbs2") for name in ("one", "two")]
    (found,) = load(paths).cases
    assert len({each.label for each in found.runs}) == 2


def test_networks_have_keys_that_every_file_system_takes() -> None:
    odd = [replace(each, run=replace(each.run, workload="A b/ü\\c")) for each in (shown("mbs2"), shown("il"))]
    manifest = replace(odd[1].run.manifest, hashes={"workload": "other"})
    found = list(cases([odd[0], replace(odd[1], run=replace(odd[1].run, manifest=manifest))]))
    assert [each.key for each in found] == ["a-b-c-image-32", "a-b-c-image-32-2"]
    assert found[0].title == "A b/ü\\c (image=32)"


def test_occupancy_comes_by_core() -> None:
    found = parse_occupancy(occupancy(), "x")
    assert set(found) == {0, 1}
    assert (
        max(used for steps in found.values() for _, used in steps)
        == run("mbs2", engine="event").global_buffer_bytes.peak
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x:1: is no table of occupancy; try: the columns cycle,core,used_bytes"),
        ("cycle,core,used_bytes\n1,2\n", "x:2: '1,2' is no occupancy; try: making the run again"),
        ("cycle,core,used_bytes\n1,0,2\n1,0,many\n", "x:3: '1,0,many' is no occupancy; try: making the run again"),
    ],
)
def test_another_table_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_occupancy(text, "x")
    assert caught.value.message == message


def test_a_sweep_comes_with_its_values(tmp_path: Path) -> None:
    (sweep,) = load([put_sweep(tmp_path / "s")]).sweeps
    size, lanes, schedule = sweep.summary.axes
    assert [size.show(value) for value in sweep.values(size)] == ["5 MiB", "10 MiB", "40 MiB"]
    assert sweep.values(lanes) == ("128", "256")
    assert sweep.values(schedule) == ("baseline", "mbs2")
    assert (len(sweep.rows), len(sweep.good)) == (SWEEP["points"], SWEEP["points"] - 1)


def test_two_sweeps_of_one_name_have_two_keys(tmp_path: Path) -> None:
    found = load([put_sweep(tmp_path / "s"), put_sweep(tmp_path / "t")]).sweeps
    assert [each.key for each in found] == ["small", "small-2"]


def test_ratios_are_of_runs_on_the_same_machine_with_the_same_engine() -> None:
    """LPDDR4 under the event engine says nothing against HBM2 under the analytic one."""
    slow = "memory=lpddr4"
    runs = [shown("baseline"), shown("mbs2"), shown("baseline", "there", slow), shown("mbs2", "there", slow)]
    other = [replace(each, run=replace(each.run, engine="event")) for each in runs[:2]]
    (found,) = cases([*runs, *other])
    for each in found.runs:
        reference = found.reference(each)
        assert reference.run.schedule == "baseline"
        assert (reference.accelerator, reference.run.engine) == (each.accelerator, each.run.engine)
    assert found.reference_name == OWN_REFERENCE
    assert OWN_REFERENCE in comparison([found]).caption
