"""Multi-task reinforcement learning of language models: hybrid rewards, transfer, and task order.

The names in ``__all__`` are the Python API; docs/python.md describes them. Each is imported on first use, so that
``import omnithinker`` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omnithinker.checks.run import check_recipe
    from omnithinker.config.file import load_recipe
    from omnithinker.config.recipe import Recipe
    from omnithinker.integrations.completions import score_completions
    from omnithinker.planning.plan import make_plan
    from omnithinker.report.page import write_report
    from omnithinker.study.commands import read_study, run_study
    from omnithinker.train.commands import evaluate_model, finetune_model, train_model
    from omnithinker.ui.view import View

__version__ = "0.1.0"

__all__ = [
    "Recipe",
    "View",
    "check_recipe",
    "evaluate_model",
    "finetune_model",
    "load_recipe",
    "make_plan",
    "read_study",
    "run_study",
    "score_completions",
    "train_model",
    "write_report",
]

_MODULES = {
    "Recipe": "config.recipe",
    "View": "ui.view",
    "check_recipe": "checks.run",
    "evaluate_model": "train.commands",
    "finetune_model": "train.commands",
    "load_recipe": "config.file",
    "make_plan": "planning.plan",
    "read_study": "study.commands",
    "run_study": "study.commands",
    "score_completions": "integrations.completions",
    "train_model": "train.commands",
    "write_report": "report.page",
}
"""Module of each name. No name may be that of a room: importing the room would replace it."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
