"""Run SCALE-Sim on one topology; needs the interpreter of an environment with scalesim 3.0.0.

usage: run_scalesim.py TOPOLOGY.csv ROWS COLUMNS ws|os|is conv|gemm

Prints one line per layer: "Total Cycles" and "Stall Cycles" of its COMPUTE_REPORT.csv.  The interface bandwidth
is CALC (SCALE-Sim estimates what it would need), in which its memory never stalls the array.
"""

import contextlib
import csv
import io
import sys
import tempfile
from pathlib import Path

from scalesim.scale_sim import scalesim

CONFIG = """
[general]
run_name = run
[architecture_presets]
ArrayHeight = {rows}
ArrayWidth = {columns}
IfmapSramSzkB = 1024
FilterSramSzkB = 1024
OfmapSramSzkB = 1024
IfmapOffset = 0
FilterOffset = 10000000
OfmapOffset = 20000000
Bandwidth = 10
Dataflow = {dataflow}
ReadRequestBuffer = 64
WriteRequestBuffer = 64
[layout]
IfmapCustomLayout = False
IfmapSRAMBankBandwidth = 10
IfmapSRAMBankNum = 10
IfmapSRAMBankPort = 2
FilterCustomLayout = False
FilterSRAMBankBandwidth = 10
FilterSRAMBankNum = 10
FilterSRAMBankPort = 2
[sparsity]
SparsitySupport = false
[run_presets]
InterfaceBandwidth = CALC
UseRamulatorTrace = False
"""


def main(topology: str, rows: str, columns: str, dataflow: str, kind: str) -> None:
    """Run every layer of ``topology`` and print its total and stall cycles."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "scale.cfg")
        config.write_text(CONFIG.format(rows=rows, columns=columns, dataflow=dataflow))
        layout = Path(folder, "layout.csv")
        layout.write_text("header,\n" + "layer," + "1," * 20 + "\n")
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            run = scalesim(
                save_disk_space=True,
                verbose=False,
                config=str(config),
                topology=topology,
                layout=str(layout),
                input_type_gemm=kind == "gemm",
            )
            run.run_scale(top_path=folder)
        with Path(folder, "run", "COMPUTE_REPORT.csv").open() as report:
            for row in csv.DictReader(report, skipinitialspace=True):
                print(row["Total Cycles"], row["Stall Cycles"])


main(*sys.argv[1:])
