"""The machine: its description, where its values come from, and closed forms of its array and its memory."""
