"""A run that was written comes back equal, and what is no run is told apart."""

import json
from typing import Any

import pytest
from pictured_runs import run

from wavecore.errors import InputError
from wavecore.results.folder import json_text
from wavecore.results.run import from_dict, to_dict

AGAIN = "making it again with this version"


def plain(schedule: str = "mbs2") -> Any:
    return json.loads(json_text(to_dict(run(schedule))))


@pytest.mark.parametrize("schedule", ["baseline", "il", "mbs2"])
def test_there_and_back(schedule: str) -> None:
    assert from_dict(plain(schedule)) == run(schedule)


def test_an_event_run_comes_back_too() -> None:
    made = run("mbs2", engine="event")
    assert from_dict(json.loads(json_text(to_dict(made)))) == made


def test_back_and_there() -> None:
    assert to_dict(from_dict(plain())) == to_dict(run("mbs2"))


@pytest.mark.parametrize("value", [None, [], 3, "run", {}, {"workload": "resnet50"}])
def test_anything_else_is_no_run(value: object) -> None:
    with pytest.raises(InputError) as caught:
        from_dict(value, "x.json")
    hint = "a file that wavecore run --json has written"
    assert caught.value.message == f"x.json: is not a run of wavecore; try: {hint}"


def test_another_schema_is_named() -> None:
    for schema in ("wavecore.run/2", "wavecore.manifest/1", 7):
        with pytest.raises(InputError) as caught:
            from_dict(plain() | {"schema": schema}, "x.json")
        assert caught.value.message == f"x.json: is of schema {schema!r}, not 'wavecore.run/1'; try: {AGAIN}"


def test_a_run_of_an_older_version_lacks_a_key() -> None:
    old = plain()
    del old["layers"][3]["energy_dram_joules"]
    with pytest.raises(InputError) as caught:
        from_dict(old, "x.json")
    what = "has no 'energy_dram_joules': it is incomplete, or of another version"
    assert caught.value.message == f"x.json: layers[3]: {what}; try: {AGAIN}"


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("", "macs"),
        ("", "step_cycles"),
        ("", "group_count"),
        ("dram_bytes", "total"),
        ("dram_bytes", "read"),
        ("energy_joules", "total"),
    ],
)
def test_totals_that_were_edited_are_noticed(section: str, key: str) -> None:
    edited = plain()
    holder = edited[section] if section else edited
    holder[key] += 1
    with pytest.raises(InputError, match="and its parts add up to") as caught:
        from_dict(edited, "x.json")
    assert caught.value.where.startswith(f"x.json: {section or key}")


@pytest.mark.parametrize(("factor", "readable"), [(1 + 1e-15, True), (1 - 9e-13, True), (1 + 2e-12, False)])
def test_energy_may_differ_by_rounding_alone(factor: float, readable: bool) -> None:
    """Another Python, or a spreadsheet, may have rounded the last digit of the sum otherwise."""
    edited = plain()
    edited["energy_joules"]["total"] *= factor
    if readable:
        assert from_dict(edited) == run("mbs2")
        return
    with pytest.raises(InputError, match=r"energy_joules\.total: is .*, and its parts add up to"):
        from_dict(edited)


def test_a_list_that_was_cut_is_noticed() -> None:
    with pytest.raises(InputError, match=r"^x.json: step_cycles: is \d+, and its parts add up to \d+"):
        from_dict(plain() | {"layers": plain()["layers"][:-1]}, "x.json")


def test_a_section_of_another_type_is_named() -> None:
    with pytest.raises(InputError, match=r"^x.json: dram_bytes: is 3, not an object"):
        from_dict(plain() | {"dram_bytes": 3}, "x.json")


def test_a_step_without_time_is_none() -> None:
    with pytest.raises(InputError, match=r"^x.json: step_cycles: is 0: a step takes time"):
        from_dict(plain() | {"layers": [], "step_cycles": 0, "macs": 0} | _nothing_moved(), "x.json")


def _nothing_moved() -> dict[str, Any]:
    moved = dict.fromkeys(plain()["dram_bytes"], 0)
    return {"dram_bytes": moved}
