"""What validation found, which weights were kept for it, and where patience ended runs."""

from __future__ import annotations

from collections.abc import Sequence

from omnithinker.report.collect import Run, RunGroup, Study
from omnithinker.report.measures import Estimate, mean_of
from omnithinker.report.tables import MISSING, Cell, Table, error_text, listed, number


def validation_table(study: Study) -> Table | None:
    """One row per run that was validated: its end, the weights measured, and the steps whose weights were kept."""
    runs = [run for run in study.runs if run.validations]
    if not runs:
        return None
    rows = tuple(
        (
            Cell(study.name_of(run)),
            Cell(_end(run)),
            Cell(_measured(run)),
            _best_cell(run, "best", list(run.validations[0].results)),
            *(_best_cell(run, f"best-{task}", [task]) for task in study.tasks),
        )
        for run in runs
    )
    return Table(
        "Validation, and the weights it kept",
        "The step whose weights were kept as best, by the mean over the run's tasks and by each of them, with the "
        "greedy accuracy on validation items there ± standard error. The best of several looks is partly luck: runs "
        "are compared by their held-out items.",
        ("run", "ended at", "measured", "best by the mean", *study.tasks),
        rows,
        labels=3,
    )


def _end(run: Run) -> str:
    if not run.done:
        return f"step {run.last_step} so far"
    return f"step {run.last_step}, by patience" if run.stopped_early else f"step {run.last_step}"


def _measured(run: Run) -> str:
    """Which weights the results are of."""
    if not run.done:
        return "–"
    best = run.kept.get("best")
    kinds = ["the last"] * (run.measured_step == run.last_step)
    kinds += ["the best"] * (best is not None and run.measured_step == best.step)
    return f"step {run.measured_step}" + (f" ({listed(kinds)})" if kinds else "")


def _best_cell(run: Run, name: str, tasks: Sequence[str]) -> Cell:
    """Step and accuracy of kept weights, with its error where the validation that they were kept for is at hand."""
    best = run.kept.get(name)
    if best is None:
        return MISSING
    found = next((check.results for check in run.validations if check.step == best.step), {})
    each = [Estimate(found[task].accuracy, found[task].standard_error) for task in tasks if task in found]
    words = [number(best.accuracy), *([error_text(mean_of(each))] if each else [])]
    return Cell(f"step {best.step}", " ".join(words))


def validation_words(groups: Sequence[RunGroup]) -> list[str]:
    """What validation did to some runs, in words; nothing where there was none."""
    runs = [run for group in groups for run in group.runs]
    if not any(run.validations for run in runs):
        return []
    found = ["Dashed with crosses: accuracy on validation items, taken from training."]
    for run in (run for run in runs if run.done):
        which = f" of {run.folder}" if len(runs) > 1 else ""
        if run.stopped_early:
            found.append(f"Patience ended the run{which} after step {run.last_step}.")
        if run.measured_step != run.last_step:
            before = f", before any training on {listed(run.trained_later)}" if run.trained_later else ""
            found.append(
                f"Measured are the weights{which} of step {run.measured_step}, the best by validation{before}."
            )
    return found
