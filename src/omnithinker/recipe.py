"""What a recipe says: typed, frozen settings. Needs no torch. Read from TOML by :mod:`omnithinker.recipe_file`."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, field_validator, model_validator

from omnithinker.errors import RecipeError
from omnithinker.settings.adaptive import AdaptiveSettings
from omnithinker.settings.base import OPERATIONAL, Settings
from omnithinker.settings.judges import JudgeSettings, RubricJudgeSettings
from omnithinker.settings.model import ModelSettings


class SamplingSettings(Settings):
    """How completions are drawn during training (paper: 1.0, 1.0, 50)."""

    completions: int = Field(8, ge=2)
    """G, completions per prompt."""
    temperature: float = Field(1.0, gt=0)
    """Divides the logits; also the temperature at which entropy and log-probabilities are measured."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Nucleus: the smallest set of tokens with at least this probability mass."""
    top_k: int = Field(50, ge=0)
    """Only the k most likely tokens can be drawn; 0 switches the limit off."""
    max_new_tokens: int = Field(1024, ge=1)
    """Longest completion, in tokens; one that reaches it is truncated and scored as what it says."""
    max_prompt_tokens: int = Field(1024, ge=1)
    """Longest prompt, in tokens, chat template included."""
    overlong: Literal["drop", "cut_left", "cut_right"] = "drop"
    """What becomes of a longer prompt: it is left out, counted and reported, or its user message loses tokens at the
    beginning or at the end. The chat template and the system message stay whole."""
    batch_size: Annotated[int, OPERATIONAL] = Field(512, ge=1)
    """Completions drawn at once, by the native generator; more are drawn batch after batch. Less takes less memory, and
    lets slow rewards begin earlier. Changes the result only by rounding."""


class TrainingSettings(Settings):
    """The optimizer and the GRPO loss (Eq. 2-5)."""

    learning_rate: float = Field(1e-6, gt=0)
    """AdamW, constant after the warm-up."""
    warmup_steps: int = Field(0, ge=0)
    """Optimizer updates over which the learning rate rises linearly from zero."""
    weight_decay: float = Field(0.0, ge=0)
    """AdamW weight decay."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients are scaled down to this global norm."""
    prompts_per_step: int = Field(16, ge=1)
    """P, prompts in a step; a step draws P x G completions."""
    minibatches: int = Field(1, ge=1)
    """Updates per rollout batch against fixed old log-probabilities (paper's Table 5: 6)."""
    epochs: int = Field(1, ge=1)
    """Passes over each task's prompts."""
    max_steps: int | None = Field(None, ge=1)
    """Stop after this many rollout batches; by default the schedule decides."""
    preset: Literal["paper", "dapo", "dr_grpo"] = "paper"
    """Sets the defaults of the settings below it: ``paper`` (Eq. 2-5), ``dapo`` (token mean, clip-higher 0.28),
    ``dr_grpo`` (no std, constant length)."""
    clip_low: float = Field(0.2, gt=0, lt=1)
    """Lower clip of the policy ratio, epsilon in Eq. 4."""
    clip_high: float = Field(0.2, gt=0)
    """Upper clip of the policy ratio."""
    scale_advantages: bool = True
    """Divide advantages by the group's standard deviation (Eq. 3)."""
    aggregation: Literal["sequence", "token", "constant"] = "sequence"
    """How token losses are averaged: per completion then over completions (Eq. 4), over all tokens, or over
    ``max_new_tokens`` per completion."""
    kl: Literal["k1", "k2", "k3"] = "k3"
    """Estimator of the KL term (k3: Eq. 5)."""
    importance: Literal["off", "token", "sequence"] = "off"
    """Correct for a generator whose log-probabilities differ from the trainer's: weigh each token, or each completion
    as a whole, by the ratio of the two. For generators in other number formats or other programs."""
    importance_cap: float = Field(3.0, gt=0)
    """Largest such ratio that is believed."""
    importance_excess: Literal["truncate", "mask"] = "truncate"
    """What becomes of a larger one: it counts as the cap, or its tokens leave the policy term."""
    truncated: Literal["keep", "mask"] = "keep"
    """Whether completions that reached the token limit are trained on."""
    microbatch_tokens: Annotated[int, OPERATIONAL] = Field(8192, ge=1)
    """Most tokens (padding included) in one forward and backward pass; changes memory, and the result only by rounding.
    May be lowered when a run that has come far runs out of memory."""
    max_undefined: Annotated[float, OPERATIONAL] = Field(0.05, ge=0, le=1)
    """The run stops when a reward component is undefined for a larger share of a task's completions than this,
    over 50 steps."""
    checkpoint_every: Annotated[int, OPERATIONAL] = Field(1, ge=1)
    """Steps between checkpoints. A killed run loses what came after the last; raise it for large models."""
    keep: Annotated[int, OPERATIONAL] = Field(2, ge=1)
    """How many checkpoints stay on disk."""

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, value: Any) -> Any:
        return PRESETS.get(value.get("preset", "paper"), {}) | value if isinstance(value, dict) else value


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "dapo": {"aggregation": "token", "clip_high": 0.28},
    "dr_grpo": {"aggregation": "constant", "scale_advantages": False},
}
"""What each loss preset sets; a recipe may still override single settings."""


