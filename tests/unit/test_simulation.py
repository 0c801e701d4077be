"""Do workload, schedule and accelerator meet in one result, the same every time?"""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import SCHEDULES, chain, machine, residual

import wavecore as wc
from wavecore.errors import InputError, NameLookupError
from wavecore.results.run import Run, to_dict
from wavecore.simulation import ENGINES, batch_per_core, find_engine, find_schedule, make_plan, schedule_names, simulate
from wavecore.sweep.task import make_task
from wavecore.training.unroll import training_graph

CORES = 2


def figures(run: Run) -> dict[str, object]:
    """Everything but the time it took."""
    plain = to_dict(run)
    del plain["manifest"]["seconds_to_simulate"]
    return plain


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("schedule", ["baseline", "mbs2"])
def test_the_same_again(engine: str, schedule: str) -> None:
    first, second = (simulate(residual(), schedule, machine(), batch=8, engine=engine) for _ in range(2))
    assert figures(first) == figures(second)


def test_a_graph_a_training_graph_and_a_name_mean_the_same() -> None:
    runs = [
        simulate(chain(), "mbs2", machine(), batch=8),
        simulate(training_graph(chain()), "mbs2", "wavecore", batch=8),
        wc.simulate(chain(), schedule="mbs2", accelerator="wavecore", batch=8),
    ]
    assert figures(runs[1]) == figures(runs[2])
    unsourced = replace(runs[1], manifest=replace(runs[1].manifest, sources={}))  # a machine is not told its sources
    assert figures(runs[0]) == figures(unsourced)


def test_a_plan_is_a_schedule() -> None:
    plan = make_plan(training_graph(residual()), "mbs2", machine(), 4)
    planned = simulate(residual(), plan, machine())
    assert figures(planned) == figures(simulate(residual(), "mbs2", machine(), batch=8))
    assert planned.batch == 8


def test_an_edited_plan_runs_as_it_says() -> None:
    plan = make_plan(training_graph(residual()), "mbs2", machine(), 4)
    edited = replace(plan, groups=tuple(replace(group, sub_batch=3) for group in plan.groups))
    run = simulate(residual(), edited, machine())
    assert [(group.sub_batch, group.iterations) for group in run.groups] == [(3, 2)] * len(plan.groups)


def test_a_plan_for_another_batch() -> None:
    plan = make_plan(training_graph(chain()), "mbs2", machine(), 4)
    assert simulate(chain(), plan, machine(), batch=8).batch == 8
    with pytest.raises(InputError) as caught:
        simulate(chain(), plan, machine(), batch=16)
    assert str(caught.value) == "batch: is 16, and the plan is made for 8 samples; try: 8"


def test_figures_of_a_run() -> None:
    run = simulate(chain(), "mbs2", machine(), batch=8)
    assert (run.workload, run.schedule, run.accelerator, run.memory) == ("chain", "mbs2", "wavecore", "hbm2x2")
    assert run.macs == 8 * 15360
    assert run.step_seconds == run.step_cycles / 0.7e9
    assert run.samples_per_second == pytest.approx(8 / run.step_seconds)
    assert run.array_utilization == run.macs / (run.step_cycles * 128 * 128 * CORES)


def test_rows_follow_the_step() -> None:
    rows = [(row.name, str(row.phase)) for row in simulate(chain(), "mbs2", machine(), batch=8).rows]
    assert rows == [
        ("one", "forward"),
        ("two", "forward"),
        ("loss", "forward"),
        ("loss", "data_gradient"),
        ("two", "data_gradient"),
        ("two", "weight_gradient"),
        ("one", "weight_gradient"),
        ("one", "update"),
        ("two", "update"),
    ]


def test_layers_is_a_table_of_the_rows() -> None:
    run = simulate(chain(), "mbs2", machine(), batch=8)
    assert list(run.layers["name"]) == [row.name for row in run.rows]
    assert run.layers["cycles"].sum() == run.step_cycles


def test_the_default_batch_is_32_samples_a_core() -> None:
    assert simulate(chain(), "baseline", machine(), engine="analytic").batch == 32 * CORES
    assert simulate(chain(), "baseline", machine("chip.cores=3"), engine="analytic").batch == 32 * 3


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (0, "batch: a mini-batch of 0 samples is empty; try: 64"),
        (-2, "batch: a mini-batch of -2 samples is empty; try: 64"),
        (63, "batch: 63 samples do not split evenly over 2 cores; try: 62 or 64"),
        (1, "batch: 1 samples do not split evenly over 2 cores; try: 2"),
    ],
)
def test_batches_that_do_not_split(batch: int, message: str) -> None:
    with pytest.raises(InputError) as caught:
        simulate(chain(), "mbs2", machine(), batch=batch)
    assert str(caught.value) == message


def test_batches_that_do() -> None:
    assert [batch_per_core(64, cores) for cores in (1, 2, 4)] == [64, 32, 16]


def test_unknown_names() -> None:
    with pytest.raises(NameLookupError) as caught:
        find_engine("events")
    assert str(caught.value) == "engine: there is no engine named 'events'; try: event"
    with pytest.raises(NameLookupError) as caught:
        find_schedule("mbs3")
    assert str(caught.value).startswith("schedule: there is no schedule named 'mbs3'; try: mbs")


def test_registered_names() -> None:
    assert set(schedule_names()) == set(SCHEDULES) >= {"baseline", "archopt", "il", "mbs-fs", "mbs1", "mbs2"}
    assert all(find_schedule(name).name == name for name in schedule_names())
    assert all(callable(find_engine(name)) for name in ENGINES)


def test_progress_grows_to_the_whole() -> None:
    shares: list[float] = []
    simulate(chain(), "mbs2", machine(), batch=8, progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_the_manifest_names_its_inputs() -> None:
    run = simulate(chain(), "mbs2", machine(), batch=8, sources={"mac": "Horowitz"}, settings={"batch": 8})
    other = simulate(chain(), "mbs2", machine("memory=lpddr4"), batch=8)
    assert set(run.manifest.hashes) == {"workload", "plan", "accelerator"}
    assert (run.manifest.sources, run.manifest.settings) == ({"mac": "Horowitz"}, {"batch": 8})
    changed = {key for key, value in run.manifest.hashes.items() if other.manifest.hashes[key] != value}
    assert changed == {"accelerator"}
    assert run.manifest.events > 0
    assert run.manifest.version


@pytest.mark.parametrize("name", wc.workload_names())
def test_python_and_the_command_line_use_the_same_mini_batch(name: str) -> None:
    from wavecore.cli.inputs import load_case, load_machine, samples_per_core
    from wavecore.cli.options import MachineOptions, NetworkOptions
    from wavecore.network.catalog import workload_info

    own = workload_info(name).batch_per_core
    assert samples_per_core(load_case(name, NetworkOptions()), load_machine(MachineOptions()), None) == own
    assert wc.workload(name).batch_per_core == own
    assert training_graph(wc.workload(name)).batch_per_core == own
    assert make_task(name, "baseline", wc.load_accelerator()).batch == own * CORES


@pytest.mark.parametrize("name", ["alexnet", "lenet5", "lstm_ptb", "resnet18"])
def test_a_name_is_a_workload_with_its_own_mini_batch(name: str) -> None:
    from wavecore.network.catalog import workload_info

    samples = workload_info(name).batch_per_core * CORES
    assert simulate(name, "baseline", engine="analytic").batch == samples
    assert wc.evaluate(name, "baseline").batch == samples
    assert wc.evaluate(wc.workload(name), "baseline").batch == samples
    assert wc.evaluate(name, "baseline", batch=2 * CORES).batch == 2 * CORES
