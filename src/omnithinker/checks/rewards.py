"""Every reward component on completions whose value is known: gold answers 1, wrong ones 0, cheats 0."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from typing import Any

from omnithinker.checks.data import PlacedRow
from omnithinker.checks.probes import (
    FORMAT,
    Probe,
    external_probes,
    judge_probes,
    math_probes,
    program_probes,
    short_answer_probes,
)
from omnithinker.config.judges import ChatJudgeSettings
from omnithinker.config.recipe import Recipe
from omnithinker.config.tasks import RewardSettings
from omnithinker.errors import OmniThinkerError
from omnithinker.judge.chat import ChatJudge
from omnithinker.rewards.base import Component, Explains, explaining
from omnithinker.rewards.registry import Resources
from omnithinker.rewards.runner import Scorer
from omnithinker.sandbox.cheats import SLOW
from omnithinker.types import RolloutGroup, Score, Trajectory

CHEAT_ROWS = 20
"""Rows per task on which cheats are tried."""
SLOW_ROWS = 2
"""Of these, rows on which the cheats that only a deadline ends are tried."""
NEIGHBOURS = 20
"""Other rows whose gold answers may serve as wrong ones."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A probe that did not get the value it must get."""

    place: str
    """File and line of the row."""
    field: str
    """Field that the probe was made from."""
    probe: str
    """What was answered."""
    expected: float | None
    """The value that it must get; None for any."""
    value: float | None
    """The value that it got; None for undefined."""
    cause: str
    """Why it was undefined, or what the component told of the value."""
    answer: str
    """The answer, shortened."""


@dataclass
class Tally:
    """Outcomes of one probe over rows."""

    right: int = 0
    """As expected; for probes without an expected value, defined."""
    of: int = 0
    """Tried."""
    ones: int = 0
    """Those with the value 1."""
    undefined: dict[str, int] = field(default_factory=dict)
    """Undefined ones by cause."""
    values: list[float] = field(default_factory=list)
    """Values of probes without an expected one."""
    expected: float | None = None
    """The value that was expected."""