class EvaluationSettings(Settings):
    """What is measured before, after and during training."""

    items: int = Field(200, ge=1)
    """Held-out items per task."""
    every: int = Field(0, ge=0)
    """Also evaluate during training, every this many steps; 0 for before and after only. In a study these
    measurements tell how early the order was settled."""
    validation_items: int = Field(0, ge=0)
    """Training rows per task that are taken out of training to choose checkpoints by. With them, ``every`` measures
    greedy accuracy on these, and the held-out items are looked at only before and after training."""
    patience: int = Field(0, ge=0)
    """Stop a run after this many validations in a row without a rise of the mean accuracy of its tasks; 0 for never.
    None counts before every task of the run has been trained."""
    result: Literal["last", "best"] = "last"
    """Which weights a run is measured with at the end: those of its last step, or the best by validation."""

    @model_validator(mode="after")
    def _validated(self) -> EvaluationSettings:
        if self.validation_items and not self.every:
            raise ValueError("'validation_items' needs 'every', the steps between validations")
        if not self.validation_items and (self.patience or self.result == "best"):
            raise ValueError("'patience' and 'result = \"best\"' need 'validation_items', to choose by")
        return self


class SandboxSettings(Settings):
    """Where model-written code runs."""

    level: Literal["strong", "weak"] = "strong"
    """Confinement that must be there; ``weak`` allows process limits alone."""
    slots: Annotated[int | None, OPERATIONAL] = Field(None, ge=1)
    """Programs run at once; by default one per core."""
    cpu_seconds: float = Field(2.0, gt=0)
    """CPU time for one program with all its tests."""
    memory_mb: int = Field(512, ge=64)
    """Address space of one program, MiB."""
    preload: tuple[str, ...] = ()
    """Modules imported once before programs are run, such as ``numpy``."""
    backend: Literal["fork_server", "bubblewrap", "container", "command", "sandbox_fusion"] = "fork_server"
    """What runs them; see the page on the sandbox."""
    target: str | None = None
    """Image of ``container``, command line of ``command``, address of ``sandbox_fusion``."""
    in_process_tests: bool = False
    """Accept tests of ``unittest`` style, whose verdict a program could forge."""

    @model_validator(mode="after")
    def _needs_target(self) -> SandboxSettings:
        if (self.target is None) != (self.backend in ("fork_server", "bubblewrap")):
            raise ValueError(f"backend {self.backend!r} {'needs a' if self.target is None else 'takes no'} 'target'")
        return self


