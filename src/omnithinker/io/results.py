"""Reading the result files of runs and studies: every field that a program uses has its type, or the file is damaged.

Needs no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, TypeAdapter, ValidationError

from omnithinker.errors import DataError
from omnithinker.io.files import read_json
from omnithinker.types import EvalResult, Validation

T = TypeVar("T")


def _refuse_other_types(value: Any) -> Any:
    """Refuse what pydantic would convert to a number."""
    if isinstance(value, bool | str):
        raise ValueError("not a number")
    return value


Number = Annotated[float, BeforeValidator(_refuse_other_types)]
Whole = Annotated[int, BeforeValidator(_refuse_other_types)]


class _File(BaseModel):
    """Fields that programs use."""


class BestFile(_File):
    """Step and validation accuracy of kept weights, ``best.json``."""

    step: Whole
    accuracy: Number


class JudgeFile(_File):
    """Usage of a judge in a run."""

    calls: Whole = 0
    cached: Whole = 0
    retries: Whole = 0
    prompt_tokens: Whole = 0
    completion_tokens: Whole = 0
    cost: Number = 0.0
    failures: dict[str, Whole] = {}


class ResultFile(_File):
    """The result of a run, ``result.json``, or of an evaluation during a run."""

    tasks: dict[str, EvalResult] = {}
    name: str = ""
    step: Whole = 0
    steps: Whole = 0
    measured_step: Whole = 0
    model: str = ""
    order: list[str] = []
    best: dict[str, BestFile] = {}
    seconds: Number | None = None
    versions: dict[str, Any] | None = None
    judges: dict[str, JudgeFile] = {}
    stopped_early: bool = False
    completions: Whole | None = None
    demonstrations: Whole = 0
    val_loss: Number | None = None
    val_loss_per_task: dict[str, Number] = {}


class ValidationFile(_File):
    """Validation results of a step, ``validation/step-N.json``."""

    step: Whole
    tasks: dict[str, Validation]


class RankedFile(_File):
    """One order of a plan."""

    order: list[str]
    predicted: dict[str, Number] | None
    delta_rel: Number | None
    probability: Number | None = None
    predicted_interval: dict[str, tuple[Number, Number]] | None = None


class ConfidenceFile(_File):
    """Confidence of a plan."""

    order: Number
    sentence: str = ""


class PlanFile(_File):
    """A plan, ``plan.json``."""

    tasks: list[str]
    bwt: list[list[Number]]
    order: list[str]
    worst: list[str]
    greedy: list[str]
    forgettability: list[str]
    ranking: list[RankedFile]
    worst_ranking: list[RankedFile] | None = None
    delta_rel: Number | None = None
    confidence: ConfidenceFile | None = None
    probes: dict[str, Any] | None = None
    warnings: list[str] = []


def checked(kind: type[T], value: Any, place: str, advice: str) -> T:
    """Return a value of a type, such as a dataclass, from JSON data; fields that the type lacks are ignored.

    Args:
        kind: the type.
        value: JSON data.
        place: name of the file, for messages.
        advice: what to do if the value is of another type.

    Raises:
        DataError: if it is.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        problem = f"{field}: {message[0].lower()}{message[1:]}" if field else "not an object"
        raise DataError(f"{place}: damaged ({problem}); {advice}") from error


def read_as(kind: type[_File], file: Path, *required: str, advice: str) -> dict[str, Any]:
    """Read a JSON object and check the types of its fields.

    Args:
        kind: the kind of file.
        file: its path.
        required: optional fields of this kind that it must have.
        advice: what to do if it is damaged.

    Returns:
        The object; evaluations in ``tasks`` are records.

    Raises:
        DataError: if it cannot be read or is damaged.
    """
    value = read_json(file)
    found = checked(kind, value, str(file), advice)
    missing = [name for name in required if name not in value]
    if missing:
        raise DataError(f"{file}: damaged (no {missing[0]!r}); {advice}")
    evaluations = {"tasks": found.tasks} if isinstance(found, ResultFile | ValidationFile) and "tasks" in value else {}
    return {**value, **evaluations}


def read_plan(file: Path) -> dict[str, Any]:
    """Read the plan of a study as plain data.

    Raises:
        DataError: if it is damaged.
    """
    advice = "remove it, and repeat the study, which writes it again"
    plan: dict[str, Any] = read_as(PlanFile, file, advice=advice)
    tasks = plan["tasks"]
    listed = [*plan["ranking"], *(plan.get("worst_ranking") or ())]
    orders = [plan["order"], plan["worst"], plan["greedy"], plan["forgettability"], *(each["order"] for each in listed)]
    predicted = [each["predicted"] for each in listed if each["predicted"] is not None]
    if (
        any(sorted(order) != sorted(tasks) for order in orders)
        or any(set(each) != set(tasks) for each in predicted)
        or [len(row) for row in plan["bwt"]] != [len(tasks)] * len(tasks)
    ):
        raise DataError(f"{file}: damaged (orders or numbers of other tasks); {advice}")
    return plan
