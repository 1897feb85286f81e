"""The number format of a run's matrix products, chosen once: a run that resumes elsewhere computes in the same one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from omnithinker.config.file import load_recipe
from omnithinker.config.recipe import Recipe
from omnithinker.io.layout import RECIPE
from omnithinker.policy.loading import uses_gpu
from omnithinker.policy.number_format import fast_in_bfloat16, load_config
from omnithinker.policy.source import locate_model, reading_model


def with_number_format(recipe: Recipe, note: Callable[[str], None], *folders: Path) -> Recipe:
    """Replace ``model.compute = "auto"`` by the format of earlier results, or by the faster one here.

    Args:
        recipe: all settings.
        note: receives a message if a CPU computes in bfloat16.
        folders: folders that may hold such results, the run's own first.

    Raises:
        BadInput: if there is no such model.
    """
    settings = recipe.model
    if settings.compute != "auto":
        return recipe
    files = [folder / RECIPE for folder in folders if (folder / RECIPE).exists()]
    if files:
        compute = load_recipe(files[0]).model.compute
    else:
        gpu, source = uses_gpu(settings), locate_model(settings.path)
        with reading_model(source):
            config = load_config(settings, source)
        compute = "bfloat16" if fast_in_bfloat16(config, gpu=gpu) else "float32"
        if compute == "bfloat16" and not gpu:
            note("matrix products in bfloat16, which this CPU computes much faster (model.compute)")
    return recipe.model_copy(update={"model": settings.model_copy(update={"compute": compute})})
