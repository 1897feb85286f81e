"""TRL's own GRPO trainer on given completions, and what it did at each update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from trl.kernels import ChunkedLogProbFunction
from trl.trainer import grpo_trainer

from omnithinker.types import RolloutGroup


@dataclass(frozen=True)
class Update:
    """One optimizer update of TRL's."""

    weights: dict[str, torch.Tensor]
    """Before it."""
    loss: float
    gradients: dict[str, torch.Tensor]
    """Unclipped."""


class _Recorder(GRPOTrainer):
    losses: list[float]

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(*args, **kwargs)
        self.losses.append(float(loss.detach()))
        return loss


class _Gradients(TrainerCallback):
    def __init__(self) -> None:
        self.seen: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        named = list(model.named_parameters())
        weights = {name: p.detach().clone() for name, p in named}
        self.seen.append((weights, {name: p.grad.detach().clone() for name, p in named}))


def _exact_logprobs(
    hidden_NH: torch.Tensor,
    weight_VH: torch.Tensor,
    bias: None,
    target_N: torch.Tensor,
    temperature: float,
    chunk_size: int,
    softcap: None = None,
    logit_scale: float = 1.0,
    outputs: Sequence[str] = (),
) -> tuple[torch.Tensor | None, ...]:
    """Log-probability of each target, and the entropy if TRL needs it, in the signature of TRL's kernel."""
    assert bias is None
    assert softcap is None
    assert set(outputs) <= {"log_probs", "entropy"}
    logprob_NV = (hidden_NH @ weight_VH.T * logit_scale / temperature).log_softmax(dim=-1)
    entropy_N = -(logprob_NV.exp() * logprob_NV).sum(dim=-1) if "entropy" in outputs else None
    return logprob_NV.gather(-1, target_N[:, None])[:, 0], entropy_N, None, None, None


def trl_updates(
    folder: Path, work: Path, groups: Sequence[RolloutGroup], monkeypatch: Any, *, minibatches: int, **settings: Any
) -> list[Update]:
    """Train the model of a folder with TRL, twice on the completions of some groups; one record per update.

    Generation is replaced through the trainer's own ``rollout_func``, and the kernel of log-probabilities, which
    accumulates in float32, by the same function in float64. Everything else is TRL's code. Rows of a batch are kept in
    order, where TRL shuffles them over the minibatches.
    """
    monkeypatch.setattr(ChunkedLogProbFunction, "apply", staticmethod(_exact_logprobs))
    monkeypatch.setattr(grpo_trainer, "shuffle_sequence_dict", lambda batch: batch)
    rows = [(group.prompt.token_ids, completion.token_ids) for group in groups for completion in group.trajectories]
    rewards = [score.reward for group in groups for score in group.scores]
    count = len(groups[0].trajectories)

    def rollout(prompts: list[str], trainer: Any) -> dict[str, Any]:
        assert prompts == [str(p) for p in range(len(groups)) for _ in range(count)]
        return {
            "prompt_ids": [list(p) for p, _ in rows],
            "completion_ids": [list(c) for _, c in rows],
            "logprobs": None,
        }

    arguments = {
        "output_dir": str(work),
        "per_device_train_batch_size": len(rows) // minibatches,
        "steps_per_generation": minibatches,
        "max_steps": 2 * minibatches,
        "num_generations": count,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "shuffle_dataset": False,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    watch = _Gradients()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    trainer = _Recorder(
        model=model,
        reward_funcs=lambda **_: rewards,
        args=GRPOConfig(**arguments | settings),
        train_dataset=Dataset.from_dict({"prompt": [str(p) for p in range(len(groups))]}),
        processing_class=AutoTokenizer.from_pretrained(folder),
        rollout_func=rollout,
        callbacks=[watch],
    )
    trainer.losses = []
    trainer.train()
    return [Update(w, loss, g) for (w, g), loss in zip(watch.seen, trainer.losses, strict=True)]
