"""Write what commands print and save into FOLDER, without the seconds they took: equal on every Python.

python outputs.py FOLDER [OTHER]

With OTHER, a folder that another Python has written, its run and its sweep are read and continued.
"""

import contextlib
import io
import re
import sqlite3
import sys
from pathlib import Path

from wavecore.cli import main

SECONDS = re.compile(r'("(?:seconds|seconds_to_simulate|points_per_second)": )[-+.e\d]+|(ated in ).*')
COMMANDS = {
    "run.txt": "run resnet18 --out runs",
    "analytic.json": "run alexnet --schedule il --engine analytic --json",
    "lstm.json": "run lstm_ptb --engine analytic --json",
    "compare.json": "compare lenet5 mobilenet_v2 --engine analytic --json",
    "energy.json": "energy resnet18 --engine analytic --json",
    "energy.txt": "energy resnet18 --engine analytic --csv energy.csv",
    "sparse.json": "run alexnet --engine analytic --json --set sparsity.gating=true",
    "plan.toml": "plan resnet50 --toml",
    "program.txt": "program lenet5",
    "metrics.json": "list metrics --json",
    "sweep.txt": "sweep space.toml --out sweep",
}
SPACE = """\
name = "space"
workload = "resnet18"

[axes]
schedule = ["baseline", "mbs2"]
"core.global_buffer" = ["5 MiB", "10 MiB"]
"""


def printed(words: str) -> str:
    """Run a command that must succeed, and return what it prints and says."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(words.split())
    if code:
        sys.exit(f"wavecore {words}: exit code {code}: {said.getvalue()}")
    return out.getvalue() + said.getvalue()


def store_text(path: Path) -> str:
    """Return the outcomes of a sweep's store, without seconds."""
    with contextlib.closing(sqlite3.connect(path)) as store:
        return "".join(f"{row}\n" for row in store.execute("SELECT key, metrics, error FROM outcomes ORDER BY key"))


def write(folder: Path) -> None:
    """Fill the folder."""
    folder.mkdir(parents=True)
    with contextlib.chdir(folder):
        Path("space.toml").write_text(SPACE, encoding="utf-8")
        for name, words in COMMANDS.items():
            Path(name).write_text(printed(words), encoding="utf-8")
        Path("store.txt").write_text(store_text(Path("sweep/store.sqlite")), encoding="utf-8")
        for path in Path().rglob("*"):
            if path.suffix in (".txt", ".json"):
                path.write_text(SECONDS.sub(r"\1\g<2>1", path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
    for other in map(Path, sys.argv[2:]):
        with contextlib.chdir(other):
            printed("report runs --plot read --force")
            said = printed("sweep space.toml --out sweep")
            if "0 evaluated" not in said:
                sys.exit(f"the sweep did not go on from its store: {said}")
