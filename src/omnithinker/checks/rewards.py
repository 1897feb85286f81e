"""Check of reward components on completions with a known value: gold answers 1, wrong answers and cheats 0."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from typing import Any

from omnithinker.checks.data import PlacedRow
from omnithinker.config.recipe import Recipe
from omnithinker.config.rewards import RewardSettings
from omnithinker.errors import OmniThinkerError
from omnithinker.io.closing import Closing
from omnithinker.io.waiting import result_of
from omnithinker.rewards.base import Component, DetailedScorer, with_details
from omnithinker.rewards.components import reward_class
from omnithinker.rewards.probes import Probe, ProbeContext
from omnithinker.rewards.resources import Resources
from omnithinker.rewards.runner import Scorer
from omnithinker.types import RolloutGroup, Score, Trajectory

NEIGHBOURS = 20
"""Number of other rows whose gold answers may serve as wrong ones."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A probe whose value is not the expected one."""

    place: str
    """File and line of the row."""
    field: str
    """Row field that the probe was made from."""
    probe: str
    """Name of the probe."""
    expected: float | None
    """Expected value; None for any."""
    value: float | None
    """Actual value; None for undefined."""
    cause: str
    """Cause of an undefined value, or the component's reason for the value."""
    answer: str
    """Answer of the probe, shortened."""


@dataclass
class Tally:
    """Results of one probe over all rows."""

    right: int = 0
    """Number of expected values; of defined ones for probes without an expected value."""
    of: int = 0
    """Number of probes."""
    ones: int = 0
    """Number of values equal to 1."""
    undefined: dict[str, int] = field(default_factory=dict)
    """Number of undefined values by cause."""
    values: list[float] = field(default_factory=list)
    """Values of probes without an expected value."""
    expected: float | None = None
    """Expected value; None for any."""


@dataclass
class ComponentCheck:
    """Results of one component of a task."""

    task: str
    name: str
    kind: str
    rows: int = 0
    """Number of rows probed."""
    weak_tests: list[str] = field(default_factory=list)
    """Places of rows whose tests a program with constant output passes."""
    tallies: dict[str, Tally] = field(default_factory=dict)
    """Results by name of the probe."""
    failures: list[Failure] = field(default_factory=list)
    error: str = ""
    """Error that stopped the check of this component; empty if none did."""

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


class ProbeScorer(Closing):
    """Scores probes with one component per task. Close it after the resources that the components use."""

    def __init__(self) -> None:
        self._components: dict[str, tuple[Component, ...]] = {}
        self._detailed: dict[str, tuple[Component, ...]] = {}
        self._scorer = Scorer(self._components)
        self._detailed_scorer = Scorer(self._detailed)

    def close(self) -> None:
        """Stop scoring."""
        self._scorer.close()
        self._detailed_scorer.close()

    def use(self, task: str, *components: Component) -> None:
        """Score the probes of a task with these components from now on."""
        self._components[task] = components
        self._detailed[task] = with_details(components)

    def submit(self, row: PlacedRow, probes: Sequence[Probe]) -> Future[RolloutGroup]:
        """Start scoring probes of a row."""
        return self._scorer.submit(_group(row, probes))

    def score(self, groups: Sequence[RolloutGroup]) -> list[RolloutGroup]:
        """Score sampled completions."""
        return [result_of(future) for future in [self._scorer.submit(group) for group in groups]]

    def reason(self, row: PlacedRow, probe: Probe) -> str:
        """Score a probe again with details and return the reason of its value; empty if there are no details."""
        (component,) = self._components[row.prompt.task]
        if not isinstance(component.reward, DetailedScorer):
            return ""
        score = result_of(self._detailed_scorer.submit(_group(row, [probe]))).scores[0]
        details = score.details.get(component.name, {})
        return ": ".join(str(details[key]) for key in ("status", "detail") if details.get(key))


