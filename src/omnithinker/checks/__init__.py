"""Whether a recipe will work, found out before it is run: model, data, rewards, sandbox, judge, memory, tokens."""

from omnithinker.checks.report import Report, Section
from omnithinker.checks.run import check_recipe

__all__ = ["Report", "Section", "check_recipe"]
