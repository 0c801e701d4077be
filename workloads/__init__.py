"""The networks that come with wavecore, one file a family, each registered through an entry point.

Layers are named like those of the implementation that a file cites, so that a checkpoint's tensors can be
matched to them; a normalization takes the name of the batch normalization that it stands for.
"""
