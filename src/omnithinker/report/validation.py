"""Validation results, the weights kept for them, and runs ended by patience."""

from __future__ import annotations

from collections.abc import Sequence

from omnithinker.report.measures import Estimate, mean_of
from omnithinker.report.records import Run, RunGroup, Study
from omnithinker.report.tables import MISSING, Cell, Table, error_text, listed, number


def validation_table(study: Study) -> Table | None:
    """One row per run with validations: its end, the evaluated weights, and the steps whose weights were kept."""
    runs = [run for run in study.runs if run.validations]
    if not runs:
        return None
    rows = tuple(
        (
            Cell(study.name_of(run)),
            Cell(_end(run)),
            Cell(_evaluated(run)),
            _best_cell(run, "best", list(run.validations[0].results)),
            *(_best_cell(run, f"best-{task}", [task]) for task in study.tasks),
        )
        for run in runs
    )
    return Table(
        "Validation and best weights",
        "Step whose weights were kept as best, by the mean over the run's tasks and by each task, with greedy accuracy "
        "on validation items ± standard error. The best of several validations is biased upwards, so all comparisons "
        "of runs use held-out items.",
        ("run", "ended at", "evaluated", "best mean", *study.tasks),
        rows,
        labels=3,
    )


def _end(run: Run) -> str:
    if not run.done:
        return f"step {run.last_step} so far"
    return f"step {run.last_step}, by patience" if run.stopped_early else f"step {run.last_step}"


def _evaluated(run: Run) -> str:
    """Step of the weights that the results are of."""
    if not run.done:
        return "–"
    best = run.best.get("best")
    kinds = ["the last"] * (run.evaluated_step == run.last_step)
    kinds += ["the best"] * (best is not None and run.evaluated_step == best.step)
    return f"step {run.evaluated_step}" + (f" ({listed(kinds)})" if kinds else "")


def _best_cell(run: Run, name: str, tasks: Sequence[str]) -> Cell:
    """Step and accuracy of kept weights, with the standard error if that validation is on disk."""
    best = run.best.get(name)
    if best is None:
        return MISSING
    results = next((each.results for each in run.validations if each.step == best.step), {})
    estimates = [Estimate(results[task].accuracy, results[task].standard_error) for task in tasks if task in results]
    words = [number(best.accuracy), *([error_text(mean_of(estimates))] if estimates else [])]
    return Cell(f"step {best.step}", " ".join(words))


def validation_words(groups: Sequence[RunGroup]) -> list[str]:
    """Describe the effects of validation on some runs; empty without validations."""
    runs = [run for group in groups for run in group.runs]
    if not any(run.validations for run in runs):
        return []
    words = ["Dashed with crosses: accuracy on validation items, which are split off the training data."]
    for run in (run for run in runs if run.done):
        of_run = f" of {run.folder}" if len(runs) > 1 else ""
        if run.stopped_early:
            words.append(f"Patience ended the run{of_run} after step {run.last_step}.")
        if run.evaluated_step != run.last_step:
            before = f", before any training on {listed(run.trained_later)}" if run.trained_later else ""
            words.append(
                f"The evaluated weights{of_run} are those of step {run.evaluated_step}, the best by validation{before}."
            )
    return words