@dataclass
class ComponentCheck:
    """One component of one task."""

    task: str
    name: str
    kind: str
    rows: int = 0
    """Rows looked at."""
    weak_tests: list[str] = field(default_factory=list)
    """Places of rows whose tests are passed by a program that always answers the same."""
    tallies: dict[str, Tally] = field(default_factory=dict)
    """By probe."""
    failures: list[Failure] = field(default_factory=list)
    error: str = ""
    """What stopped the check of this component; empty if nothing did."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class Bench:
    """Where components are tried, one after the other. Close it after what the components use."""

    def __init__(self) -> None:
        self._plain: dict[str, tuple[Component, ...]] = {}
        self._explained: dict[str, tuple[Component, ...]] = {}
        self._scorer = Scorer(self._plain)
        self._explainer = Scorer(self._explained)

    def close(self) -> None:
        """Stop scoring."""
        self._scorer.close()
        self._explainer.close()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def put(self, task: str, component: Component) -> None:
        """Make this the component that is tried."""
        self._plain[task] = (component,)
        self._explained[task] = explaining((component,))

    def submit(self, row: PlacedRow, probes: Sequence[Probe]) -> Future[RolloutGroup]:
        """Start to score some probes of a row."""
        return self._scorer.submit(_group(row, probes))

    def reason(self, row: PlacedRow, probe: Probe) -> str:
        """What the component tells of the value it gives, if it tells anything; it is not asked twice for nothing."""
        (component,) = self._plain[row.prompt.task]
        if not isinstance(component.reward, Explains):
            return ""
        score = self._explainer.submit(_group(row, [probe])).result().scores[0]
        details = score.details.get(component.name, {})
        return ": ".join(str(details[key]) for key in ("status", "detail") if details.get(key))


def check_component(
    bench: Bench, component: Component, settings: RewardSettings, recipe: Recipe, rows: Sequence[PlacedRow], task: str
) -> ComponentCheck:
    """Try a component on rows.

    Args:
        bench: where to try it.
        component: of the task.
        settings: its settings.
        recipe: names its judge; its seed fixes which neighbours give wrong answers.
        rows: to try it on.
        task: whose component it is.
    """
    kind = settings.kind or component.name
    check = ComponentCheck(task, component.name, kind)
    plan = _plan(kind, settings, recipe, rows, random.Random(f"check {recipe.seed} {task}"))
    bench.put(task, component)
    try:
        running = [(row, probes, bench.submit(row, probes)) for row, probes in plan if probes]
        for row, probes, future in running:
            _count(check, row, probes, future.result().scores, bench)
    except OmniThinkerError as error:
        check.error = str(error)
    return check


def _plan(
    kind: str, settings: RewardSettings, recipe: Recipe, rows: Sequence[PlacedRow], rng: random.Random
) -> Iterator[tuple[PlacedRow, list[Probe]]]:
    """Which probes go to which row."""
    if kind in ("format", "tags"):
        yield from [(row, list(FORMAT)) for row in rows[:1]]
        return
    if kind == "pairwise_judge" and isinstance(recipe.judges[settings.judge], ChatJudgeSettings):
        rows = rows[:1]  # each call costs money
    for number, row in enumerate(rows):
        others = [other.prompt.row for other in rng.sample(rows, min(NEIGHBOURS, len(rows)))]
        yield row, _probes(kind, row.prompt.row, others, number)


def _probes(kind: str, row: Mapping[str, Any], others: Sequence[Mapping[str, Any]], number: int) -> list[Probe]:
    match kind:
        case "math_answer":
            return math_probes(row, others)
        case "short_answer":
            return short_answer_probes(row, others)
        case "pairwise_judge":
            return judge_probes(row)
        case "unit_tests":
            left_out = None if number >= CHEAT_ROWS else () if number < SLOW_ROWS else SLOW
            return program_probes(row, left_out=left_out)
    return external_probes(row)


def _group(row: PlacedRow, probes: Sequence[Probe]) -> RolloutGroup:
    return RolloutGroup(
        prompt=row.prompt,
        trajectories=tuple(Trajectory(text=probe.text, seed=seed) for seed, probe in enumerate(probes)),
    )


def _count(
    check: ComponentCheck, row: PlacedRow, probes: Sequence[Probe], scores: Sequence[Score], bench: Bench
) -> None:
    """Add the outcome of one row."""
    check.rows += 1
    weak = any(p.role == "constant" and s.components[check.name] == 1 for p, s in zip(probes, scores, strict=True))
    if weak:
        check.weak_tests.append(row.place)
    for probe, score in zip(probes, scores, strict=True):
        if probe.role == "constant" or (probe.role == "cheat" and weak):
            continue
        value = score.components[check.name]
        tally = check.tallies.setdefault(probe.name, Tally(expected=probe.expected))
        tally.of += 1
        tally.right += value is not None and probe.expected in (None, value)
        tally.ones += value == 1
        if value is None:
            cause = score.causes[check.name]
            tally.undefined[cause] = tally.undefined.get(cause, 0) + 1
        elif probe.expected is None:
            tally.values.append(value)
        if probe.role != "shown" and (value is None or probe.expected not in (None, value)):
            cause = score.causes.get(check.name) or bench.reason(row, probe)
            told = str(score.details.get(check.name, {}).get("undefined", ""))
            check.failures.append(
                Failure(
                    row.place,
                    probe.field,
                    probe.name,
                    probe.expected,
                    value,
                    f"{cause}: {told}" if told else cause,
                    _shown(probe.text),
                )
            )


def _shown(text: str) -> str:
    """The answer of a probe in one short line."""
    body = text.partition("<answer>")[2].rpartition("</answer>")[0] or text
    line = " ".join(body.split())
    return line if len(line) <= 60 else line[:57] + "..."


def sample_rows(rows: Sequence[PlacedRow], count: int, seed: int) -> list[PlacedRow]:
    """``count`` of the rows in their order, drawn by the seed; all of them for 0."""
    if count == 0 or count >= len(rows):
        return list(rows)
    return [rows[index] for index in sorted(random.Random(f"check rows {seed}").sample(range(len(rows)), count))]


def judge_usage(resources: Resources, recipe: Recipe) -> dict[str, dict[str, Any]]:
    """Calls, tokens and cost so far of the judges that the recipe's rewards use."""
    names = {
        reward.judge
        for task in recipe.tasks.values()
        for name, reward in task.rewards.items()
        if (reward.kind or name) == "pairwise_judge"
    }
    found = {}
    for name in sorted(names):
        settings, judge = recipe.judges[name], resources.judge(name)
        found[name] = {"kind": settings.kind}
        if isinstance(settings, ChatJudgeSettings) and isinstance(judge, ChatJudge):
            used = vars(judge.usage)
            found[name] |= {"model": settings.model} | used | {"failures": dict(judge.usage.failures)}
    return found
