"""Baselines: other ways to get one model for all tasks."""
