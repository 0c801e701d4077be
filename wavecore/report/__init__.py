"""Pictures of runs and sweeps: one page that opens without a network, or files.

``data`` reads, ``figures`` turn what was read into `chart.Picture`, and `interactive` or `static` draws that.
"""
