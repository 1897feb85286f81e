"""Findings of a study as sentences computed from its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist, fmean
from typing import Any

from omnithinker.planning.percent import cautious_percent
from omnithinker.planning.uncertainty import LEVEL
from omnithinker.report.measures import accuracy, gain, mean_accuracy, mean_gain, singles
from omnithinker.report.records import RunGroup, Study
from omnithinker.report.tables import listed, number, prediction_for

UNCERTAIN_ORDER = 0.75
"""Below this share of resamples other orders may be as good as the chosen one."""


def findings(study: Study) -> list[str]:
    """Return at least one sentence, the most important first."""
    sentences = [*_outcome(study), *_plan(study), *_prediction(study), *_caveats(study)]
    return sentences or ["No run is finished yet."]


def _arrows(group: RunGroup) -> str:
    return " > ".join(group.order)


def _outcome(study: Study) -> list[str]:
    """Compare the first run on all tasks with the base model and with the other runs on all tasks."""
    if study.is_single_run or not study.compared:
        return []
    first, base = study.compared[0], study.base
    mean = mean_accuracy(study, first.done)
    text = f"After {_name(first)} the mean accuracy over {len(study.tasks)} tasks is {number(mean.value)}"
    if base:
        change = mean_gain(study, first.done, [base])
        text += (
            f", against {number(mean_accuracy(study, [base]).value)} for the base model "
            f"({number(change.value, sign=True)} ± {number(change.error)})"
        )
    return [text + ".", *(_comparison(study, first, other) for other in study.compared[1:])]


def _name(group: RunGroup) -> str:
    return f"the curriculum {_arrows(group)}" if group.kind == "curriculum" else group.label


def _comparison(study: Study, first: RunGroup, other: RunGroup) -> str:
    change = mean_gain(study, first.done, other.done)
    completions = [group.done[0].manifest.get("completions") for group in (first, other)]
    name = f"the {other.subject} order {_arrows(other)}" if other.subject in ("best", "worst") else _name(other)
    same = " on the same number of completions" if completions[0] is not None and len(set(completions)) == 1 else ""
    relation = "higher" if change.value < 0 else "lower"
    text = (
        f"After {name}{same} it is {number(mean_accuracy(study, other.done).value)}, "
        f"{relation} by {number(abs(change.value))} ± {number(change.error)}"
    )
    if not change.is_clear:
        return text + ", within two standard errors."
    gains = {task: gain(first.done, other.done, task) for task in study.tasks}
    opposite = [task for task, each in gains.items() if each.is_clear and (each.value > 0) != (change.value > 0)]
    except_for = f"; on {listed(opposite)} the opposite holds" if opposite else ""
    return f"{text}, more than two standard errors{except_for}."


def _plan(study: Study) -> list[str]:
    if study.plan is None:
        return []
    plan = study.plan
    text = f"The plan chose {' > '.join(plan['order'])}"
    worst = next((ranked for ranked in plan["ranking"] if ranked["order"] == plan["worst"]), None)
    if plan.get("delta_rel") is not None and worst and worst["delta_rel"] is not None:
        text += (
            f" (predicted delta_rel {number(plan['delta_rel'], sign=True)}; "
            f"worst order {number(worst['delta_rel'], sign=True)})"
        )
    confidence = plan.get("confidence")
    if confidence:
        text += f"; it is the best order in {cautious_percent(confidence['order'])} of resamples of the test items"
        if confidence["order"] < UNCERTAIN_ORDER:
            text += ", so other orders may be as good"
    return [text + "."]


def _prediction(study: Study) -> list[str]:
    """Compare predictions from single-task runs with measured accuracies."""
    sentences = []
    for group in study.of("curriculum"):
        predicted = prediction_for(study, group.order)
        if not group.done or predicted is None:
            continue
        measured = {task: accuracy(group.done, task) for task in study.tasks}
        errors = {task: measured[task].value - predicted["predicted"][task] for task in study.tasks}
        noise = {task: math.hypot(measured[task].error, _prediction_error(predicted, task)) for task in study.tasks}
        outside = [task for task in study.tasks if abs(errors[task]) > 2 * noise[task]]
        text = (
            f"Predictions for {_arrows(group)} differ from the measured accuracies by "
            f"{number(fmean(map(abs, errors.values())))} on average "
            f"(mean of measured minus predicted: {number(fmean(errors.values()), sign=True)})"
        )
        text += f"; test items do not explain the error on {listed(outside)}." if outside else ", within test noise."
        sentences.append(text)
    return sentences


def _prediction_error(predicted: Mapping[str, Any], task: str) -> float:
    """Standard error of a prediction, from its interval; 0 if the plan has none."""
    interval = (predicted.get("predicted_interval") or {}).get(task)
    return (interval[1] - interval[0]) / (2 * NormalDist().inv_cdf((1 + LEVEL) / 2)) if interval else 0.0


def _caveats(study: Study) -> list[str]:
    sentences = []
    unlearned = [task for task, group in singles(study).items() if study.base and not _is_learned(study, task, group)]
    if unlearned:
        sentences.append(f"Single-task training did not clearly improve {listed(unlearned)} over the base model.")
    for group in study.compared:
        early = [run for run in group.done if run.trained_later]
        if early:
            untrained = [task for task in study.tasks if any(task in run.trained_later for run in early)]
            sentences.append(
                f"The weights of {group.label} that validation selected precede all training on {listed(untrained)}"
                + (f", under {len(early)} of {len(group.done)} seeds." if len(group.done) > 1 else ".")
            )
    if study.missing:
        sentences.append(f"Not finished: {', '.join(study.missing)}.")
    if any(group.done for group in study.groups) and all(len(group.done) <= 1 for group in study.groups):
        sentences.append("One seed: standard errors cover test items, not the variation between training runs.")
    return sentences + [f"Warning of the plan: {warning}." for warning in (study.plan or {}).get("warnings", ())]


def _is_learned(study: Study, task: str, group: RunGroup) -> bool:
    change = gain(group.done, [study.base] if study.base else [], task)
    return change.is_clear and change.value > 0