class RewardSettings(Settings):
    """One reward component of a task."""

    weight: float = Field(1.0, ge=0, le=1)
    """w_r of A.1, used as written."""
    kind: str | None = None
    """Mechanism; by default the component's name. ``python:package.module:function``, or
    ``python:file.py:function`` with the file relative to the recipe, names your own."""
    primary: bool | None = None
    """Whether it decides correctness; by default yes, except for ``format`` and ``tags``."""
    judge: str = "default"
    """For ``pairwise_judge``: which of the recipe's judges."""
    order: Literal["random", "both", "fixed"] = "random"
    """For ``pairwise_judge``: which text is shown first."""
    deadline_s: Annotated[float | None, OPERATIONAL] = Field(None, gt=0)
    """Seconds that it may take for one prompt's completions; after that it is undefined for them, with cause
    ``deadline``. By default 300 for your own functions, and 3600 for the others, which keep deadlines for every answer,
    program or judgment."""
    on_error: Literal["stop", "undefined"] = "stop"
    """What an error of the reward's mechanism does (it raised, or returned no numbers): ends the run, or leaves the
    component undefined for the completions concerned."""
    chat: bool | None = None
    """For functions with TRL's signature: whether they read lists of messages instead of texts; by default as TRL, when
    the row's ``prompt`` is a list of messages."""

    @model_validator(mode="before")
    @classmethod
    def _weight_alone(cls, value: Any) -> Any:
        return {"weight": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class TaskSettings(Settings):
    """One task: data, prompt, rewards and KL coefficient."""

    data: str | None = None
    """``lab:math`` (or code, qa, writing) for built-in data; otherwise give ``train`` and ``test``."""
    train: str | None = None
    """JSON-lines file of training rows, relative to the recipe."""
    test: str | None = None
    """JSON-lines file of held-out rows, relative to the recipe."""
    train_items: int | None = Field(None, ge=1)
    """Use only this many training rows; for ``lab:`` data, how many to generate."""
    prompt: str = "{prompt}"
    """Template of the user message; ``{field}`` stands for a field of the row."""
    system: str | None = None
    """System message, for models that have one."""
    beta: float = Field(0.0, ge=0)
    """beta_k of Eq. 4, the KL coefficient of this task; 0 needs no reference policy."""
    weight: float = Field(1.0, gt=0)
    """Factor of this task's part of the loss; denominators are unchanged."""
    share: float = Field(1.0, gt=0)
    """This task's share of every step's prompts relative to the other tasks', for the schedules ``mixture`` and
    ``adaptive``."""
    clip_low: float | None = Field(None, gt=0, lt=1)
    """This task's ``training.clip_low``."""
    clip_high: float | None = Field(None, gt=0)
    """This task's ``training.clip_high``."""
    completions: int | None = Field(None, ge=2)
    """This task's ``sampling.completions``."""
    temperature: float | None = Field(None, gt=0)
    """This task's ``sampling.temperature``."""
    max_new_tokens: int | None = Field(None, ge=1)
    """This task's ``sampling.max_new_tokens``."""
    rewards: dict[str, RewardSettings]
    """Components by name."""

    @model_validator(mode="after")
    def _one_source(self) -> TaskSettings:
        if self.data is None and (self.train is None or self.test is None):
            raise ValueError("give either 'data' (such as \"lab:math\") or both 'train' and 'test'")
        if self.data is not None and (self.train is not None or self.test is not None):
            raise ValueError("'data' and 'train'/'test' exclude each other")
        if not self.rewards:
            raise ValueError("has no reward; add one, such as rewards.math_answer = 1.0")
        return self


class StudySettings(Settings):
    """What ``omnithinker study`` runs beyond the base evaluation and the single-task runs."""

    orders: tuple[str, ...] = ("best",)
    """Curricula to train: ``best``, ``worst``, or task names joined by ``>``."""
    joint: bool = True
    """Train all tasks mixed, on the same number of samples."""
    seeds: tuple[int, ...] = (0,)
    """Each seed repeats every training run."""

    @field_validator("orders", "seeds")
    @classmethod
    def _distinct(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(value)) != len(value):
            raise ValueError("has the same entry twice")
        return value


class Recipe(Settings):
    """A whole experiment."""

    seed: int = Field(0, ge=0)
    """Fixes data order, samples and everything else that is random."""
    output: Annotated[str, OPERATIONAL] = "runs/{name}"
    """Folder for results; ``{name}`` is the recipe file's name."""
    trackers: Annotated[tuple[Literal["tensorboard", "wandb", "trackio"], ...], OPERATIONAL] = ()
    """Where metrics are shown beside ``metrics.jsonl``; each is a package and an extra of the same name."""
    model: ModelSettings = ModelSettings()
    sampling: SamplingSettings = SamplingSettings()
    training: TrainingSettings = TrainingSettings()
    adaptive: AdaptiveSettings = AdaptiveSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    sandbox: SandboxSettings = SandboxSettings()
    judges: dict[str, JudgeSettings] = Field({"default": RubricJudgeSettings()})
    study: StudySettings = StudySettings()
    tasks: dict[str, TaskSettings] = Field(min_length=1)

    @field_validator("trackers")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("has the same entry twice")
        return value

    @field_validator("tasks")
    @classmethod
    def _names(cls, value: dict[str, TaskSettings]) -> dict[str, TaskSettings]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
                raise ValueError(f"task name {name!r}: use letters, digits, - and _, a letter first")
        return value

    @model_validator(mode="after")
    def _references(self) -> Recipe:
        for name, task in self.tasks.items():
            for component, reward in task.rewards.items():
                if (reward.kind or component) == "pairwise_judge" and reward.judge not in self.judges:
                    raise ValueError(
                        f"tasks.{name}.rewards.{component}: no judge named {reward.judge!r}; "
                        f"known: {', '.join(self.judges)}"
                    )
        for order in self.study.orders:
            if order not in ("best", "worst"):
                parse_order(order.replace(">", ","), list(self.tasks))
        return self

    def sampling_of(self, task: str) -> SamplingSettings:
        """How completions of a task are drawn: ``sampling`` with the task's own settings in their place."""
        own = self.tasks[task].model_dump(include={"completions", "temperature", "max_new_tokens"}, exclude_none=True)
        return self.sampling.model_copy(update=own)

    def clip_of(self, task: str) -> tuple[float, float]:
        """Lower and upper clip of a task's policy ratio, Eq. 4."""
        own = self.tasks[task]
        low, high = own.clip_low, own.clip_high
        return self.training.clip_low if low is None else low, self.training.clip_high if high is None else high

    def digest(self) -> str:
        """SHA-256, hexadecimal, over all settings that decide a run's numbers (see :data:`OPERATIONAL`)."""
        return hashlib.sha256(json.dumps(self.essentials()).encode()).hexdigest()

    def to_toml(self) -> str:
        """Every setting, defaults included, as TOML that loads to an equal recipe."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def parse_order(text: str, tasks: Sequence[str]) -> list[str]:
    """Turn ``code,math,qa`` into a permutation of ``tasks``.

    Raises:
        RecipeError: a name is unknown, missing or given twice.
    """
    order = [name.strip() for name in text.split(",") if name.strip()]
    for name in order:
        if name not in tasks:
            raise RecipeError(f"order {text!r}: no task {name!r}{nearest(name, tasks)}")
    missing = [name for name in tasks if name not in order]
    if missing or len(order) != len(tasks):
        problem = f"lacks {', '.join(missing)}" if missing else "names a task twice"
        raise RecipeError(f"order {text!r} {problem}; every task must occur exactly once")
    return order


def nearest(name: str, known: Iterable[str]) -> str:
    """End of a message: the known name that is most like ``name``, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
