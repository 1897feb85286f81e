"""TRL's GRPO trainer on a workload, timed step by step."""

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
from step_timing import Clock, Timed

warnings.filterwarnings("ignore")
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
logging.getLogger("trl").setLevel(logging.ERROR)


class _Timed(GRPOTrainer):
    """TRL's trainer with a clock on generation and reward."""

    clock: Clock
    prompts: Sequence[Prompt]
    tokens: int

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        with self.clock.part():
            batch = super()._generate_and_score_completions(inputs)
        for row, ids, mask in zip(inputs, batch["prompt_ids"], batch["prompt_mask"], strict=True):
            if tuple(ids[mask.bool()].tolist()) != self.prompts[row["number"]].token_ids:
                raise RuntimeError("TRL sees other prompt tokens")
        self.tokens = int(batch["completion_mask"].sum())
        return batch


class _Steps(TrainerCallback):
    def __init__(self, clock: Clock, trainer: Any = None) -> None:
        self.clock, self.trainer = clock, trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.clock.step(self.trainer.tokens)


def run_trl(case: Case, work: Path, rows_at_once: int | None) -> list[Timed]:
    """Every step of a schedule, the first left out as warm-up.

    Args:
        case: the workload.
        work: folder for what TRL writes.
        rows_at_once: completions in one forward and backward pass; by default all of a step.
    """
    prompts = [case.prompts[item.task][item.index] for batch in case.schedule for item in batch]
    per_step = len(case.schedule[0])
    torch.set_num_threads(case.recipe.model.threads or torch.get_num_threads())
    clock = Clock()
    watch = _Steps(clock)
    trainer = _Timed(
        model=AutoModelForCausalLM.from_pretrained(case.folder, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(case.folder, padding_side="left"),
        reward_funcs=_reward(case, prompts),
        args=_config(case, work, per_step * COMPLETIONS, rows_at_once),
        train_dataset=Dataset.from_list([_row(case, prompt, k) for k, prompt in enumerate(prompts)]),
        callbacks=[watch],
    )
    trainer.clock, trainer.prompts, watch.trainer = clock, prompts, trainer
    trainer.train()
    return clock.steps[1:]


def _row(case: Case, prompt: Prompt, number: int) -> dict[str, Any]:
    content = [{"role": "user", "content": prompt.text}] if case.conversational else prompt.text
    return {"prompt": content, "number": number}


def _config(case: Case, work: Path, rows: int, rows_at_once: int | None) -> GRPOConfig:
    """The same objective, sampling and optimizer; float32 in one pass, which is TRL's fastest way on a CPU."""
    sampling, training = case.recipe.sampling, case.recipe.training
    return GRPOConfig(
        output_dir=str(work / "trl"),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        per_device_train_batch_size=rows_at_once or rows,
        gradient_accumulation_steps=rows // (rows_at_once or rows),
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
    """The workload's rewards as a reward function of TRL's."""

    def reward(completions: list[Any], completion_ids: list[list[int]], number: list[int], **_: Any) -> list[Any]:
        texts = [c if isinstance(c, str) else c[0]["content"] for c in completions]
        rows = [Trajectory(text=text, token_ids=tuple(ids)) for text, ids in zip(texts, completion_ids, strict=True)]
        groups = [
            RolloutGroup(
                prompt=prompts[number[start]],
                completions=tuple(replace(c, seed=start + g) for g, c in enumerate(rows[start : start + COMPLETIONS])),
            )
            for start in range(0, len(rows), COMPLETIONS)
        ]
        return case.score(groups)

    return reward
