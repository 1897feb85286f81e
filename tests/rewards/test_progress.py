"""Functions that ask for ``trainer_state`` learn the true step from the training loop."""

from pathlib import Path

import pytest

from omnithinker.io.files import read_json_lines
from omnithinker.rewards.base import Component, Progress
from omnithinker.rewards.external import TrlFunction
from omnithinker.rewards.runner import Scorer
from omnithinker.schedules.base import FixedSchedule
from omnithinker.schedules.curriculum import curriculum_batches
from omnithinker.train.trainer import Trainer
from tests.builders.training import Quiet, prompts_of, recipe_of


def test_the_loop_tells_its_step_and_logged_numbers_become_metrics(model_folder: Path, tmp_path: Path) -> None:
    seen = set()

    def reward(completions, trainer_state, log_metric):
        seen.add((trainer_state.global_step, trainer_state.max_steps))
        log_metric("step", trainer_state.global_step)
        return [float(len(text) % 2) for text in completions]

    progress = Progress()
    recipe = recipe_of(model_folder)
    prompts = prompts_of(recipe)
    sizes = {task: len(items) for task, items in prompts.items()}
    batches = curriculum_batches(sizes, ["a", "b"], prompts_per_step=3, epochs=1, seed=0)
    component = Component("mine", TrlFunction(reward, progress=progress), 1.0, True)
    folder = tmp_path / "run"
    folder.mkdir()
    with Scorer({task: [component] for task in recipe.tasks}, progress=progress) as scorer:
        Trainer(recipe, prompts, FixedSchedule(batches), scorer, folder, Quiet(), seed=1).train()
    assert seen == {(step, len(batches)) for step in range(len(batches))}
    assert progress.step == len(batches)
    logged = [
        value
        for record in read_json_lines(folder / "metrics.jsonl")
        for name, value in record.items()
        if name.endswith("/component/mine/step")
    ]
    assert logged == pytest.approx(list(range(len(batches))))
