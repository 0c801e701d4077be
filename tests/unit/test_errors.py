"""Do errors say where, what and what to try, and are they told apart?"""

import pickle

import pytest

from wavecore import errors
from wavecore.errors import InputError, InvariantError, NameLookupError, WavecoreError, nearest, unknown_name

USER_MISTAKES = ["UnitError", "NameLookupError", "ConfigError", "GraphError", "PlanError", "SpaceError", "FileError"]


def test_message_with_a_hint() -> None:
    assert str(InputError("--batch", "is 0", "64")) == "--batch: is 0; try: 64"


def test_message_without_a_hint() -> None:
    assert InvariantError("core 0", "stopped").message == "core 0: stopped"


@pytest.mark.parametrize("name", USER_MISTAKES)
def test_users_mistakes_are_input_errors(name: str) -> None:
    assert issubclass(getattr(errors, name), InputError)
    assert name in (errors.__doc__ or "")


def test_our_mistakes_are_not() -> None:
    assert issubclass(InvariantError, WavecoreError)
    assert not issubclass(InvariantError, InputError)


def test_every_error_is_drawn_in_the_tree() -> None:
    classes = {name for name, value in vars(errors).items() if isinstance(value, type)} - {"Iterable"}
    assert classes == {word for word in (errors.__doc__ or "").split() if word.endswith("Error")}


def test_errors_survive_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(NameLookupError("--schedule", "there is none", "mbs2")))
    assert type(error) is NameLookupError
    assert (error.where, error.what, error.hint) == ("--schedule", "there is none", "mbs2")


@pytest.mark.parametrize(
    ("typed", "best"), [("resnet5", "resnet50"), ("ResNet-50", "resnet50"), ("mobilenetv2", "mobilenet_v2")]
)
def test_nearest_name_first(typed: str, best: str) -> None:
    assert nearest(typed, ["alexnet", "mobilenet_v2", "resnet18", "resnet50"])[0] == best


def test_nothing_is_near_to_nonsense() -> None:
    assert nearest("zzzz", ["alexnet", "resnet50"]) == []


def test_an_unknown_name_offers_near_ones() -> None:
    error = unknown_name("--memory", "memory", "hbm3", ["hbm2", "lpddr4"])
    assert str(error) == "--memory: there is no memory named 'hbm3'; try: hbm2"


def test_an_unknown_name_far_from_all_lists_them() -> None:
    error = unknown_name("--memory", "memory", "zzzz", ["lpddr4", "hbm2"])
    assert str(error) == "--memory: there is no memory named 'zzzz'; try: one of hbm2, lpddr4"
