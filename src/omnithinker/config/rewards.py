"""Settings of reward components: a union discriminated by ``kind``, whose members are the registered rewards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from omnithinker.config.base import OPERATIONAL, Settings
from omnithinker.config.registry import REWARDS


class RewardSettings(Settings):
    """Settings that every reward component has; each reward adds its own."""

    kind: str
    """Reward mechanism; by default the component's name."""
    weight: float = Field(1.0, ge=0, le=1)
    """w_r of A.1, used as written."""
    primary: bool = True
    """True if the component decides correctness, which is the measured accuracy."""
    deadline_s: Annotated[float, OPERATIONAL] = Field(3600.0, gt=0)
    """Time limit for the completions of one prompt, seconds; past it the component is undefined for them, with cause
    ``deadline``."""
    on_error: Literal["stop", "undefined"] = "stop"
    """Effect of an exception or an invalid return value: stop the run, or leave the component undefined for the
    completions concerned."""

    @property
    def judges(self) -> tuple[str, ...]:
        """Names of the recipe's judges that the component calls."""
        return ()

    @property
    def judge_calls(self) -> int:
        """Calls to each of its judges per completion, retries not included."""
        return 0

    def relative_to(self, folder: Path) -> Self:
        """Return the settings with relative file paths resolved against ``folder``."""
        return self


def parse_reward(value: Any) -> RewardSettings:
    """Validate a mapping with the settings of the reward that its ``kind`` names.

    The part of ``kind`` before a colon is looked up in the registry.

    Raises:
        ValueError: if no such reward exists, or its settings are invalid.
    """
    if isinstance(value, RewardSettings):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
        raise ValueError("expected a weight, such as 1.0, or a table of settings, such as { weight = 0.5 }")
    model: type[RewardSettings] = REWARDS.load(value["kind"].partition(":")[0]).Settings
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _with_known_keys(error, model) from None


def with_kinds(rewards: Any) -> Any:
    """Expand bare weights to tables, and set each component's ``kind`` to its name where it has none."""
    if not isinstance(rewards, Mapping):
        return rewards
    return {name: _with_kind(name, value) for name, value in rewards.items()}


def _with_kind(name: str, value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"kind": name, "weight": value}
    return {"kind": name, **value} if isinstance(value, Mapping) else value


def _with_known_keys(error: ValidationError, model: type[RewardSettings]) -> ValidationError:
    """Add the valid keys to errors about unknown ones, because the error does not name the member of the union."""
    lines: list[InitErrorDetails] = []
    for line in error.errors():
        context = {"known": list(model.model_fields)} if line["type"] == "extra_forbidden" else None
        kind = PydanticCustomError(line["type"], line["msg"], context)
        lines.append(InitErrorDetails(type=kind, loc=line["loc"], input=line["input"]))
    return ValidationError.from_exception_data(error.title, lines)


AnyRewardSettings = Annotated[SerializeAsAny[RewardSettings], BeforeValidator(parse_reward)]
"""Settings of any registered reward."""