def check_component(
    scorer: ProbeScorer,
    component: Component,
    settings: RewardSettings,
    recipe: Recipe,
    rows: Sequence[PlacedRow],
    task: str,
) -> ComponentCheck:
    """Score a component's probes of some rows.

    Args:
        scorer: Scores the probes.
        component: Component of the task.
        settings: Its settings.
        recipe: The recipe; its seed selects the rows that provide wrong answers.
        rows: Rows to make probes of.
        task: Name of the task.
    """
    check = ComponentCheck(task, component.name, settings.kind)
    try:
        scorer.use(task, component)
        running = [
            (row, probes, scorer.submit(row, probes))
            for row, probes in _probes(settings, recipe, rows, random.Random(f"check {recipe.seed} {task}"))
            if probes
        ]
        for row, probes, future in running:
            _count(check, row, probes, result_of(future).scores, scorer)
    except OmniThinkerError as error:
        check.error = str(error)
    return check


def _probes(
    settings: RewardSettings, recipe: Recipe, rows: Sequence[PlacedRow], rng: random.Random
) -> Iterator[tuple[PlacedRow, list[Probe]]]:
    """Yield rows with their probes."""
    reward = reward_class(settings)
    rows = rows[: reward.probed_rows]
    if any(recipe.judges[name].paid for name in settings.judges):
        rows = rows[:1]
    for position, row in enumerate(rows):
        others = [other.prompt.row for other in rng.sample(rows, min(NEIGHBOURS, len(rows)))]
        yield row, reward.probes(row.prompt.row, ProbeContext(position, others, settings))


def _group(row: PlacedRow, probes: Sequence[Probe]) -> RolloutGroup:
    return RolloutGroup(
        prompt=row.prompt,
        trajectories=tuple(Trajectory(text=probe.text, seed=seed) for seed, probe in enumerate(probes)),
    )


def _count(
    check: ComponentCheck, row: PlacedRow, probes: Sequence[Probe], scores: Sequence[Score], scorer: ProbeScorer
) -> None:
    """Add the results of one row."""
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
            cause = score.causes.get(check.name) or scorer.reason(row, probe)
            detail = str(score.details.get(check.name, {}).get("undefined", ""))
            check.failures.append(
                Failure(
                    row.place,
                    probe.field,
                    probe.name,
                    probe.expected,
                    value,
                    f"{cause}: {detail}" if detail else cause,
                    _shortened(probe.text),
                )
            )


def _shortened(text: str) -> str:
    """Return the answer of a probe in one short line."""
    body = text.partition("<answer>")[2].rpartition("</answer>")[0] or text
    line = " ".join(body.split())
    return line if len(line) <= 60 else line[:57] + "..."


def sample_rows(rows: Sequence[PlacedRow], count: int, seed: int) -> list[PlacedRow]:
    """Return ``count`` rows in their order, sampled by the seed; all of them for 0."""
    if count == 0 or count >= len(rows):
        return list(rows)
    return [rows[index] for index in sorted(random.Random(f"check rows {seed}").sample(range(len(rows)), count))]


def judge_usage(resources: Resources, recipe: Recipe) -> dict[str, dict[str, Any]]:
    """Return calls, tokens and cost so far of the judges that the recipe's rewards name."""
    names = {name for task in recipe.tasks.values() for reward in task.rewards.values() for name in reward.judges}
    used = resources.ledger.record()
    return {
        name: {"kind": recipe.judges[name].kind, **used.get(name, {})}
        for name in sorted(names)
        if name in used or not recipe.judges[name].paid  # a judge without account was not opened
    }


def judge_calls_per_step(recipe: Recipe) -> dict[str, int]:
    """Return the maximum calls of each paid judge in a training step, retries not included."""
    calls: dict[str, int] = {}
    for task, settings in recipe.tasks.items():
        completions = recipe.training.prompts_per_step * recipe.sampling_of(task).completions
        of_task: Counter[str] = Counter()
        for reward in settings.rewards.values():
            of_task.update(dict.fromkeys(reward.judges, completions * reward.judge_calls))
        for name, count in of_task.items():
            if recipe.judges[name].paid:
                calls[name] = max(count, calls.get(name, 0))
    return calls
