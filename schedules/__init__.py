"""Schedules: one file a policy."""
