"""Builders that several test modules share: policies, recipes, runs, endpoints, study folders."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The repository."""
