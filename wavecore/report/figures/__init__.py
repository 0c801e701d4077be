"""One file per figure: functions from the data of a report to a `pictures.marks.Picture`."""
