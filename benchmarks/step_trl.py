"""Timed run of TRL's GRPO trainer on a workload."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from omnithinker.types import Prompt, RolloutGroup, Trajectory
from step_cases import COMPLETIONS, Case
from step_timing import StepTime, StepTimer

warnings.filterwarnings("ignore")
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
logging.getLogger("trl").setLevel(logging.ERROR)


class _TimedTrainer(GRPOTrainer):
    """TRL's trainer with a timer on generation and reward."""

    timer: StepTimer
    prompts: Sequence[Prompt]
    tokens: int

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        with self.timer.generation():
            batch = super()._generate_and_score_completions(inputs)
        for row, ids, mask in zip(inputs, batch["prompt_ids"], batch["prompt_mask"], strict=True):
            if tuple(ids[mask.bool()].tolist()) != self.prompts[row["number"]].token_ids:
                raise RuntimeError("TRL's prompt tokens differ from the workload's")
        self.tokens = int(batch["completion_mask"].sum())
        return batch


class _TimerCallback(TrainerCallback):
    def __init__(self, timer: StepTimer, trainer: Any = None) -> None:
        self.timer, self.trainer = timer, trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.timer.step(self.trainer.tokens)


def run_trl(case: Case, work: Path, rows_per_pass: int | None, *, bf16: bool) -> list[StepTime]:
    """Time all steps of a schedule except the first (warm-up).

    Args:
        case: the workload.
        work: folder for TRL's output.
        rows_per_pass: completions in one forward and backward pass; None for all of a step.
        bf16: TRL's own switch for bfloat16 autocast.
    """
    prompts = [case.prompts[item.task][item.index] for batch in case.schedule for item in batch]
    per_step = len(case.schedule[0])
    torch.set_num_threads(case.recipe.model.threads or torch.get_num_threads())
    timer = StepTimer()
    callback = _TimerCallback(timer)
    tokenizer = AutoTokenizer.from_pretrained(case.folder, padding_side="left")
    trainer = _TimedTrainer(
        model=AutoModelForCausalLM.from_pretrained(case.folder, dtype=torch.float32),
        processing_class=tokenizer,
        reward_funcs=_reward(case, prompts),
        args=_config(case, work, per_step * COMPLETIONS, rows_per_pass, bf16),
        train_dataset=Dataset.from_list([_row(tokenizer, prompt, k) for k, prompt in enumerate(prompts)]),
        callbacks=[callback],
    )
    trainer.timer, trainer.prompts, callback.trainer = timer, prompts, trainer
    trainer.train()
    return timer.steps[1:]


def _row(tokenizer: Any, prompt: Prompt, number: int) -> dict[str, Any]:
    """Return a row whose text has the prompt's tokens: with its chat template, system prompt and messages applied."""
    return {"prompt": tokenizer.decode(prompt.token_ids, clean_up_tokenization_spaces=False), "number": number}


def _config(case: Case, work: Path, rows: int, rows_per_pass: int | None, bf16: bool) -> GRPOConfig:
    """Return the same objective, sampling and optimizer, without gradient checkpointing: TRL's fastest mode."""
    sampling, training = case.recipe.sampling, case.recipe.training
    return GRPOConfig(
        output_dir=str(work / "trl"),
        use_cpu=True,
        bf16=bf16,
        gradient_checkpointing=False,
        per_device_train_batch_size=rows_per_pass or rows,
        gradient_accumulation_steps=rows // (rows_per_pass or rows),
        max_steps=len(case.schedule),
        num_generations=COMPLETIONS,
        max_completion_length=sampling.max_new_tokens,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        loss_type="grpo",
        beta=0.0,
        learning_rate=training.learning_rate,
        lr_scheduler_type="constant",
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        shuffle_dataset=False,
        dataloader_pin_memory=False,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )


def _reward(case: Case, prompts: Sequence[Prompt]) -> Any:
    """Return the workload's rewards as a TRL reward function."""

    def reward(completions: list[Any], completion_ids: list[list[int]], number: list[int], **_: Any) -> list[Any]:
        rows = [
            Trajectory(text=text, token_ids=tuple(ids)) for text, ids in zip(completions, completion_ids, strict=True)
        ]
        groups = [
            RolloutGroup(
                prompt=prompts[number[start]],
                trajectories=tuple(
                    replace(row, seed=start + g) for g, row in enumerate(rows[start : start + COMPLETIONS])
                ),
            )
            for start in range(0, len(rows), COMPLETIONS)
        ]
        return case.score(groups)

    return reward
