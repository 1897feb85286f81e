"""What a study found, in sentences computed from its numbers; careful where they do not tell."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist, fmean
from typing import Any

from omnithinker.planning.uncertainty import LEVEL
from omnithinker.report.collect import RunGroup, Study
from omnithinker.report.measures import accuracy, gain, mean_accuracy, mean_gain, singles
from omnithinker.report.tables import listed, number, percent, prediction_for


def findings(study: Study) -> list[str]:
    """Sentences, the most important first; at least one, whatever is there."""
    found = [*_outcome(study), *_plan(study), *_prediction(study), *_caveats(study)]
    return found or ["No run is finished yet."]


def _arrow(group: RunGroup) -> str:
    return " > ".join(group.order)


def _outcome(study: Study) -> list[str]:
    """What training on all tasks gave, against the base model and the other runs."""
    if study.is_single_run or not study.compared:
        return []
    first, base = study.compared[0], study.base
    mean = mean_accuracy(study, first.done)
    name = f"the curriculum {_arrow(first)}" if first.kind == "curriculum" else first.label
    text = f"After {name} the mean accuracy over {len(study.tasks)} tasks is {number(mean.value)}"
    if base:
        change = mean_gain(study, first.done, [base])
        text += (
            f", against {number(mean_accuracy(study, [base]).value)} for the base model "
            f"({number(change.value, sign=True)} ± {number(change.error)})"
        )
    return [text + ".", *(_against(study, first, other) for other in study.compared[1:])]


def _against(study: Study, first: RunGroup, other: RunGroup) -> str:
    change = mean_gain(study, first.done, other.done)
    drawn = [group.done[0].manifest.get("completions") for group in (first, other)]
    name = f"the {other.subject} order {_arrow(other)}" if other.subject in ("best", "worst") else other.label
    same = " on the same number of completions" if drawn[0] is not None and drawn[0] == drawn[1] else ""
    text = (
        f"With {name}{same} it is {number(mean_accuracy(study, other.done).value)}: "
        f"a difference of {number(change.value, sign=True)} ± {number(change.error)}"
    )
    if not change.is_clear:
        return text + ", which these test items cannot tell from zero."
    clear = [
        (task, gain(first.done, other.done, task).value)
        for task in study.tasks
        if gain(first.done, other.done, task).is_clear
    ]
    behind = [task for task, value in clear if (value > 0) != (change.value > 0)]
    except_for = f", though not on {listed(behind)}" if behind else ""
    better = "the former" if change.value > 0 else "the latter"
    return f"{text}, clear of two standard errors in favour of {better}{except_for}."


def _plan(study: Study) -> list[str]:
    if study.plan is None:
        return []
    plan = study.plan
    text = f"The plan chose {' > '.join(plan['order'])}"
    worst = next((r for r in plan["ranking"] if r["order"] == plan["worst"]), None)
    if plan.get("delta_rel") is not None and worst and worst["delta_rel"] is not None:
        text += (
            f" (predicted delta_rel {number(plan['delta_rel'], sign=True)}; "
            f"worst order {number(worst['delta_rel'], sign=True)})"
        )
    confidence = plan.get("confidence")
    if confidence:
        text += f"; it leads in {percent(confidence['order'])} of resamples of the test items"
        if confidence["order"] < 0.75:
            text += ", so the orders next to it may be as good"
    return [text + "."]


def _prediction(study: Study) -> list[str]:
    """How far predictions from single-task runs were off."""
    found = []
    for group in study.of("curriculum"):
        predicted = prediction_for(study, group.order)
        if not group.done or predicted is None:
            continue
        measured = {task: accuracy(group.done, task) for task in study.tasks}
        off = {task: measured[task].value - predicted["predicted"][task] for task in study.tasks}
        noise = {task: math.hypot(measured[task].error, _prediction_error(predicted, task)) for task in study.tasks}
        outside = [task for task in study.tasks if abs(off[task]) > 2 * noise[task]]
        text = (
            f"Predictions for {_arrow(group)} were off by {number(fmean(map(abs, off.values())))} on average "
            f"(mean of measured minus predicted: {number(fmean(off.values()), sign=True)})"
        )
        text += f"; more than test items explain on {listed(outside)}." if outside else ", which test items explain."
        found.append(text)
    return found


def _prediction_error(predicted: Mapping[str, Any], task: str) -> float:
    """Standard error of a prediction, from its interval; 0 where the plan gives none."""
    interval = (predicted.get("predicted_interval") or {}).get(task)
    return (interval[1] - interval[0]) / (2 * NormalDist().inv_cdf((1 + LEVEL) / 2)) if interval else 0.0


def _caveats(study: Study) -> list[str]:
    found = []
    still = [task for task, group in singles(study).items() if study.base and _not_learned(study, task, group)]
    if still:
        found.append(f"Trained alone, {listed(still)} did not clearly improve on the base model.")
    for group in study.compared:
        early = [run for run in group.done if run.trained_later]
        if early:
            missed = [task for task in study.tasks if any(task in run.trained_later for run in early)]
            found.append(
                f"What validation kept of {group.label} is from before any training on {listed(missed)}"
                + (f", under {len(early)} of {len(group.done)} seeds." if len(group.done) > 1 else ".")
            )
    if study.missing:
        found.append(f"Still missing: {', '.join(study.missing)}.")
    if any(group.done for group in study.groups) and all(len(group.done) <= 1 for group in study.groups):
        found.append("One seed: the errors given count test items, not what another training run would have changed.")
    found += [f"Warning of the plan: {warning}." for warning in (study.plan or {}).get("warnings", ())]
    return found


def _not_learned(study: Study, task: str, group: RunGroup) -> bool:
    change = gain(group.done, [study.base] if study.base else [], task)
    return not (change.is_clear and change.value > 0)
