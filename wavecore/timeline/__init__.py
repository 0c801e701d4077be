"""The timeline of a run: what each queue did when, written for a viewer of traces."""
