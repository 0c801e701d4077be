"""One file a figure: from what was read to a `chart.Picture`."""
