"""What ``wavecore train`` says of what is wrong, before it trains: the whole message."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from wavecore.cli import main
from wavecore.errors import InputError
from wavecore.methods import registry

WRONG: dict[tuple[str, ...], str] = {
    ("hoyersquare",): "train: there is no method named 'hoyersquare'\n  try: hoyer-square",
    ("jp",): "train: there is no method named 'jp'\n  try: jpnet",
    ("jpnet", "--network", "lenet-5"): "--network: there is no network that jpnet trains named 'lenet-5'\n"
    "  try: lenet5 or lenet300",
    ("jpnet", "--network", "resnet50"): "--network: there is no network that jpnet trains named 'resnet50'\n"
    "  try: lenet5 or lenet300",
    ("jpnet", "--epochs", "0"): "--epochs: 0 is out of range\n  try: 1 to 100000",
    ("jpnet", "--epochs", "many"): "--epochs: 'many' is not a whole number\n  try: 1 to 100000",
    ("jpnet", "--finetune-epochs", "-1"): "--finetune-epochs: -1 is out of range\n  try: 0 to 100000",
    ("jpnet", "--seed", "1.5"): "--seed: '1.5' is not a whole number\n  try: 0 to 4294967295",
    ("jpnet", "--samples", "0"): "--samples: 0 is out of range\n  try: 1 to 16777216",
    ("jpnet", "--samples", "15"): "--samples: 15 is not an available number of images, equally many of each digit\n"
    "  try: a multiple of 10, up to 3500",
    ("dense", "--samples", "5000"): "--samples: 5000 is not an available number of images, equally many of each digit\n"
    "  try: a multiple of 10, up to 4000",
    ("jpnet", "-o", "file"): "file: is a file, not a folder\n  try: the path of a folder",
    ("jpnet", "-o", "file/below"): "file/below: {cwd}/file is a file, not a folder\n  try: the path of a folder",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    return tmp_path


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_the_message(words: Sequence[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *words]) == 2
    said = capsys.readouterr()
    assert said.err == f"error: {WRONG[tuple(words)].format(cwd=folder)}\n" and not said.out
    assert [path.name for path in folder.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("missing", "what"),
    [
        ({"torch"}, "torch must be installed"),
        ({"torch", "mlxtend"}, "torch and mlxtend must be installed"),
    ],
)
def test_an_extra_that_is_missing(
    missing: set[str], what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name in missing else name)
    assert main(["train", "jpnet"]) == 2
    assert capsys.readouterr().err == f'error: train jpnet: {what}\n  try: pip install "wavecore[torch]"\n'


def test_nothing_to_fine_tune() -> None:
    with pytest.raises(InputError) as caught:
        registry.settings_of(registry.find_method("dense"), finetune_epochs=5)
    assert caught.value.message == (
        "--finetune-epochs: dense prunes nothing, so there is nothing to fine-tune; try: more --epochs"
    )
