"""Names of the files and folders that runs and studies write."""

from __future__ import annotations

from pathlib import Path

RECIPE = "recipe.toml"
"""Resolved settings of the run or study."""
METRICS = "metrics.jsonl"
"""Metrics of a run, one line per step."""
ROLLOUTS = "rollouts.jsonl"
"""Sampled completions of a run, one line per task of a logged step."""
JUDGES = "judges.jsonl"
"""Usage of the judges of a run, one line per change."""
RESULT = "result.json"
"""Manifest and final evaluation of a run; written last, so a folder with this file is finished."""
EVALUATIONS = "eval"
"""Folder of evaluations during a run, one file per step."""
VALIDATIONS = "validation"
"""Folder of validations during a run, one file per step."""
NONFINITE = "nonfinite"
"""Folder of minibatches with a loss or gradient that was not finite, one file per step."""
CHECKPOINTS = "checkpoints"
"""Folder of checkpoints."""
BEST = "best.json"
"""In a folder of best weights: their step and validation accuracy."""
CARD = "README.md"
"""In the folder of a finished run's weights: the model card."""
TRACKERS = "trackers"
"""Folder of what trackers write, and of the identities of their runs."""
LOCK = "running.json"
"""Host and process of a run, stage or study under way, in its folder."""

WARMUP = "warmup"
"""Folder of the supervised fine-tuning that precedes reinforcement learning."""
MODEL = "model"
"""In a folder of supervised fine-tuning: the trained model, adapters merged."""

STAGES = "stages.json"
"""Index of a study's stages."""
ACCURACIES = "accuracies.json"
"""Accuracies of the base and the single-task runs of a study: the input of ``omnithinker plan``."""
PLAN = "plan.json"
"""Transfer matrix, predictions and task orders of a study."""
REPORT = "report.html"
"""Report of a run or study."""


def step_file(folder: Path, step: int) -> Path:
    """Return the file of one step in a folder of evaluations or validations."""
    return folder / f"step-{step}.json"


def completions_file(result: Path) -> Path:
    """Return the file of an evaluation's completions, beside its result."""
    return result.with_suffix(".jsonl")


def step_files(folder: Path) -> list[Path]:
    """Return the files of all steps in a folder of evaluations or validations, by name."""
    return sorted(folder.glob("step-*.json"))


def stage_folder(stage: str) -> str:
    """Return the folder name of a stage: ``single:math#1`` becomes ``single-math-seed1``."""
    return stage.replace(":", "-").replace("#", "-seed").replace(">", "-")
