"""Does a program's text say all that its commands hold, in words that its legend explains?"""

import re

import pytest
from builders import SCHEDULES, machine
from small_networks import NETWORKS

from wavecore.cli import main
from wavecore.errors import NameLookupError
from wavecore.program.commands import Program, StepProfile
from wavecore.program.listing import LEGEND, command_lines, legend_lines, program_lines
from wavecore.program.lower import lower
from wavecore.training.unroll import training_graph


def program(name: str = "mobile") -> Program:
    training = training_graph(NETWORKS[name]() if name in NETWORKS else next(iter(NETWORKS.values()))())
    return lower(training, SCHEDULES["mbs2"].make(training, machine(), 4), machine())


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_word_is_in_the_legend(name: str) -> None:
    words = {word for word, _ in LEGEND}
    assert set(StepProfile) <= words
    for segment in program(name).cores[0]:
        for body, _ in segment.bodies:
            for command in body:
                for line in command_lines(command):
                    assert {line.verb, *re.findall(r"\w+", line.how)} <= words


def test_loads_and_stores_have_the_bytes_of_the_command() -> None:
    for segment in program().cores[0]:
        for body, _ in segment.bodies:
            for command in body:
                lines = list(command_lines(command))
                for verb, flows in (("load", command.loads), ("store", command.stores), ("post", command.posts)):
                    found = sum(
                        line.size for line in lines if line.verb == verb and (verb, line.queue) != ("post", "load")
                    )
                    assert found == sum(each.flow.total for each in flows)


def test_one_queue_of_one_layer() -> None:
    made = program()
    layer = made.cores[0][0].iterations[0][1][0].unit
    whole, part = list(program_lines(made)), list(program_lines(made, queue="store", layer=layer))
    assert 1 < len(part) < len(whole) and set(part) <= set(whole)
    assert {line.split()[0] for line in part if line.startswith("      ")} == {"store"}
    for wrong in ({"queue": "stor"}, {"layer": "no such layer"}):
        with pytest.raises(NameLookupError):
            list(program_lines(made, **wrong))


def test_the_command_prints_the_legend(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["program", "lenet5", "--layer", "conv2", "--queue", "array"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1 : 1 + len(LEGEND)] == list(legend_lines())
    assert "      array   wait    pool1  281 KiB  even" in printed
    assert main(["program", "lenet5", "--queue", "arrays"]) == 2
    assert capsys.readouterr().err.startswith("error: --queue: there is no queue named 'arrays'\n  try: array")
