"""Checks of a recipe before training: model, data, rewards, sandbox, judges, trackers, memory, tokens."""

from omnithinker.checks.report import Report, Section
from omnithinker.checks.run import check_recipe

__all__ = ["Report", "Section", "check_recipe"]
