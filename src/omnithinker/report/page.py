"""The HTML page: content of its sections, laid out by one template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from omnithinker.io.files import write_text
from omnithinker.io.layout import REPORT
from omnithinker.report import plots, tables, warmup
from omnithinker.report.accounting import environment, runs_table, settings
from omnithinker.report.collect import read_folder
from omnithinker.report.findings import findings
from omnithinker.report.judging import judges_table, lengths_table
from omnithinker.report.records import Run, Study
from omnithinker.report.tables import Table, number
from omnithinker.report.validation import validation_table, validation_words
from omnithinker.report.warmup import warmup_table

SHOWN_EXAMPLES = 3
"""Completions shown per task."""


@dataclass(frozen=True, slots=True)
class Figure:
    """Plots that share a legend."""

    title: str
    """Title."""
    note: str
    """Explanation; may be empty."""
    keys: list[plots.Key]
    """Legend."""
    images: list[Markup]
    """SVG elements made by this package."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer of one model."""

    label: str
    """Name of the model."""
    completion: str
    """Untrusted text."""
    scores: tuple[tuple[str, str], ...]
    """Components with their values."""


@dataclass(frozen=True, slots=True)
class Example:
    """One held-out prompt with the answers of several models."""

    prompt: str
    """Untrusted text."""
    answers: tuple[Answer, ...]
    """One answer per model."""


def write_report(folder: Path) -> Path:
    """Write ``report.html`` into a study or run folder, at any stage of completion.

    Returns:
        The file. It is self-contained: no scripts, no external resources.

    Raises:
        DataError: if it is no such folder, or one of its files is damaged.
    """
    file = folder / REPORT
    write_text(file, render(read_folder(folder)))
    return file


