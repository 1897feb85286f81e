"""Schedules: which prompts form which step."""
