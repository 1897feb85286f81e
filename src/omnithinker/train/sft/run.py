"""Supervised fine-tuning of a recipe's base model: run it, resume it, or use its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from omnithinker.config.recipe import Recipe
from omnithinker.config.sharing import shareable_settings
from omnithinker.config.warmup import WarmupSettings
from omnithinker.errors import DataError
from omnithinker.io.files import read_json_lines, remove_leftovers, write_json
from omnithinker.io.layout import CHECKPOINTS, METRICS, MODEL, RESULT, WARMUP
from omnithinker.io.lock import lock
from omnithinker.io.sft_metrics import SftMetrics
from omnithinker.io.trackers import Trackers
from omnithinker.policy.loading import load_policy
from omnithinker.schedules.base import FixedSchedule
from omnithinker.train.checkpoint import link_weights, replacing
from omnithinker.train.context import RunContext
from omnithinker.train.folder import open_output_folder, refuse_changed_settings
from omnithinker.train.manifest import manifest
from omnithinker.train.number_format import with_number_format
from omnithinker.train.sft.demonstrations import Demonstration, from_rows, split
from omnithinker.train.sft.trainer import SftTrainer, sft_schedule
from omnithinker.ui.view import View

SAMPLING = ("completions", "temperature", "max_new_tokens")
UNRELATED = frozenset(("test", "beta", "weight", "share", "clip_low", "clip_high", "rewards", *SAMPLING))
"""Settings of a task that do not change a warm-up."""


def warmup_essentials(recipe: Recipe) -> dict[str, Any]:
    """Return the settings that determine the numbers of a warm-up, as JSON values."""
    everything = recipe.essentials()
    return {
        "seed": everything["seed"],
        "model": everything["model"],
        "warmup": everything["warmup"],
        "sampling": {name: everything["sampling"][name] for name in ("max_prompt_tokens", "overlong_prompts")},
        "training": {"max_grad_norm": everything["training"]["max_grad_norm"]},
        "evaluation": {"validation_items": everything["evaluation"]["validation_items"]},
        "tasks": {
            task: {name: value for name, value in settings.items() if name not in UNRELATED}
            for task, settings in everything["tasks"].items()
            if settings["demonstration"] is not None
        },
    }


def run_warmup(context: RunContext, folder: Path, view: View) -> Path:
    """Fine-tune the recipe's base model on the demonstrations of its tasks.

    An interrupted warm-up resumes, and a finished one is only used.

    Args:
        context: the recipe, with a warm-up, and the objects that its runs share.
        folder: its folder.
        view: shows progress.

    Returns:
        Folder of the trained model.

    Raises:
        BadInput: if the folder cannot be written to, or holds results of other settings.
        Interrupted: if the user stops it, or another process works in the folder.
    """
    if not (folder / RESULT).exists():
        with lock(folder):
            open_output_folder(folder, context.recipe, warmup_essentials)
            remove_leftovers(folder)
            if not (folder / RESULT).exists():  # another process may have finished it before it released the lock
                demonstrations = from_rows(context.recipe, context.train_prompts)
                run_sft(context, context.recipe.warmup or WarmupSettings(), demonstrations, folder, view, name=WARMUP)
    return finished_warmup(folder, context.recipe)


def planned_schedule(context: RunContext) -> FixedSchedule:
    """Return the batches of the warm-up of a recipe."""
    recipe = context.recipe
    settings = recipe.warmup or WarmupSettings()
    learned, _ = _split(from_rows(recipe, context.train_prompts), settings, recipe)
    return sft_schedule(learned, settings, recipe.seed)


def _split(
    demonstrations: Sequence[Demonstration], settings: WarmupSettings, recipe: Recipe
) -> tuple[list[Demonstration], list[Demonstration]]:
    return split(demonstrations, items=settings.items, validation_items=settings.validation_items, seed=recipe.seed)


def finished_warmup(folder: Path, recipe: Recipe) -> Path:
    """Return the folder of the model of a finished warm-up.

    Raises:
        BadInput: if the warm-up had other settings.
    """
    refuse_changed_settings(folder, recipe, warmup_essentials)
    return folder / MODEL


def warmed_up_model(recipe: Recipe, note: Callable[[str], None]) -> Path | None:
    """Return the folder of the model that runs start from after a finished warm-up; None if there is none.

    Args:
        recipe: all settings; the warm-up is looked for in its ``output``.
        note: receives a message with the folder.

    Raises:
        BadInput: if the warm-up had other settings.
    """
    folder = Path(recipe.output) / WARMUP
    if recipe.warmup is None or not (folder / RESULT).exists():
        return None
    model = finished_warmup(folder, with_number_format(recipe, note, folder))
    note(f"using the warmed-up model {model}")
    return model


def run_sft(
    context: RunContext,
    settings: WarmupSettings,
    demonstrations: Sequence[Demonstration],
    folder: Path,
    view: View,
    *,
    name: str,
) -> None:
    """Fine-tune the recipe's base model on demonstrations from any source, and write model and result.

    Args:
        context: the recipe and the objects that its runs share.
        settings: optimizer, epochs, batches and validation items.
        demonstrations: all of them, those to hold out included.
        folder: run folder, locked by the caller.
        view: shows progress.
        name: name of the run.

    Raises:
        DataError: if there are no demonstrations.
        Interrupted: if the user stops it.
    """
    recipe = context.recipe
    learned, held_out = _split(demonstrations, settings, recipe)
    if not learned:
        raise DataError(f"{folder}: no demonstrations to learn")
    started = time.monotonic()
    with closing(Trackers(recipe.trackers, shareable_settings(recipe), folder, view.note)) as trackers:
        observer = SftObserver(view, trackers)
        with SftTrainer(recipe, settings, learned, held_out, folder, observer, seed=recipe.seed) as trainer:
            view.start_run(name, len(trainer.schedule), alone=True)
            state = trainer.train()
    save_model(recipe, folder, state.step)
    last = SftMetrics.from_record(read_json_lines(folder / METRICS)[-1])
    write_json(
        folder / RESULT,
        manifest(name, recipe, context.resources, {}, time.monotonic() - started)
        | {
            "steps": state.step,
            "demonstrations": len(learned),
            "validation_items": len(held_out),
            "loss": last.loss,
            "val_loss": last.val_loss,
            "val_loss_per_task": last.per_task("val_loss"),
            "measured_step": state.step,
        },
    )


def save_model(recipe: Recipe, folder: Path, step: int) -> None:
    """Write the trained model to the folder's ``model``; an adapter is merged into its base."""
    checkpoint = folder / CHECKPOINTS / f"step-{step}"
    with replacing(folder / MODEL) as temporary:
        if recipe.model.lora is None:
            link_weights(checkpoint, temporary)
        else:
            load_policy(recipe.model, checkpoint).save(temporary)


class SftObserver:
    """Progress of a run: view and trackers."""

    def __init__(self, view: View, trackers: Trackers) -> None:
        self.view, self.trackers = view, trackers

    def on_step(self, metrics: SftMetrics, total: int) -> None:
        """Show and track the metrics of a finished update."""
        self.trackers.step(metrics)
        self.view.step(metrics, total)

    def note(self, text: str) -> None:
        """Show a message."""
        self.view.note(text)
