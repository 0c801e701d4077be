"""The built-in networks, one file per family, each registered through an entry point.

Layers have the names of the implementation that a file cites, so that a checkpoint's tensors can be matched to them.  A
group normalization has the name of the batch normalization that it replaces.
"""