def render(study: Study) -> str:
    """Render the page as HTML text."""
    # Completions and names are untrusted: everything is escaped but our own SVG elements.
    templates = Environment(
        loader=PackageLoader("omnithinker.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals["heat"] = heat_style
    return templates.get_template("report.html.j2").render(_content(study))


def _content(study: Study) -> dict[str, Any]:
    lead, *others = findings(study)
    single = study.is_single_run
    return {
        "title": study.title,
        "subtitle": _subtitle(study),
        "lead": lead,
        "others": others,
        "base": tables.final_table(study) if single else tables.base_table(study),
        "matrices": [] if single else _present(tables.transfer_table(study), tables.entropy_table(study)),
        "plan": tables.plan_table(study),
        "plan_words": _plan_words(study),
        "outcomes": [] if single else _present(tables.outcome_table(study), tables.difference_table(study)),
        "figures": [] if single else _outcome_figures(study),
        "curves": _curves(study),
        "warmup": _present(warmup_table(study)),
        "warmup_figures": _warmup_figures(study),
        "validations": _present(validation_table(study)),
        "examples": {task: _examples(study, task) for task in study.tasks},
        "runs": _present(runs_table(study), judges_table(study), lengths_table(study)),
        "environment": environment(study),
        "settings": settings(study.recipe) if study.recipe else [],
        "style": Markup(files("omnithinker.report").joinpath("report.css").read_text(encoding="utf-8")),
    }


def _present(*candidates: Table | None) -> list[Table]:
    return [table for table in candidates if table is not None]


def _subtitle(study: Study) -> str:
    parts = []
    if study.recipe:
        parts.append(f"model {study.recipe.model.path}")
    parts.append(f"{len(study.tasks)} task{'s' * (len(study.tasks) != 1)}: {', '.join(study.tasks)}")
    if study.recipe:
        seeds = len(study.recipe.study.seeds)
        parts.append(f"{study.recipe.evaluation.items} held-out items per task")
        if not study.is_single_run:
            parts.append(f"{seeds} seed{'s' * (seeds != 1)}")
    return " · ".join(parts)


def _plan_words(study: Study) -> list[str]:
    """Sentences on the chosen order, the heuristics, the confidence and the probes."""
    if study.plan is None:
        return []
    plan = study.plan
    words = [
        f"Chosen order: {' > '.join(plan['order'])}. Heuristics of the paper: greedy {' > '.join(plan['greedy'])}, "
        f"forgettability {' > '.join(plan['forgettability'])}. Worst order: {' > '.join(plan['worst'])}."
    ]
    for part, label in (("confidence", "Confidence: "), ("probes", "Probes: ")):
        if (plan.get(part) or {}).get("sentence"):
            words.append(f"{label}{plan[part]['sentence']}.")
    return words


def _outcome_figures(study: Study) -> list[Figure]:
    figures = []
    series = plots.outcome_series(study)
    if series:
        image = Markup(plots.outcome_plot(study, series))
        figures.append(Figure("Accuracy by task", "", [each.key for each in series], [image]))
    groups = plots.prediction_groups(study)
    if groups:
        image = Markup(plots.prediction_plot(study, groups))
        note = "Points above the dashed line did better than predicted."
        figures.append(Figure("Predicted against measured", note, plots.prediction_keys(study, groups), [image]))
    return figures


def _warmup_figures(study: Study) -> list[Figure]:
    if not study.warmup:
        return []
    return [Figure("Loss of the warm-up", "", warmup.legend(study.warmup), [Markup(warmup.loss_plot(study.warmup))])]


def _curves(study: Study) -> list[Figure]:
    alone = [group for group in study.of("single") if any(run.steps for run in group.runs)]
    rows = [("Single-task runs", ["Each curve is a separate run."], alone)] if alone else []
    for group in study.groups:
        if group.kind != "single" and any(run.steps for run in group.runs):
            words = (
                [f"Training order: {' > '.join(group.order)}."] if group.kind == "curriculum" and group.order else []
            )
            rows.append((group.label[0].upper() + group.label[1:], words, [group]))
    return [
        Figure(
            title,
            " ".join([*words, *validation_words(groups)]),
            plots.curve_keys(study, groups),
            [Markup(svg) for svg in plots.curve_plots(study, groups, title)],
        )
        for title, words, groups in rows
    ]


def _examples(study: Study, task: str) -> list[Example]:
    """The same held-out prompts, answered before and after training."""
    models: list[tuple[str, Run]] = [("before: base model", study.base)] if study.base else []
    models += [(f"after: {group.label}", group.done[0]) for group in study.compared[:1]]
    answers: dict[str, list[Answer]] = {}
    for label, run in models:
        for example in run.results[task].examples[:SHOWN_EXAMPLES] if task in run.results else ():
            answers.setdefault(str(example["prompt"]), []).append(_answer(label, example))
    return [Example(prompt, tuple(of_prompt)) for prompt, of_prompt in answers.items()]


def _answer(label: str, example: Mapping[str, Any]) -> Answer:
    scores = tuple((name, number(value, 2)) for name, value in example["components"].items())
    return Answer(label, str(example["completion"]), scores)


ORANGE, WHITE, PURPLE = (230, 97, 1), (255, 255, 255), (94, 60, 153)
"""Ends and middle of the diverging scale, safe for colour-blind readers."""


def heat_style(value: float) -> str:
    """Return the CSS of a cell on the diverging scale.

    Args:
        value: position in [-1, 1].
    """
    end = PURPLE if value > 0 else ORANGE
    # Text on full colour would be hard to read.
    share = min(abs(value), 1.0) * 0.85
    mixed = [round(w + (e - w) * share) for w, e in zip(WHITE, end, strict=True)]
    return f"background: rgb({', '.join(map(str, mixed))}); color: {_ink(mixed)}"


def _ink(background: Sequence[int]) -> str:
    """Dark or white text, whichever has more contrast (WCAG relative luminance)."""
    linear = [(c / 255) ** 2.2 for c in background]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#fff" if luminance < 0.18 else "#14202b"
