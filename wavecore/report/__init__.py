"""Pictures of runs and sweeps: one page that opens without a network, or files.

``data`` reads, ``figures`` turn what was read into `pictures.marks.Picture`, and `pictures` draws that.
"""
